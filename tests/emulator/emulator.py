"""The server: requests to methods, and a second door through which tests make things happen and look."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import json
import time
from typing import Any

from tests.emulator import methods
from tests.emulator.errors import ApiError
from tests.emulator.faults import Faults, Limits
from tests.emulator.http_server import Request, Response, serve
from tests.emulator.update_queue import UpdateQueue
from tests.emulator.webhook import Webhook
from tests.emulator.world import World

DEFAULT_TOKEN = "4242424242:AAEmulatedBotTokenForTestsOnly_012345"


class Emulator:
    """One bot's server. ``calls`` is all that the bot asked for, in order, with what came of it."""

    def __init__(self, token: str = DEFAULT_TOKEN, *, reads_all: bool = False) -> None:
        self.token = token
        self.world = World(int(token.split(":")[0]), reads_all, UpdateQueue(first_id=100_000_000))
        self.faults = Faults()
        self.limits = Limits(self.faults)
        self.webhook = Webhook(self.world.queue)
        self.commands: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.calls: list[dict[str, Any]] = []
        self.keeps_calls = True
        self._doors = {
            "add_person": self.world.add_person,
            "add_chat": self.world.add_chat,
            "set_trouble": self.world.set_trouble,
            "say": self.world.say,
            "say_many": self.say_many,
            "send": self.world.send,
            "edit": self.world.edit,
            "press": self.world.press,
            "react": self.world.react,
            "set_membership": self.world.set_membership,
            "raw": self.world.raw,
            "again": self.world.queue.again,
            "shown": self.world.shown,
            "set_faults": self.faults.set,
            "configure": self.configure,
            "calls_of": self.calls_of,
            "state": self.state,
        }

    async def run(self, port: int = 0) -> None:
        """Serve until cancelled; the port taken is printed as JSON on a line."""
        async with await serve(self.answer, port) as server:
            print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
            await self.webhook.run()

    async def answer(self, request: Request) -> Response:
        """Answer one request, to the API or through the tests' door."""
        if request.path.startswith("/control/"):
            return await self._control(request)
        if request.path.startswith(f"/file/bot{self.token}/"):
            return self._file(request.path.removeprefix(f"/file/bot{self.token}/"))
        token, _, method = request.path.removeprefix("/bot").partition("/")
        call = {"at": time.monotonic(), "method": method, "parameters": request.parameters, "files": [*request.files]}
        if self.keeps_calls and method.lower() != "getupdates":
            self.calls.append(call)
        try:
            await self.faults.before(method)
            if ":" not in token or not request.path.startswith("/bot"):
                raise ApiError(404, "Not Found")
            if token != self.token:
                raise ApiError(401, "Unauthorized")
            result = await self._call(method.lower(), request)
            call["result"] = copy.deepcopy(result)  # as it was: messages change
            self.faults.after(method)
        except ApiError as error:
            call["error"] = error.code
            answer: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
            headers: tuple[tuple[str, str], ...] = ()
            if error.parameters:
                answer["parameters"] = error.parameters
                headers = (("Retry-After", str(error.parameters["retry_after"])),)
            return Response(error.code, json.dumps(answer).encode(), headers=headers)
        return Response(200, json.dumps({"ok": True, "result": result}).encode())

    def say_many(self, said: list[tuple[int, str]]) -> list[int]:
        """Let many people say something at once: pairs of person and text."""
        return [int(self.world.say(user, text)["message_id"]) for user, text in said]

    def configure(
        self,
        reads_all: bool | None = None,
        limits: bool | None = None,
        keeps_calls: bool | None = None,
        repeats: int | None = None,
    ) -> None:
        """Change the bot's privacy mode, the limits, whether calls are kept, and webhook deliveries to repeat."""
        if reads_all is not None:
            self.world.reads_all = reads_all
        if limits is not None:
            self.limits.is_on = limits
        if keeps_calls is not None:
            self.keeps_calls = keeps_calls
        if repeats is not None:
            self.webhook.repeats = repeats

    def calls_of(self, methods: list[str], chat: int | None = None) -> list[dict[str, Any]]:
        """Return what the bot asked for by these methods, of one chat or of all."""
        return [
            call
            for call in self.calls
            if call["method"] in methods and chat in (None, int(call["parameters"].get("chat_id", 0)))
        ]

    def state(self) -> dict[str, Any]:
        """Return counts, and what is set."""
        return {
            "now": time.monotonic(),
            "waiting": len(self.world.queue.waiting),
            "allowed": self.world.queue.allowed,
            "is_polled": self.world.queue._poll is not None,
            "webhook": self.webhook.url,
            "deliveries": self.webhook.attempts,
            "last_error": self.webhook.last_error,
            "early": self.limits.early,
            "commands": self.commands,
            "calls": len(self.calls),
            "messages": len(self.world.messages),
            "files": {name: content.decode("utf-8", "replace") for name, (_, content) in self.files.items()},
        }

    async def _call(self, method: str, request: Request) -> Any:
        if method == "getupdates":
            return await methods.get_updates(self, request.parameters)
        if method not in methods.METHODS:
            raise ApiError(404, "Not Found: method not found")
        if method in methods.LIMITED:
            with contextlib.suppress(ValueError):
                self.limits.check(int(request.parameters.get("chat_id") or 0))
        return methods.METHODS[method](self, request.parameters, request.files)

    def _file(self, path: str) -> Response:
        for known, content in self.files.values():
            if known == path:
                return Response(200, content, "application/octet-stream")
        return Response(404, b'{"ok":false,"error_code":404,"description":"Not Found"}')

    async def _control(self, request: Request) -> Response:
        name = request.path.removeprefix("/control/")
        try:
            result: Any = self._doors[name](**request.parameters)  # type: ignore[operator]
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:
            return Response(500, json.dumps(repr(error)).encode())
        return Response(200, json.dumps(result).encode())


def run(token: str, port: int, reads_all: bool) -> None:
    """Run a server until the process is told to end."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Emulator(token, reads_all=reads_all).run(port))

"""The tests' side of the server: start it, make things happen, wait for what comes of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from tests.emulator.emulator import DEFAULT_TOKEN

R = TypeVar("R")
PATIENCE_S = 60.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(what: Callable[[], R], why: str, patience_s: float = PATIENCE_S) -> R:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: it did not become true in time.
    """
    deadline = time.monotonic() + patience_s
    while True:
        if found := what():
            return found
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {why}"
        time.sleep(0.05)


class EmulatorClient:
    """A server of its own process, and what tests do with it."""

    def __init__(self, *, token: str = DEFAULT_TOKEN, port: int = 0, reads_all: bool = False) -> None:
        command = [sys.executable, "-m", "tests.emulator", "--token", token, "--port", str(port)]
        self._process = subprocess.Popen([*command, *["--reads-all"] * reads_all], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.token, self.port = token, int(json.loads(self._process.stdout.readline())["port"])
        self.base_url = f"http://127.0.0.1:{self.port}/bot"
        self.base_file_url = f"http://127.0.0.1:{self.port}/file/bot"

    def __enter__(self) -> EmulatorClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def do(self, name: str, **parameters: Any) -> Any:
        """Call through the tests' door."""
        return self._post(f"/control/{name}", parameters)

    def call(self, method: str, token: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call the Bot API; the whole answer comes back, of refusals too."""
        answer: dict[str, Any] = self._post(f"/bot{token or self.token}/{method}", parameters)
        return answer

    def say(self, user: int, text: str, **more: Any) -> int:
        """Let a person say something; returns the message's number."""
        return int(self.do("say", user=user, text=text, **more)["message_id"])

    def calls(self, *methods: str) -> list[dict[str, Any]]:
        """Return what the bot asked for, by these methods."""
        calls: list[dict[str, Any]] = self.do("calls_of", methods=methods)
        return calls

    def sent(self, chat: int | None = None) -> list[dict[str, Any]]:
        """Return the messages that the bot sent, to one chat or to all, in order."""
        return [
            call["result"] for call in self.do("calls_of", methods=["sendMessage"], chat=chat) if "result" in call
        ]

    def texts(self, chat: int | None = None) -> list[str]:
        """Return the texts that the bot sent."""
        return [message["text"] for message in self.sent(chat)]

    def shown(self, chat: int) -> list[dict[str, Any]]:
        """Return what a chat shows now."""
        messages: list[dict[str, Any]] = self.do("shown", chat=chat)
        return messages

    def wait_for_texts(self, count: int, chat: int | None = None, patience_s: float = PATIENCE_S) -> list[str]:
        """Wait until the bot sent so many messages."""
        wait_for(
            lambda: len(self.texts(chat)) >= count, f"{count} messages; there are {self.texts(chat)}", patience_s
        )
        return self.texts(chat)

    def _post(self, path: str, parameters: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(parameters).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with _DIRECT.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

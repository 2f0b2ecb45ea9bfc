"""Delivery of updates to a bot's webhook: a chat's one after another, chats side by side, again until it is taken."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx

from tests.emulator.update_queue import UpdateQueue

_DELIVERY_TIMEOUT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class Webhook:
    """Where updates are delivered to, and how that goes."""

    def __init__(self, queue: UpdateQueue) -> None:
        self.url, self.secret, self.last_error = "", "", ""
        self.has_certificate, self._trust = False, ssl.create_default_context()
        self.attempts = 0
        self.repeats = 0  # how many deliveries are made once more although they were taken
        self._queue = queue
        self._places = asyncio.Semaphore(40)
        self._busy: set[Any] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = asyncio.Event()

    def set(self, url: str, secret: str, connections: int, certificate: str | None = None) -> None:
        """Deliver to ``url`` from now on; over TLS, trust this certificate alone where one is given."""
        self.has_certificate = certificate is not None
        self._trust = ssl.create_default_context(cadata=certificate)
        self.url = self._queue.webhook_url = url
        self.secret, self.last_error = secret, ""
        self._places = asyncio.Semaphore(connections)
        self._change.set()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            self._change.clear()
            if self.url:
                self._start_deliveries()
            news = asyncio.ensure_future(self._queue.news())
            change = asyncio.ensure_future(self._change.wait())
            await asyncio.wait((news, change), return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            change.cancel()

    def _start_deliveries(self) -> None:
        for update in self._queue.waiting:
            chat = chat_of(update)
            if chat not in self._busy:
                self._busy.add(chat)
                task = asyncio.create_task(self._deliver_chat(chat))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _deliver_chat(self, chat: object) -> None:
        pause = _FIRST_PAUSE_S
        try:
            while self.url:
                update = next((waiting for waiting in self._queue.waiting if chat_of(waiting) == chat), None)
                if update is None:
                    return
                async with self._places:
                    is_taken = await self._deliver(update)
                if is_taken:
                    pause = _FIRST_PAUSE_S
                    if self.repeats > 0:
                        self.repeats -= 1
                    else:
                        self._queue.remove(update)
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
        finally:
            self._busy.discard(chat)

    async def _deliver(self, update: dict[str, Any]) -> bool:
        self.attempts += 1
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {}
        try:
            async with httpx.AsyncClient(timeout=_DELIVERY_TIMEOUT_S, verify=self._trust, trust_env=False) as client:
                answer = await client.post(self.url, json=update, headers=headers)
        except httpx.HTTPError as error:
            self.last_error = f"Connection failed: {type(error).__name__}"
            return False
        if not answer.is_success:
            self.last_error = f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"
        return answer.is_success


def chat_of(update: dict[str, Any]) -> object:
    """Return what an update is ordered by: its chat, else its sender."""
    body = next(value for key, value in update.items() if key != "update_id")
    chat = body.get("chat") or body.get("message", {}).get("chat") or body.get("from") or {}
    return chat.get("id")

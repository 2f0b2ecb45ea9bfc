"""The queue of updates, and the rules of getUpdates."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.emulator.errors import ApiError, bad_request, conflict

# Types that are sent only when they were asked for by name.
NOT_BY_DEFAULT = ("chat_member", "message_reaction", "message_reaction_count")
_LONGEST_POLL_S = 50
_MOST_UPDATES = 100
_CALM_S = 3.0  # the same offset again within this time waits this long; so do conflicts


class UpdateQueue:
    """Updates not acknowledged yet. Each is handed out until an offset beyond it, or a webhook, takes it."""

    def __init__(self, first_id: int = 1) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.allowed: list[str] = []
        self.webhook_url = ""
        self._next_id = first_id
        self._news = asyncio.Event()
        self._poll: asyncio.Future[None] | None = None
        self._last_offset: int | None = None
        self._last_start = self._next_conflict = -1e9

    def add(self, kind: str, body: dict[str, Any]) -> int | None:
        """Queue an update; None where its type was not asked for."""
        if kind not in self.allowed and (self.allowed or kind in NOT_BY_DEFAULT):
            return None
        number, self._next_id = self._next_id, self._next_id + 1
        self.waiting.append({"update_id": number, kind: body})
        self._wake()
        return number

    def again(self, update: dict[str, Any]) -> None:
        """Queue an update that was delivered before."""
        self.waiting.append(update)
        self.waiting.sort(key=lambda waiting: int(waiting["update_id"]))
        self._wake()

    def remove(self, update: dict[str, Any]) -> None:
        self.waiting = [waiting for waiting in self.waiting if waiting is not update]

    def allow(self, kinds: list[str] | None) -> None:
        """Set the types to send; None leaves them as they were, an empty list means the default ones."""
        if kinds is not None:
            self.allowed = list(kinds)

    async def news(self) -> None:
        """Wait until an update was added."""
        await self._news.wait()

    async def get(self, offset: int, limit: int, timeout_s: int, allowed: list[str] | None) -> list[dict[str, Any]]:
        """Acknowledge all updates below ``offset``, then return those waiting, or wait for the next one.

        A negative offset keeps the last updates. A newer call ends an older one that waits with 409.
        """
        if self.webhook_url:
            await self._refuse(
                conflict("can't use getUpdates method while webhook is active; use deleteWebhook to delete it first")
            )
        if timeout_s < 0:
            raise bad_request("timeout must be non-negative")
        self.end_poll("terminated by other getUpdates request; make sure that only one bot instance is running")
        self.allow(allowed)
        now = time.monotonic()
        limit = min(max(limit, 1), _MOST_UPDATES)
        timeout: float = min(timeout_s, _LONGEST_POLL_S)
        if offset == self._last_offset and now < self._last_start + _CALM_S:
            timeout = max(timeout, _CALM_S)
            if now < self._last_start + 0.5:
                limit = 1
        self._last_offset, self._last_start = offset, now
        if offset < 0:
            self.waiting = self.waiting[offset:]
        elif offset > 0:
            self.waiting = [update for update in self.waiting if update["update_id"] >= offset]
        if not self.waiting and timeout > 0:
            await self._wait(timeout)
        return self.waiting[:limit]

    def end_poll(self, reason: str) -> None:
        """End the call that waits, if there is one, with a conflict."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_exception(conflict(reason))
        self._poll = None

    async def _wait(self, timeout_s: float) -> None:
        poll = self._poll = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(asyncio.shield(poll), timeout_s)
        except TimeoutError:
            return
        except ApiError as error:
            await self._refuse(error)

    async def _refuse(self, error: ApiError) -> None:
        """Raise a conflict, at most one in three seconds; the others come late."""
        now = time.monotonic()
        if now < self._next_conflict:
            await asyncio.sleep(_CALM_S)
        else:
            self._next_conflict = now + _CALM_S
        raise error

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        self._poll = None

"""What can go wrong on purpose, by a seed; and the limits on how fast a bot may send."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import defaultdict, deque

from tests.emulator.errors import ApiError, DroppedConnectionError, too_many

_GROUP_PERIOD_S, _GROUP_MOST, _OVERALL_MOST = 60.0, 20, 30


class Faults:
    """Faults of the way to the server. Shares are of requests, drawn by a seeded generator."""

    def __init__(self) -> None:
        self.set()

    def set(
        self,
        seed: int = 0,
        bad_gateway: float = 0.0,
        dropped_before: float = 0.0,
        dropped_after: float = 0.0,
        delay_s: float = 0.0,
        is_down: bool = False,
        methods: list[str] | None = None,
        flood_waits: list[int] | None = None,
    ) -> None:
        """Replace all faults.

        Args:
            dropped_before: the connection ends, and nothing was done.
            dropped_after: the connection ends, but the request was done.
            methods: those that suffer; None means all.
            flood_waits: the next messages are refused with 429, one for each, and these seconds to wait.
        """
        self._random = random.Random(seed)
        self.bad_gateway, self.delay_s, self.is_down = bad_gateway, delay_s, is_down
        self.dropped_before, self.dropped_after = dropped_before, dropped_after
        self.methods = methods
        self.flood_waits = deque(flood_waits or [])

    async def before(self, method: str) -> None:
        """Let what goes wrong before a request is done go wrong."""
        if self.is_down:
            raise DroppedConnectionError
        if not self._suffers(method):
            return
        await asyncio.sleep(self.delay_s)
        if self._random.random() < self.bad_gateway:
            raise ApiError(502, "Bad Gateway")
        if self._random.random() < self.dropped_before:
            raise DroppedConnectionError

    def after(self, method: str) -> None:
        """Let what goes wrong after a request was done go wrong."""
        if self._suffers(method) and self._random.random() < self.dropped_after:
            raise DroppedConnectionError

    def _suffers(self, method: str) -> bool:
        return self.methods is None or method.lower() in [name.lower() for name in self.methods]


class Limits:
    """How fast a bot may send: one message a second a chat, twenty a minute a group, thirty a second in all."""

    def __init__(self, faults: Faults) -> None:
        self.is_on = False
        self.early = 0  # messages that came before the wait that they were told was over
        self._faults = faults
        self._sent: dict[int, deque[float]] = defaultdict(deque)
        self._all: deque[float] = deque()
        self._free_at: dict[int, float] = {}

    def check(self, chat: int) -> None:
        """Count a message to ``chat``.

        Raises:
            ApiError: 429, with the seconds to wait.
        """
        now = time.monotonic()
        if now < self._free_at.get(chat, 0.0):
            self.early += 1
            self._refuse(chat, math.ceil(self._free_at[chat] - now))
        if self._faults.flood_waits:
            self._refuse(chat, self._faults.flood_waits.popleft())
        if not self.is_on:
            return
        sent = self._sent[chat]
        while sent and sent[0] < now - _GROUP_PERIOD_S:
            sent.popleft()
        while self._all and self._all[0] < now - 1:
            self._all.popleft()
        if sent and now - sent[-1] < 0.98:
            self._refuse(chat, 1)
        if chat < 0 and len(sent) >= _GROUP_MOST:
            self._refuse(chat, math.ceil(sent[0] + _GROUP_PERIOD_S - now))
        if len(self._all) >= _OVERALL_MOST:
            self._refuse(chat, 1)
        sent.append(now)
        self._all.append(now)

    def _refuse(self, chat: int, seconds: int) -> None:
        self._free_at[chat] = time.monotonic() + seconds
        raise too_many(seconds)

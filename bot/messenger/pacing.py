"""How fast messages go out: by chat, by group, and in all. Waiting in line is all that a chat may cost the others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_MINUTE_S = 60.0
_CHATS_REMEMBERED = 10_000


@dataclass(frozen=True)
class PacingConfig:
    """Telegram's limits; 0 lifts one."""

    chat_interval_s: float = 1.0
    group_per_minute: int = 20
    per_second: int = 30


@dataclass
class _Chat:
    free_at: float = 0.0
    recent: deque[float] = field(default_factory=deque)


class Pacer:
    """Tells when the next message may go. Time comes from a clock that nobody sets.

    A message is counted when it is let go and again when the server has taken it, so that two of them are never
    closer together there than here.
    """

    def __init__(
        self,
        config: PacingConfig,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config, self._clock, self._sleep = config, clock, sleep
        self._chats: dict[int, _Chat] = {}
        self._all: deque[float] = deque(maxlen=max(config.per_second, 1))

    async def wait(self, chat: int) -> None:
        """Wait until a message to ``chat`` may go, and count it. Groups have negative numbers."""
        while (pause := self._pause(chat)) > 0:
            await self._sleep(pause)
        self._count(chat)

    def taken(self, chat: int) -> None:
        """Note that the server took the message just now."""
        self._place(chat).free_at = self._clock() + self._config.chat_interval_s

    def hold(self, chat: int, seconds: float) -> None:
        """Let nothing go to ``chat`` for so long: the server said so."""
        place = self._place(chat)
        place.free_at = max(place.free_at, self._clock() + seconds)

    def _pause(self, chat: int) -> float:
        now, place = self._clock(), self._place(chat)
        free_at = place.free_at
        most = self._config.group_per_minute
        if chat < 0 and most and len(place.recent) >= most:
            free_at = max(free_at, place.recent[-most] + _MINUTE_S)
        if self._config.per_second and len(self._all) == self._config.per_second:
            free_at = max(free_at, self._all[0] + 1.0)
        return free_at - now

    def _count(self, chat: int) -> None:
        now, place = self._clock(), self._place(chat)
        place.free_at = now + self._config.chat_interval_s
        self._all.append(now)
        if chat < 0:
            place.recent.append(now)
            while len(place.recent) > max(self._config.group_per_minute, 1):
                place.recent.popleft()

    def _place(self, chat: int) -> _Chat:
        place = self._chats.pop(chat, None) or _Chat()
        self._chats[chat] = place  # at the end: the oldest are forgotten
        if len(self._chats) > _CHATS_REMEMBERED:
            del self._chats[next(iter(self._chats))]
        return place

"""Stopping: whoever waits is woken, and begins nothing new."""

from __future__ import annotations

import asyncio


class StoppingError(Exception):
    """The bot stops; what was not begun stays in the outbox."""


class Stop:
    """Told once; whoever sleeps through it is woken with ``StoppingError``."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()

    @property
    def is_told(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            StoppingError: the bot stops, now or meanwhile.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        raise StoppingError

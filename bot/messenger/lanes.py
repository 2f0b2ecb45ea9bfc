"""Lanes: work of one key in order, of different keys side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """A queue for each key, a task for each queue that is not empty, and a bound on how many work at once.

    ``work`` answers for its own failures; what it lets through ends the lane, with all that waits in it.
    """

    def __init__(self, work: Callable[[T], Awaitable[None]], most_at_once: int | None = None) -> None:
        self._work = work
        self._queues: dict[str, deque[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: AbstractAsyncContextManager[object] = (
            nullcontext() if most_at_once is None else asyncio.Semaphore(most_at_once)
        )
        self._is_closing = False
        self.waiting = 0

    def add(self, key: str, item: T) -> None:
        """Put work at the end of a lane."""
        if self._is_closing:
            return
        self.waiting += 1
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(item)
            return
        self._queues[key] = deque([item])
        task = asyncio.create_task(self._run(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def length(self, key: str) -> int:
        """Return how much waits in a lane, what is being worked on among it."""
        return len(self._queues.get(key, ()))

    async def close(self, patience_s: float) -> None:
        """Take no more, finish what is being worked on, and leave the rest; cut off what takes longer."""
        self._is_closing = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: str) -> None:
        queue = self._queues[key]
        try:
            while queue and not self._is_closing:
                async with self._places:
                    if not self._is_closing:  # it may have begun while this lane waited for its place
                        await self._work(queue[0])
                        queue.popleft()
                        self.waiting -= 1
        finally:
            self.waiting -= len(queue)
            del self._queues[key]

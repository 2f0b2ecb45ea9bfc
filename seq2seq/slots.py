"""The rows of a batch, each in a slot of its own: who joins or leaves moves few of the others.

What a row reads at every step (``Memory``, some 160 KB) stays where it is while the row goes on. Copying all of it
whenever somebody came or went took a quarter of the time of many conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2seq.runtime import Memory, State

Ints = NDArray[np.int64]


class GoingOn(NamedTuple):
    """What becomes of the rows of one job.

    Attributes:
        slots: where its rows stand, int64 [rows].
        parents: int64 [rows after], the slots whose rows go on, in the job's order.
        tokens: int64 [rows after], what they say.
    """

    slots: Ints
    parents: Ints
    tokens: Ints


class Slots:
    """Tokens, states and memories of ``count`` rows, in slots 0 to ``count`` - 1. All rows of a job read the same."""

    def __init__(self) -> None:
        self.count = 0
        self.tokens: Ints = np.zeros(0, np.int64)
        self.state: State | None = None
        self._room: Memory | None = None  # of at least ``count`` rows

    @property
    def memory(self) -> Memory:
        """Return what the rows read, without copying it."""
        assert self._room is not None
        return Memory(*(part[: self.count] for part in self._room))

    def add(self, memory: Memory, state: State, rows: int, token: int) -> Ints:
        """Let ``rows`` rows that read the one row of ``memory`` begin with ``state``; returns their slots."""
        first = self.count
        self._grow(memory, first + rows)
        assert self._room is not None
        for room, part in zip(self._room, memory, strict=True):
            room[first : self.count] = part
        begun = state.take(np.zeros(rows, np.intp))
        self.state = begun if self.state is None or first == 0 else State.join((self.state, begun))
        self.tokens = np.concatenate((self.tokens[:first], np.full(rows, token, np.int64)))
        return np.arange(first, self.count)

    def follow(self, state: State, jobs: Sequence[GoingOn]) -> list[Ints]:
        """Let rows go on, multiply and end.

        Args:
            state: behind the step that all rows made.
            jobs: every job with rows that go on.

        Returns:
            The slots of each job, in the order of its ``parents``.
        """
        # A row takes a slot of its job, where there is one; else it needs a place, and its job's memory there.
        places = [np.concatenate((job.slots, np.full(len(job.parents), -1)))[: len(job.parents)] for job in jobs]
        place = np.concatenate([*places, np.zeros(0, np.int64)])
        count = len(place)
        reads = np.concatenate([np.where(own < 0, job.slots[0], own) for own, job in zip(places, jobs, strict=True)])
        moves = (place < 0) | (place >= count)
        free = np.ones(count, bool)
        free[place[~moves]] = False
        place[moves] = np.flatnonzero(free)
        assert self._room is not None
        self._grow(self._room, count)
        for room in self._room:
            room[place[moves]] = room[reads[moves]]
        order = np.empty(count, np.int64)
        order[place] = np.concatenate([job.parents for job in jobs])
        self.tokens = np.empty(count, np.int64)
        self.tokens[place] = np.concatenate([job.tokens for job in jobs])
        self.state = state if np.array_equal(order, np.arange(state.hidden.shape[1])) else state.take(order)
        ends = list(accumulate(len(own) for own in places))
        return np.split(place, ends[:-1])

    def clear(self) -> None:
        self.count, self.tokens, self.state = 0, np.zeros(0, np.int64), None

    def _grow(self, like: Memory, count: int) -> None:
        """Make room for ``count`` rows of memory of the same shape as ``like``."""
        held = 0 if self._room is None else len(self._room.padding)
        if count > held:
            grown = Memory(*(np.empty((max(count, 2 * held), *part.shape[1:]), part.dtype) for part in like))
            if self._room is not None:
                for room, part in zip(grown, self._room, strict=True):
                    room[: self.count] = part[: self.count]
            self._room = grown
        self.count = count

"""Many conversations decoded together: programs join and leave one batch at every step.

A recurrent state is small and of one size, so a batch needs no paging: rows come and go. A *task* is a
generator that yields lists of jobs and is sent their results; between its yields it may think. Tasks that
wait are admitted in order while there is room.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import Seq2SeqError
from seq2seq.runtime import Memory, Runtime, State
from seq2seq.search import Program
from seq2seq.tokenizer import START

R = TypeVar("R")


class CancelledReplyError(Seq2SeqError):
    """The reply was stopped before it was finished."""


@dataclass
class Job:
    """A source to encode and the program that decodes over it; the program holds the result."""

    source_ids: Sequence[int]
    program: Program


Task = Generator[list[Job], None, R]


@dataclass(eq=False)
class _Running(Generic[R]):
    """A task on its way.

    Attributes:
        waiting: its jobs that are not admitted yet.
        open_jobs: how many of its current jobs are unfinished.
        on_step: called behind every step that advanced one of its jobs.
    """

    task: Task[R]
    future: Future[R]
    is_cancelled: Callable[[], bool]
    on_step: Callable[[], None]
    waiting: deque[Job] = field(default_factory=deque)
    open_jobs: int = 0


class DecodingLoop:
    """The batch: at most ``max_rows`` rows at a time, except that a single job may be wider."""

    def __init__(self, runtime: Runtime, max_rows: int = 64) -> None:
        self._runtime, self._max_rows = runtime, max_rows
        self._tasks: list[_Running] = []  # type: ignore[type-arg]
        self._active: list[tuple[_Running, Job]] = []  # type: ignore[type-arg]
        self._tokens: NDArray[np.int64] = np.zeros(0, np.int64)
        self._state: State | None = None
        self._memory: Memory | None = None

    @property
    def is_idle(self) -> bool:
        return not self._tasks

    def start(
        self,
        task: Task[R],
        future: Future[R] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
        on_step: Callable[[], None] = lambda: None,
    ) -> Future[R]:
        """Take a task in; its result, or what it raised, comes out of the future."""
        running = _Running(task, future or Future(), is_cancelled, on_step)
        self._tasks.append(running)
        self._resume(running)
        return running.future

    def step(self) -> None:
        """Admit what waits, make one decoding step for all rows, and let tasks go on whose jobs are done."""
        self._drop_cancelled()
        self._admit()
        if not self._active:
            return
        assert self._state is not None
        assert self._memory is not None
        logits, state = self._runtime.step(self._tokens, self._state, self._memory)
        parents, tokens, going_on, finished = [], [], [], []
        row = 0
        touched = {}
        for running, job in self._active:
            rows = job.program.rows
            following = job.program.advance(logits[row : row + rows])
            touched[id(running)] = running
            if len(following.parents):
                parents.append(row + following.parents)
                tokens.append(following.tokens)
                going_on.append((running, job))
            else:
                finished.append(running)
            row += rows
        self._active = going_on
        self._continue_with(state, parents, tokens, len(logits))
        for running in touched.values():
            running.on_step()
        for running in finished:
            running.open_jobs -= 1
            if running.open_jobs == 0:
                self._resume(running)

    def run(self) -> None:
        """Step until every task is done."""
        while not self.is_idle:
            self.step()

    def _resume(self, running: _Running[R]) -> None:
        """Let a task think until it wants more jobs, or is done."""
        try:
            jobs: list[Job] = []
            while not jobs:  # a task may find that it needs none
                jobs = next(running.task)
            running.waiting.extend(jobs)
            running.open_jobs = len(jobs)
        except StopIteration as stop:
            self._tasks.remove(running)
            running.future.set_result(stop.value)
        except Exception as error:
            self._tasks.remove(running)
            running.future.set_exception(error)

    def _admit(self) -> None:
        rows = sum(job.program.rows for _, job in self._active)
        for running in self._tasks:
            while running.waiting and (rows == 0 or rows + running.waiting[0].program.rows <= self._max_rows):
                job = running.waiting.popleft()
                rows += job.program.rows
                self._join(job)
                self._active.append((running, job))

    def _join(self, job: Job) -> None:
        memory, state = self._runtime.encode(job.source_ids)
        copies = np.zeros(job.program.rows, dtype=np.intp)
        memory, state = memory.take(copies), state.take(copies)
        start = np.full(job.program.rows, START, np.int64)
        if not self._active or self._memory is None or self._state is None:
            self._memory, self._state, self._tokens = memory, state, start
        else:
            self._memory = Memory(*map(np.concatenate, zip(self._memory, memory, strict=True)))
            self._state = State(
                np.concatenate((self._state.hidden, state.hidden), axis=1),
                np.concatenate((self._state.cell, state.cell), axis=1),
            )
            self._tokens = np.concatenate((self._tokens, start))

    def _continue_with(
        self, state: State, parents: list[NDArray[np.int64]], tokens: list[NDArray[np.int64]], rows: int
    ) -> None:
        """Keep the rows that go on; where none moved, nothing is copied."""
        if not parents:
            self._state = self._memory = None
            return
        order = np.concatenate(parents)
        self._tokens = np.concatenate(tokens)
        self._state = state
        if len(order) != rows or (order != np.arange(rows)).any():
            assert self._memory is not None
            self._state, self._memory = state.take(order), self._memory.take(order)

    def _drop_cancelled(self) -> None:
        doomed = [running for running in self._tasks if running.is_cancelled()]
        if not doomed:
            return
        rows, kept, row = [], [], 0
        for running, job in self._active:
            if running not in doomed:
                rows.append(np.arange(row, row + job.program.rows))
                kept.append((running, job))
            row += job.program.rows
        self._active = kept
        if self._memory is not None and self._state is not None:
            order = np.concatenate(rows) if rows else np.zeros(0, np.intp)
            self._memory, self._state = self._memory.take(order), self._state.take(order)
            self._tokens = self._tokens[order]
        for running in doomed:
            self._tasks.remove(running)
            running.task.close()
            running.future.set_exception(CancelledReplyError("the reply was stopped"))


class Scheduler:
    """A thread that owns a ``DecodingLoop``; many threads submit tasks, each waits for its own future."""

    def __init__(self, runtime: Runtime, max_rows: int = 64, max_waiting: int = 1024) -> None:
        self._loop = DecodingLoop(runtime, max_rows)
        self._inbox: queue.Queue[Callable[[], None] | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._work, name="decoding", daemon=True)
        self._thread.start()

    def submit(
        self,
        task: Task[R],
        is_cancelled: Callable[[], bool] = lambda: False,
        on_step: Callable[[], None] = lambda: None,
    ) -> Future[R]:
        """Queue a task.

        Raises:
            queue.Full: too many wait already.
        """
        future: Future[R] = Future()

        def start() -> None:
            self._loop.start(task, future, is_cancelled, on_step)

        self._inbox.put_nowait(start)
        return future

    def close(self) -> None:
        """Finish what was submitted, then stop the thread."""
        self._inbox.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_closing = False
        while not (is_closing and self._loop.is_idle):
            try:
                while True:
                    taken = self._inbox.get(block=self._loop.is_idle and not is_closing)
                    if taken is None:
                        is_closing = True
                        break
                    taken()
            except queue.Empty:
                pass
            self._loop.step()

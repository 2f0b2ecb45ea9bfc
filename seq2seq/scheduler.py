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
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import Seq2SeqError
from seq2seq.runtime import Floats, Runtime, State
from seq2seq.search import Program
from seq2seq.slots import GoingOn, Slots
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
        on_step: called behind every step that advanced one of its jobs.
        open_jobs: how many of its current jobs are unfinished.
    """

    task: Task[R]
    future: Future[R]
    is_cancelled: Callable[[], bool]
    on_step: Callable[[], None]
    open_jobs: int = 0


class _Seat(NamedTuple):
    """A job in the batch, and the slots of its rows: int64 [rows]."""

    running: _Running[Any]
    program: Program
    slots: NDArray[np.int64]


class DecodingLoop:
    """The batch: at most ``max_rows`` rows at a time, except that a single job may be wider.

    Jobs are admitted in the order in which they came, so that a wide one is never starved by small ones.
    Whatever a task, its programs or its callbacks raise goes into its own future, and the others go on.
    """

    def __init__(self, runtime: Runtime, max_rows: int = 64) -> None:
        self._runtime, self._max_rows = runtime, max_rows
        self._tasks: list[_Running[Any]] = []
        self._waiting: deque[tuple[_Running[Any], Job]] = deque()
        self._seats: list[_Seat] = []
        self._slots = Slots()

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
        slots = self._slots
        if slots.state is None:
            return
        try:
            logits, state = self._runtime.step(slots.tokens, slots.state, slots.memory)
        except Exception as error:  # of ONNX Runtime, such as no memory: it concerns all who were in this batch
            self._fail({seat.running: error for seat in self._seats})
            return
        self._advance(logits, state)

    def run(self) -> None:
        """Step until every task is done."""
        while not self.is_idle:
            self.step()

    def _advance(self, logits: Floats, state: State) -> None:
        """Show every program its logits, keep the rows that go on, and let their tasks know."""
        going_on: list[GoingOn] = []
        seats: list[_Seat] = []
        failed: dict[_Running[Any], Exception] = {}
        touched = dict.fromkeys(seat.running for seat in self._seats)
        for seat in self._seats:
            try:
                following = seat.program.advance(logits[seat.slots])
            except Exception as error:
                failed[seat.running] = error
            else:
                if len(following.parents):
                    seats.append(seat)
                    going_on.append(GoingOn(seat.slots, seat.slots[following.parents], following.tokens))
                else:
                    seat.running.open_jobs -= 1
        self._follow(state, seats, going_on)
        for running in touched:
            if running not in failed:
                try:
                    running.on_step()
                except Exception as error:
                    failed[running] = error
        self._fail(failed)
        for running in touched:
            if running not in failed and running.open_jobs == 0:
                self._resume(running)

    def _resume(self, running: _Running[R]) -> None:
        """Let a task think until it wants more jobs, or is done."""
        try:
            jobs: list[Job] = []
            while not jobs:  # a task may find that it needs none
                jobs = next(running.task)
            running.open_jobs = len(jobs)
            self._waiting.extend((running, job) for job in jobs)
        except StopIteration as stop:
            self._tasks.remove(running)
            running.future.set_result(stop.value)
        except Exception as error:
            self._tasks.remove(running)
            running.future.set_exception(error)

    def _follow(self, state: State, seats: Sequence[_Seat], going_on: Sequence[GoingOn]) -> None:
        """Leave these seats, with the rows that go on."""
        if not seats:
            self._slots.clear()
            self._seats = []
            return
        places = self._slots.follow(state, going_on)
        self._seats = [seat._replace(slots=slots) for seat, slots in zip(seats, places, strict=True)]

    def _admit(self) -> None:
        """Encode what waits while there is room, and join it to the batch."""
        failed: dict[_Running[Any], Exception] = {}
        while self._waiting:
            running, job = self._waiting[0]
            wanted = job.program.rows
            if self._slots.count > 0 and self._slots.count + wanted > self._max_rows:
                break
            self._waiting.popleft()
            try:
                memory, state = self._runtime.encode(job.source_ids)
            except Exception as error:
                failed[running] = error
                continue
            self._seats.append(_Seat(running, job.program, self._slots.add(memory, state, wanted, START)))
        self._fail(failed)

    def _drop_cancelled(self) -> None:
        doomed: dict[_Running[Any], Exception] = {}
        for running in self._tasks:
            try:
                if running.is_cancelled():
                    doomed[running] = CancelledReplyError("the reply was stopped")
            except Exception as error:
                doomed[running] = error
        self._fail(doomed)

    def _fail(self, errors: dict[_Running[Any], Exception]) -> None:
        """Take tasks out of the batch and out of the queue, and put what stopped them into their futures."""
        if not errors:
            return
        seats = [seat for seat in self._seats if seat.running not in errors]
        if self._slots.state is not None and len(seats) < len(self._seats):
            tokens = self._slots.tokens
            staying = [GoingOn(seat.slots, seat.slots, tokens[seat.slots]) for seat in seats]
            self._follow(self._slots.state, seats, staying)
        self._waiting = deque((running, job) for running, job in self._waiting if running not in errors)
        for running, error in errors.items():
            self._tasks.remove(running)
            running.task.close()
            running.future.set_exception(error)


class Scheduler:
    """A thread that owns a ``DecodingLoop``; many threads submit tasks, each waits for its own future.

    The thread starts with the first task and ends when none came for a while, so that a scheduler which
    nobody uses any more, and its model with it, can go.
    """

    def __init__(self, runtime: Runtime, max_rows: int = 64, max_open: int = 1024, idle_s: float = 5.0) -> None:
        self._loop = DecodingLoop(runtime, max_rows)
        self._idle_s = idle_s
        self._open = threading.BoundedSemaphore(max_open)
        self._changed = threading.Condition()  # guards what follows
        self._arrived: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(
        self,
        task: Task[R],
        is_cancelled: Callable[[], bool] = lambda: False,
        on_step: Callable[[], None] = lambda: None,
    ) -> Future[R]:
        """Queue a task.

        Raises:
            queue.Full: too many are unfinished already.
            RuntimeError: the scheduler is closed.
        """
        future: Future[R] = Future()

        def start() -> None:
            if future.set_running_or_notify_cancel():
                self._loop.start(task, future, is_cancelled, on_step)

        if not self._open.acquire(blocking=False):
            raise queue.Full
        with self._changed:
            if self._is_closed:
                self._open.release()
                raise RuntimeError("the scheduler is closed")
            future.add_done_callback(lambda done: self._open.release())
            self._arrived.append(start)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="decoding", daemon=True)
                self._thread.start()
        return future

    def close(self) -> None:
        """Finish what was submitted, then end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._loop.is_idle:
                    self._changed.wait_for(lambda: self._arrived or self._is_closed, self._idle_s)
                    if not self._arrived:
                        self._thread = None
                        return
                arrived, self._arrived = self._arrived, []
            for start in arrived:
                start()
            self._loop.step()

"""The loop and its thread, driven by a runtime that counts instead of thinking: no model, no arithmetic."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, cast

import numpy as np
import pytest

from seq2seq.runtime import Memory, Runtime, State
from seq2seq.scheduler import CancelledReplyError, DecodingLoop, Job, Scheduler, Task
from seq2seq.search import NextRows


class CountingRuntime:
    """Every row's logits are (first id of its source, tokens read so far, the token read last)."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails_at: int | None = None

    def encode(self, source_ids: list[int]) -> tuple[Memory, State]:
        if source_ids[0] < 0:
            raise RuntimeError("unreadable source")
        name = np.full((1, 2, 1), source_ids[0], np.float32)
        return Memory(name, name.copy(), name[:, :, 0]), State(np.zeros((1, 1, 1), np.float32), name[:1, :1])

    def step(self, token_ids: Any, state: State, memory: Memory) -> tuple[Any, State]:
        self.gate.wait(10)
        self.batches.append(len(token_ids))
        if len(self.batches) == self.fails_at:
            raise RuntimeError("out of memory")
        assert (state.cell[0, :, 0] == memory.keys[:, 0, 0]).all()  # state and memory move together
        steps = state.hidden + 1
        logits = np.stack([memory.keys[:, 1, 0], steps[0, :, 0], token_ids], axis=1)
        return logits, State(steps, state.cell)


class Recorder:
    """Note what its rows see, for some steps; may change its rows, or raise."""

    def __init__(self, steps: int, rows: int = 1, plan: dict[int, list[int]] | None = None, raises: bool = False):
        self.rows, self.steps, self.plan, self.raises = rows, steps, plan or {}, raises
        self.seen: list[list[list[float]]] = []

    def advance(self, logits: Any) -> NextRows:
        if self.raises:
            raise ValueError("a program failed")
        self.seen.append(logits.tolist())
        place = len(self.seen)
        parents = [] if place == self.steps else self.plan.get(place, list(range(self.rows)))
        self.rows = len(parents)
        return NextRows(np.array(parents, np.int64), np.array([100 * place + n for n in range(self.rows)], np.int64))

    def hypotheses(self) -> list[Any]:
        return []


def loop_over(runtime: CountingRuntime, max_rows: int = 64) -> DecodingLoop:
    return DecodingLoop(cast(Runtime, runtime), max_rows)


def scheduler_over(runtime: CountingRuntime, **settings: Any) -> Scheduler:
    return Scheduler(cast(Runtime, runtime), **settings)


def decode(source: int, program: Recorder) -> Task[Recorder]:
    yield [Job([source], program)]
    return program


def test_rows_are_followed_wherever_they_move() -> None:
    loop = loop_over(CountingRuntime())
    moving = loop.start(decode(7, Recorder(4, rows=3, plan={1: [2, 2, 0, 1], 2: [3], 3: [0, 0]})))
    other = loop.start(decode(8, Recorder(4, rows=2)))
    loop.run()
    start = 1.0
    assert moving.result().seen == [
        [[7, 1, start]] * 3,
        [[7, 2, 100], [7, 2, 101], [7, 2, 102], [7, 2, 103]],
        [[7, 3, 200]],
        [[7, 4, 300], [7, 4, 301]],
    ]
    assert other.result().seen[3] == [[8, 4, 300], [8, 4, 301]]


def test_tasks_join_and_leave_at_every_step() -> None:
    runtime = CountingRuntime()
    loop = loop_over(runtime)
    loop.start(decode(1, Recorder(4)))
    loop.step()
    late = loop.start(decode(2, Recorder(1)))
    loop.run()
    assert runtime.batches == [1, 2, 1, 1]
    assert late.result().seen == [[[2, 1, 1]]]


def test_the_batch_is_never_wider_than_its_room_except_for_one_job() -> None:
    runtime = CountingRuntime()
    loop = loop_over(runtime, max_rows=4)
    for rows in (3, 2, 9, 1):
        loop.start(decode(1, Recorder(2, rows)))
    loop.run()
    assert runtime.batches == [3, 3, 2, 2, 9, 9, 1, 1]  # in the order in which they came


def test_a_task_may_think_between_its_jobs_and_need_none() -> None:
    def task() -> Generator[list[Job], None, list[int]]:
        first = Recorder(2)
        yield [Job([1], first)]
        yield []
        more = [Recorder(1), Recorder(3)]
        yield [Job([n], program) for n, program in enumerate(more)]
        return [len(first.seen), *(len(program.seen) for program in more)]

    loop = loop_over(CountingRuntime())
    future = loop.start(task())
    loop.run()
    assert future.result() == [2, 1, 3]
    nothing: Task[str] = iter_nothing()
    assert loop.start(nothing).result() == "done"


def iter_nothing() -> Task[str]:
    yield []
    return "done"


@pytest.mark.parametrize("where", ["program", "source", "task", "callback", "question", "first thought"])
def test_what_one_task_raises_never_hurts_another(where: str) -> None:
    def broken() -> Task[None]:
        if where == "first thought":
            raise ValueError("no thought")
        program = Recorder(2, raises=where == "program")
        yield [Job([-1 if where == "source" else 5], program), Job([6], Recorder(9))]
        raise ValueError("an afterthought")

    def fail() -> bool:
        raise ValueError("a callback failed")

    loop = loop_over(CountingRuntime())
    before = loop.start(decode(1, Recorder(3, rows=2)))
    future = loop.start(
        broken(),
        is_cancelled=fail if where == "question" else lambda: False,
        on_step=(lambda: None) if where != "callback" else lambda: fail() and None,
    )
    behind = loop.start(decode(2, Recorder(5)))
    loop.run()
    assert isinstance(future.exception(), ValueError | RuntimeError)
    assert before.result().seen[-1] == [[1, 3, 200], [1, 3, 201]]
    assert behind.result().seen[-1] == [[2, 5, 400]]


def test_a_step_that_fails_is_told_to_those_in_it_and_to_nobody_else() -> None:
    runtime = CountingRuntime()
    runtime.fails_at = 2
    loop = loop_over(runtime, max_rows=2)
    doomed = [loop.start(decode(1, Recorder(3))) for _ in range(2)]
    waiting = loop.start(decode(2, Recorder(3)))
    loop.run()
    assert [str(future.exception()) for future in doomed] == ["out of memory"] * 2
    assert len(waiting.result().seen) == 3


def test_cancelling_stops_between_tokens_and_leaves_others_alone() -> None:
    loop = loop_over(CountingRuntime())
    first = loop.start(decode(1, Recorder(4, rows=2)))
    program = Recorder(99, rows=3)
    stopped = loop.start(decode(2, program), is_cancelled=lambda: len(program.seen) == 2)
    last = loop.start(decode(3, Recorder(4)))
    loop.run()
    assert isinstance(stopped.exception(), CancelledReplyError)
    assert len(program.seen) == 2
    assert first.result().seen[-1] == [[1, 4, 300], [1, 4, 301]]
    assert last.result().seen[-1] == [[3, 4, 300]]


def test_what_waits_can_be_cancelled_before_it_begins() -> None:
    loop = loop_over(CountingRuntime(), max_rows=1)
    first = loop.start(decode(1, Recorder(2)))
    program = Recorder(2)
    waiting = loop.start(decode(2, program), is_cancelled=lambda: True)
    loop.run()
    assert first.done()
    assert isinstance(waiting.exception(), CancelledReplyError)
    assert program.seen == []


def test_many_threads_share_one_batch() -> None:
    runtime = CountingRuntime()
    scheduler = scheduler_over(runtime)
    results: dict[int, Recorder] = {}

    def ask(number: int) -> None:
        for _ in range(5):
            results[number] = scheduler.submit(decode(number, Recorder(3 + number % 4))).result(20)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.close()
    for number, program in results.items():
        assert [row[0][:2] for row in program.seen] == [[number, n + 1] for n in range(3 + number % 4)]


def test_the_queue_is_bounded() -> None:
    runtime = CountingRuntime()
    runtime.gate.clear()
    scheduler = scheduler_over(runtime, max_open=3)
    futures = [scheduler.submit(decode(n, Recorder(1))) for n in range(3)]
    with pytest.raises(queue.Full):
        scheduler.submit(decode(9, Recorder(1)))
    runtime.gate.set()
    assert [len(future.result(20).seen) for future in futures] == [1, 1, 1]
    assert scheduler.submit(decode(4, Recorder(1))).result(20)  # there is room again
    scheduler.close()


def test_closing_finishes_what_was_submitted() -> None:
    scheduler = scheduler_over(CountingRuntime(), max_rows=2)
    futures = [scheduler.submit(decode(n, Recorder(4))) for n in range(10)]
    scheduler.close()
    assert all(len(future.result(0).seen) == 4 for future in futures)
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.submit(decode(1, Recorder(1)))
    scheduler.close()


def test_an_idle_thread_ends_and_comes_back() -> None:
    scheduler = scheduler_over(CountingRuntime(), idle_s=0.01)
    before = threading.active_count()
    for _ in range(3):
        assert scheduler.submit(decode(1, Recorder(2))).result(20)
        for thread in threading.enumerate():
            if thread.name == "decoding":
                thread.join(20)
        assert threading.active_count() <= before


def test_a_future_cancelled_by_its_owner_stops_nothing_else() -> None:
    runtime = CountingRuntime()
    runtime.gate.clear()
    scheduler = scheduler_over(runtime)
    first = scheduler.submit(decode(1, Recorder(2)))
    while not first.running():  # the thread is at its gate from here on
        pass
    doomed: Future[Recorder] = scheduler.submit(decode(2, Recorder(2)))
    assert doomed.cancel()
    runtime.gate.set()
    assert len(first.result(20).seen) == 2
    assert len(scheduler.submit(decode(3, Recorder(2))).result(20).seen) == 2
    scheduler.close()

"""Writers that share a transaction: one commit for all, and each as if it were alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from storage.database import Database, StorageConfig
from storage.group_commit import GroupCommit


class CountingDatabase:
    """A table of numbers, and how often a transaction was begun."""

    def __init__(self, path: Path) -> None:
        self._database = Database(StorageConfig(f"sqlite:///{path}"))
        self.begun = 0
        with self._database.session(writes=True) as session:
            session.execute(text("CREATE TABLE numbers (number INTEGER UNIQUE)"))

    @contextmanager
    def begin(self) -> Iterator[Session]:
        self.begun += 1
        with self._database.session(writes=True) as session:
            yield session

    def numbers(self) -> list[int]:
        with self._database.session() as session:
            return list(session.scalars(text("SELECT number FROM numbers ORDER BY rowid")))

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[CountingDatabase]:
    opened = CountingDatabase(tmp_path / "numbers.db")
    yield opened
    opened.close()


def adding(number: int) -> Callable[[Session], int]:
    def work(session: Session) -> int:
        session.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})
        return number

    return work


def run_behind_a_slow_one(group: GroupCommit, *works: Callable[[Session], int]) -> list[Future[int]]:
    """Let all of ``works`` wait while another holds the writer."""
    is_held, may_go = threading.Event(), threading.Event()

    def hold(session: Session) -> None:
        is_held.set()
        assert may_go.wait(30)

    with ThreadPoolExecutor(len(works) + 1) as threads:
        threads.submit(group.run, hold)
        assert is_held.wait(30)
        futures = []
        for number, work in enumerate(works, 1):
            futures.append(threads.submit(group.run, work))
            while len(group._waiting) < number:
                time.sleep(0.001)
        may_go.set()
    return futures


def test_who_waits_together_commits_together_in_order(database: CountingDatabase) -> None:
    group = GroupCommit(database.begin)
    futures = run_behind_a_slow_one(group, *[adding(number) for number in range(20)])
    assert [future.result() for future in futures] == list(range(20))
    assert database.numbers() == list(range(20))
    assert database.begun == 2
    group.close()


def test_one_that_fails_takes_none_of_the_others_along(database: CountingDatabase) -> None:
    def fail(session: Session) -> int:
        adding(99)(session)
        raise ValueError("no")

    group = GroupCommit(database.begin)
    first, failed, last = run_behind_a_slow_one(group, adding(1), fail, adding(2))
    assert (first.result(), last.result()) == (1, 2)
    with pytest.raises(ValueError, match="no"):
        failed.result()
    assert database.numbers() == [1, 2]
    group.close()


def test_what_is_returned_is_committed(database: CountingDatabase) -> None:
    group = GroupCommit(database.begin)
    for number in range(5):
        group.run(adding(number))
        assert database.numbers()[-1] == number
    group.close()

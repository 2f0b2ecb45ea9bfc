"""Group commit: writers that wait at the same time share a transaction, and so one sync to the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.orm import Session

_MOST_TOGETHER = 100
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Job:
    work: Callable[[Session], Any]
    result: Future[Any] = field(default_factory=Future)


class GroupCommit:
    """Runs work of many threads in one thread, as much of it in one transaction as waits when the last one ends.

    Args:
        begin: opens a transaction that commits at the end of the block.
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[Session]]) -> None:
        self._begin = begin
        self._waiting: deque[_Job] = deque()
        self._writer = ThreadPoolExecutor(1, "writer")

    def run(self, work: Callable[[Session], _Result]) -> _Result:
        """Return what ``work`` returns, once that is committed; raise what it raises, once that is undone.

        ``work`` may be run twice, the first time undone: where one of a group fails, each is done by itself. So it
        changes the database and nothing else.
        """
        job = _Job(work)
        self._waiting.append(job)
        self._writer.submit(self._run_waiting)
        result: _Result = job.result.result()
        return result

    def close(self) -> None:
        self._writer.shutdown()

    def _run_waiting(self) -> None:
        jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
        if jobs:
            self._run_together(jobs)

    def _run_together(self, jobs: list[_Job]) -> None:
        is_begun = False
        try:
            with self._begin() as session:
                is_begun = True
                results = [_do(job, session) for job in jobs]
        except Exception as error:
            if is_begun and len(jobs) > 1:
                for job in jobs:
                    self._run_together([job])
            else:
                for job in jobs:
                    job.result.set_exception(error)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.result.set_result(result)


def _do(job: _Job, session: Session) -> Any:
    """Do one job as if it had the session for itself."""
    result = job.work(session)
    session.flush()
    session.expunge_all()
    return result

"""What lets a long run go on beside a bot without being felt, and keeps a second one from starting."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seq2seq.errors import TrainingError


def step_back(niceness: int) -> None:
    """Let every process of a lower niceness go first. Niceness only ever rises.

    Linux's ``/proc/self/autogroup`` is left alone: it is that of the whole session, the shell's too, and stays.
    """
    os.nice(max(0, niceness - os.nice(0)))


@contextmanager
def only_one(lock_file: Path, what: str) -> Iterator[None]:
    """Hold a lock while ``what`` runs; the system takes it back when the process ends, however it ends.

    Raises:
        TrainingError: another process holds it, or the file cannot be made.
    """
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        with lock_file.open("a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise TrainingError(
                    f"another {what} is running (process {file.read().strip() or 'unknown'}); let it end first"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield
    except OSError as error:
        raise TrainingError(f"{lock_file}: cannot be locked ({error.strerror or error})") from error

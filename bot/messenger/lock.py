"""One bot, one program: a second one on the same machine is refused at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import BotError


@contextmanager
def only_instance(folder: Path, bot: int) -> Iterator[None]:
    """Hold the lock of a bot, by its number, while the block runs; the system frees it when the program dies.

    Raises:
        BotError: another program holds it.
    """
    if sys.platform == "win32":  # no flock; a second poller is told by Telegram's conflict
        yield
        return
    import fcntl

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / f"telegram-{bot}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BotError("this bot runs already, with the same token and home; stop that one first") from None
        yield
    finally:
        os.close(lock)

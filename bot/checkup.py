"""What ``backchat doctor`` looks at: each check is a function that yields findings."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bot.assembly import open_registry, open_store
from bot.settings import Settings
from seq2seq.errors import Seq2SeqError
from seq2seq.model_files import load_model_dir
from seq2seq.predictor import Predictor
from storage.errors import StorageError

_LEAST_FREE_BYTES = 200 * 2**20
_EXTRAS = {
    "train": ("torch", "onnx", "safetensors", "sacrebleu", "matplotlib", "glin_profanity"),
    "postgres": ("psycopg",),
    "hf": ("datasets",),
    "tensorboard": ("tensorboard",),
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's; ``wrong`` needs mending, and the text says how."""

    state: Literal["fine", "note", "wrong"]
    subject: str
    text: str


def check_up(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say of this set-up."""
    yield _python()
    yield from _home(settings.home)
    yield _model(settings)
    yield _memory(settings)
    yield from _extras()


def _python() -> Finding:
    return Finding("fine", "python", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _home(home: Path) -> Iterator[Finding]:
    if not home.exists():
        yield Finding("note", "home", f"{home} is not there yet; the first chat makes it")
        return
    if not os.access(home, os.W_OK):
        yield Finding(
            "wrong", "home", f"{home} cannot be written: chown it, or set BACKCHAT_HOME to a folder of yours"
        )
        return
    yield Finding("fine", "home", str(home))
    free = shutil.disk_usage(home).free
    if free < _LEAST_FREE_BYTES:
        yield Finding("wrong", "disk", f"{free / 1e6:.0f} MB are free at {home}; make room, a model takes 40 MB")
    for name in ("conversations.db", "history", "backchat.toml"):
        path = home / name
        if sys.platform != "win32" and path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("wrong", name, f"others can read it: chmod 600 {path}")


def _model(settings: Settings) -> Finding:
    name = settings.chat.model
    try:
        path = open_registry(settings).resolve(name)
        model = load_model_dir(path, verify_digests=True)
        started = time.perf_counter()
        predictor = Predictor.load(path, settings.chat.threads)
        loaded = time.perf_counter()
        predictor.predict([["Hello."]])
        replied = time.perf_counter()
    except Seq2SeqError as error:
        return Finding("wrong", "model", str(error))
    return Finding(
        "fine",
        "model",
        f"{model.model_id}: whole, loaded in {1000 * (loaded - started):.0f} ms, "
        f"replied in {1000 * (replied - loaded):.0f} ms",
    )


def _memory(settings: Settings) -> Finding:
    try:
        store = open_store(settings)
        count = len(store.conversations(limit=1))
        store.close()
    except StorageError as error:
        return Finding("wrong", "memory", str(error))
    return Finding("fine", "memory", "opens, " + ("and has conversations" if count else "and is empty"))


def _extras() -> Iterator[Finding]:
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if not missing:
            yield Finding("fine", f"extra {extra}", "installed")
        elif extra == "train":
            yield Finding("note", "extra train", "not installed; training needs it: pip install 'backchat[train]'")

"""Corpora by name: a file, or one that a package brings. Splits that stay, digests and licences."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

from seq2seq.dialogues import (
    Dialogue,
    DialogueExchange,
    DialogueTurn,
    Exchange,
    exchanges,
    is_held_out,
)
from seq2seq.errors import CorpusError
from seq2seq.readers import FORMATS, BadLines, read_dialogues

__all__ = [
    "LICENCES",
    "Corpus",
    "Dialogue",
    "DialogueExchange",
    "DialogueTurn",
    "Exchange",
    "FileCorpus",
    "exchanges",
    "is_held_out",
    "open_corpus",
]

LICENCES = {
    "chitchat": "MIT",
    "self_dialogue": "BSD-3-Clause",
    "ms_chitchat_en": "MIT",
    "ms_chitchat_zh": "MIT",
    "chatterbot_en": "BSD-3-Clause",
    "chatterbot_zh": "BSD-3-Clause",
    "lccc_sample_zh": "MIT",
    "kdconv_zh": "Apache-2.0",
    "smilechat_zh": "CC0-1.0",
    "dailydialog": "CC-BY-NC-SA-4.0",
    "xdailydialog_zh": "CC-BY-NC-SA-4.0",
    "empathetic_dialogues": "CC-BY-NC-4.0",
    "swda": "CC-BY-NC-SA-3.0",
    "dream": "non-commercial research only",
    "cornell": "none stated; film scripts under copyright",
    "cmu_dog": "none stated",
    "mutual": "none stated",
    "meld": "none stated",
    "personachat": "none stated",
    "cped_zh": "none stated",
}


class Corpus(Protocol):
    """Dialogues that can be read again and again, in the same order each time."""

    @property
    def name(self) -> str:
        """Return the name that opened it."""

    @property
    def licence(self) -> str | None:
        """Return the licence of its dialogues where known, for provenance."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the content: equal digests give equal dialogues."""

    def __iter__(self) -> Iterator[Dialogue]: ...


class FileCorpus:
    """The dialogues of one file."""

    def __init__(self, path: Path, *, skip_bad_lines: bool = False) -> None:
        self.path = path
        self.name = str(path)
        self.bad_lines = BadLines(skip_bad_lines)

    def __iter__(self) -> Iterator[Dialogue]:
        self.bad_lines = BadLines(self.bad_lines.skip)
        return read_dialogues(self.path, self.bad_lines)

    @cached_property
    def digest(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @cached_property
    def licence(self) -> str | None:
        """Return the licence of the first dialogue's source: one file is taken to be one corpus."""
        first = next(iter(read_dialogues(self.path, BadLines(skip=True))), None)
        return LICENCES.get(first.source) if first else None


def open_corpus(name: str, *, skip_bad_lines: bool = False) -> Corpus:
    """Open a corpus by file path or by name.

    Raises:
        CorpusError: there is no such file or name.
    """
    path = Path(name)
    if path.is_file():
        return FileCorpus(path, skip_bad_lines=skip_bad_lines)
    raise CorpusError(f"{name}: no such corpus. Give a file ({', '.join(FORMATS)})")

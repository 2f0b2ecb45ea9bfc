"""Corpora by name: a file, or one that a package brings. Splits that stay, digests and licences."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
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
from seq2seq.lines import BadLines
from seq2seq.packaged import open_chatterbot, open_chitchat, open_hugging_face
from seq2seq.readers import FORMATS, read_dialogues

__all__ = [
    "LICENCES",
    "Corpus",
    "Dialogue",
    "DialogueExchange",
    "DialogueTurn",
    "Exchange",
    "FileCorpus",
    "SelectedCorpus",
    "exchanges",
    "is_held_out",
    "open_corpus",
    "select_ids",
]

LICENCES = {
    "chitchat": "MIT",
    "self_dialogue": "BSD-3-Clause",
    "ms_chitchat_en": "MIT",
    "ms_chitchat_zh": "MIT",
    "chatterbot_en": "BSD-3-Clause",
    "everyday_en": "MIT",
    "plain_en": "MIT",
    "everyday_zh": "MIT",
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
        self.name = path.name
        self.bad_lines = BadLines(skip_bad_lines)

    def __iter__(self) -> Iterator[Dialogue]:
        self.bad_lines = BadLines(self.bad_lines.skip)
        return read_dialogues(self.path, self.bad_lines)

    @cached_property
    def digest(self) -> str:
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be read ({error.strerror or error})") from error

    @cached_property
    def licence(self) -> str | None:
        """Return the licence of the first dialogue's source: one file is taken to be one corpus."""
        first = next(iter(read_dialogues(self.path, BadLines(skip=True))), None)
        return LICENCES.get(first.source) if first else None


class SelectedCorpus:
    """A corpus without some of its dialogues: those that a list names, or those that it does not."""

    def __init__(self, corpus: Corpus, ids: frozenset[str], *, keep: bool) -> None:
        self._corpus, self._ids, self._keep = corpus, ids, keep
        self.name, self.licence = corpus.name, corpus.licence

    def __iter__(self) -> Iterator[Dialogue]:
        return (dialogue for dialogue in self._corpus if (dialogue.id in self._ids) == self._keep)

    @cached_property
    def digest(self) -> str:
        selection = json.dumps([self._corpus.digest, sorted(self._ids), self._keep])
        return hashlib.sha256(selection.encode()).hexdigest()


def open_corpus(name: str, *, skip_bad_lines: bool = False) -> Corpus:
    """Open a corpus: a file, ``chitchat``, ``chitchat:valid``, ``chatterbot:LANGUAGE`` or ``hf:NAME``.

    Raises:
        CorpusError: there is no such file or name.
        MissingExtraError: the package that brings the corpus is not installed.
    """
    if Path(name).is_file():
        return FileCorpus(Path(name), skip_bad_lines=skip_bad_lines)
    kind, _, rest = name.partition(":")
    if name == "chitchat":
        return open_chitchat()
    if name == "chitchat:valid":
        return open_chitchat("valid")
    if kind == "chatterbot" and rest:
        return open_chatterbot(rest)
    if kind == "hf" and rest:
        return open_hugging_face(rest)
    raise CorpusError(
        f"{name}: no such file or corpus. Possible are a file ({', '.join(FORMATS)}), chitchat, chitchat:valid, "
        "chatterbot:LANGUAGE (such as chatterbot:english) and hf:NAME"
    )


def select_ids(corpus: Corpus, ids_file: Path, *, keep: bool = True) -> SelectedCorpus:
    """Keep only, or leave out, the dialogues whose ids a text file lists, one a line (``.gz`` too).

    Raises:
        CorpusError: the list cannot be read.
    """
    opener = gzip.open if ids_file.suffix == ".gz" else open
    try:
        with opener(ids_file, "rt", encoding="utf-8") as lines:
            ids = frozenset(line.strip() for line in lines)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorpusError(f"{ids_file}: not a readable list of dialogue ids ({error})") from error
    return SelectedCorpus(corpus, ids - {""}, keep=keep)

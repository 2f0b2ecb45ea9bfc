"""Corpora as commands name them: those of the model's package, or the memory by its database URL."""

from __future__ import annotations

from seq2seq.corpus import Corpus
from seq2seq.corpus import open_corpus as open_named


def open_corpus(name: str, *, skip_bad_lines: bool = False) -> Corpus:
    """Open a corpus.

    Raises:
        CorpusError: there is no such file or name, or the database cannot be read.
    """
    return open_named(name, skip_bad_lines=skip_bad_lines)

"""Corpora as commands name them: those of the model's package, or the memory by its database URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from seq2seq.corpus import Corpus, Dialogue
from seq2seq.corpus import open_corpus as open_named
from seq2seq.dialogues import DialogueTurn
from seq2seq.errors import CorpusError
from seq2seq.provenance import LearnedRound

if TYPE_CHECKING:
    from bot.settings import Settings
    from storage.records import LoggedExchange
    from storage.store import ConversationStore

_RESPONDER = "response"


class MemoryCorpus:
    """What may be learned from a memory: an exchange a dialogue, under the id of its conversation.

    The id keeps a whole conversation on one side of the split.
    """

    licence: str | None = None

    def __init__(self, name: str, store: ConversationStore, settings: Settings) -> None:
        self.name, self._store, self._settings = name, store, settings

    def __iter__(self) -> Iterator[Dialogue]:
        for exchange in self._exchanges():
            context = [DialogueTurn(f"context {age}", text) for age, text in enumerate(exchange.context)]
            turns = (*context, DialogueTurn(_RESPONDER, exchange.response))
            yield Dialogue(exchange.conversation, "memory", turns, responders=frozenset({_RESPONDER}))

    def learned_round(self, collected: datetime) -> LearnedRound:
        """List what is in it now, for the model that is trained on it."""
        return LearnedRound.of(self._exchanges(), collected)

    def _exchanges(self) -> Iterator[LoggedExchange]:
        from bot.intake import IntakeReport, exchanges_to_learn

        found = exchanges_to_learn(self._store, self._settings, IntakeReport())
        return (exchange for exchange in found if not exchange.is_rejected)

    @cached_property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for dialogue in self:
            digest.update(repr((dialogue.id, [turn.text for turn in dialogue.turns])).encode("utf-8", "replace"))
        return digest.hexdigest()


def open_corpus(name: str, *, skip_bad_lines: bool = False) -> Corpus:
    """Open a corpus.

    Raises:
        CorpusError: there is no such file or name, or a database URL is malformed or holds a password.
        StorageError: the database cannot be opened.
    """
    if "://" not in name:
        return open_named(name, skip_bad_lines=skip_bad_lines)
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from bot.settings import load_settings
    from storage.store import ConversationStore, StorageConfig

    try:
        url = make_url(name)
    except (ArgumentError, ValueError) as error:  # a port that is no number
        raise CorpusError(f"{name}: not a database URL ({error})") from None
    if url.password:  # it would stand in the run's settings
        raise CorpusError("leave the password out of the database URL; PGPASSWORD or ~/.pgpass gives it")
    return MemoryCorpus(name, ConversationStore(StorageConfig(name)), load_settings())

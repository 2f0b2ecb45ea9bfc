"""Which turns of the memory a model was trained on: ``learned.json`` in its folder, no words in it.

A model that goes on from another has seen all that the other saw, so its file begins with the other's rounds. Turns
are listed by id: the memory never uses one again, and so can tell which of them were erased since. Exchanges are
listed by a salted digest: whoever has the words can find them again, and nobody can compare two models' lists.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from seq2seq.errors import ModelFilesError
from seq2seq.model_files import LEARNED, ModelDir
from seq2seq.registry import Registry

_FORMAT = 1


class KnownExchange(Protocol):
    """An exchange of the memory, as far as its origin goes."""

    @property
    def context(self) -> Sequence[str]: ...

    @property
    def response(self) -> str: ...

    @property
    def origin(self) -> str:
        """Return how it came into the memory: said, taught, rated, imported."""

    @property
    def turn_ids(self) -> Sequence[int]:
        """Return every turn whose words are in it."""


@dataclass(frozen=True)
class LearnedRound:
    """What one retraining was trained on.

    Attributes:
        collected: when the memory was read; what was erased later may be in the model.
        turn_ids: all turns whose words were used, ascending.
        digests: of each exchange, see ``digest_of``.
        origins: how many exchanges came from where.
    """

    collected: datetime
    salt: str
    turn_ids: tuple[int, ...]
    digests: tuple[str, ...]
    origins: dict[str, int]

    @classmethod
    def of(cls, exchanges: Iterable[KnownExchange], collected: datetime, salt: str | None = None) -> LearnedRound:
        """List exchanges. The salt is drawn where it is not given."""
        salt = salt or secrets.token_hex(16)
        known = list(exchanges)
        return cls(
            collected,
            salt,
            tuple(sorted({turn for exchange in known for turn in exchange.turn_ids})),
            tuple(digest_of(exchange.context, exchange.response, salt) for exchange in known),
            dict(Counter(exchange.origin for exchange in known)),
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "collected": self.collected.isoformat(),
            "salt": self.salt,
            "turn_ids": list(self.turn_ids),
            "digests": list(self.digests),
            "origins": self.origins,
        }


@runtime_checkable
class FromMemory(Protocol):
    """A corpus that is read from a memory."""

    def learned_round(self, collected: datetime) -> LearnedRound:
        """Return the list of what is in it now."""


def digest_of(context: Sequence[str], response: str, salt: str) -> str:
    """Return the salted digest of an exchange."""
    words = json.dumps([*context, response], ensure_ascii=True).encode()
    return hashlib.blake2b(words, digest_size=16, key=salt.encode()).hexdigest()


def write_learned(folder: Path, rounds: Sequence[LearnedRound]) -> None:
    """Write the list into a model's folder that is being made."""
    content = {"format": _FORMAT, "rounds": [one.as_dict() for one in rounds]}
    (folder / LEARNED).write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_learned(model: ModelDir) -> tuple[LearnedRound, ...]:
    """Return the rounds of learning from a memory that a model went through, oldest first; often none.

    Raises:
        ModelFilesError: the list is damaged, or newer than this program.
    """
    if LEARNED not in model.manifest["files"]:
        return ()
    try:
        content = json.loads(model.read_checked(LEARNED))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}, this version reads {_FORMAT}")
        return tuple(
            LearnedRound(
                datetime.fromisoformat(one["collected"]),
                one["salt"],
                tuple(one["turn_ids"]),
                tuple(one["digests"]),
                one["origins"],
            )
            for one in content["rounds"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFilesError(f"{model.path / LEARNED}: not a readable list of what was learned ({error})") from error


def has_learned(model: ModelDir) -> bool:
    """Tell whether a model was trained on a memory, and so on what people wrote to a bot."""
    return LEARNED in model.manifest["files"]


def summary(rounds: Sequence[LearnedRound]) -> dict[str, Any]:
    """Return the short form, for the manifest."""
    return {
        "collected": rounds[-1].collected.isoformat(timespec="seconds"),
        "exchanges": len(rounds[-1].digests),
        "origins": rounds[-1].origins,
        "turns": len({turn for one in rounds for turn in one.turn_ids}),
        "rounds": len(rounds),
    }


def models_that_saw(registry: Registry, turn_ids: Collection[int]) -> list[str]:
    """Return the ids of the models that were trained on any of these turns, or whose list cannot be read."""
    wanted = frozenset(turn_ids)
    models = (entry.model for entry in registry.entries() if entry.model is not None)
    return [model.model_id for model in models if _may_have_seen(model, wanted)]


def _may_have_seen(model: ModelDir, turn_ids: frozenset[int]) -> bool:
    try:
        return any(turn_ids.intersection(one.turn_ids) for one in read_learned(model))
    except ModelFilesError:
        return True


def erased_since(rounds: Sequence[LearnedRound], erased_from: Callable[[datetime], Collection[int]]) -> int:
    """Return how many of the turns that a model saw were erased after it had seen them.

    Args:
        erased_from: the memory's answer to which turns were erased from a moment on.
    """
    return len({turn for one in rounds for turn in frozenset(erased_from(one.collected)).intersection(one.turn_ids)})

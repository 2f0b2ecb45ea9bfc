"""LeakGuard: what only one other person ever wrote is not said to anybody else.

Only a model that learned from the memory can know what people wrote, so only its replies are looked at. All runs of
some words in a row that people wrote are kept as 64-bit hashes, with their voice where it was a single one. The runs
are read again for each model, when it first replies; what was said later it cannot have learned.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bot import policy
from bot.engine import Reply, ReplyEngine, ReplyRequest
from seq2seq.evaluation.metrics import is_unspaced, words
from storage.importing import is_imported
from storage.store import ConversationStore
from storage.voices import Said

RULED_OUT = "repeats what only one other person wrote"
RUN_WORDS = 6  # so many words in a row can hardly be anybody's by chance
_RUN_CHARACTERS = 12  # of scripts without blanks, where each character counts as a word
_SEVERAL = -1


class RunIndex:
    """Whose runs of words are whose. Texts that differ in case and punctuation only have the same runs.

    Attributes:
        hashes: int64 [runs], ascending.
        voices, places: int32 [runs], numbers of the person and the conversation; -1 where there were several.
        people: number of each person, by name.
    """

    def __init__(self, said: Iterable[Said]) -> None:
        people: dict[str, int] = {}
        places: dict[str, int] = {}
        columns = array("q"), array("i"), array("i")
        for person, place, text in said:
            voice = people.setdefault(person, len(people))
            where = places.setdefault(place, len(places))
            for run in _runs(text):
                for column, value in zip(columns, (hash(run), voice, where), strict=True):
                    column.append(value)
        hashes, voices, wheres = (np.array(column, kind) for column, kind in zip(columns, "qii", strict=True))
        self.people, self._places = people, places
        self.hashes, starts = np.unique(hashes[order := np.argsort(hashes, kind="stable")], return_index=True)
        self.voices, self.places = (_only(values[order], starts) for values in (voices, wheres))

    def __len__(self) -> int:
        return len(self.hashes)

    def is_private(self, text: str, listeners: Iterable[str], conversation: str, heard: Sequence[str]) -> bool:
        """Tell whether a text holds a run that one person alone wrote, who is not among the listeners.

        Args:
            listeners: the names of whoever is answered.
            conversation: what was said there is known there.
            heard: the turns before the text; what stands there is no secret either.
        """
        runs = list(_runs(text))
        if not runs or not len(self):
            return False
        wanted = np.array([hash(run) for run in runs], "q")
        found = np.minimum(np.searchsorted(self.hashes, wanted), len(self) - 1)
        here = self._places.get(conversation, _SEVERAL)
        known = {number for name in listeners if (number := self.people.get(name)) is not None}
        suspects = [
            run
            for run, place, value in zip(runs, found, wanted, strict=True)
            if self.hashes[place] == value
            and self.voices[place] not in known | {_SEVERAL}
            and (self.places[place] != here or here == _SEVERAL)
        ]
        return bool(suspects) and not set(suspects) <= {run for turn in heard for run in _runs(turn)}


class LeakGuard:
    """Rules out replies that give away what one person wrote. Safe to share between threads."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._index: tuple[str, RunIndex] | None = None

    def reply(self, engine: ReplyEngine, request: ReplyRequest, person: str, conversation: str) -> Reply:
        """Reply by an engine, and give nobody away: neither while the reply grows, nor in candidates that are kept.

        Where nothing is left to say, ``rank`` is asked once for other candidates.
        """
        if not engine.has_learned:
            return engine.reply(request)
        is_private = self._asked_by(engine.model_id, person, conversation, request.context)
        show = request.on_text

        def show_what_may_be(text: str) -> None:
            if show is not None and not is_private(text):
                show(text)

        guarded = replace(request, on_text=show_what_may_be if show is not None else None)
        reply = _without(engine.reply(guarded), is_private)
        if reply.model_id == policy.MODEL_ID and reply.candidates:
            decoding = (request.decoding or engine.decoding).with_changes(strategy="rank")
            again = _without(engine.reply(replace(request, decoding=decoding, on_text=None)), is_private)
            return replace(again, candidates=(*again.candidates, *reply.candidates))
        return reply

    def _asked_by(self, model_id: str, person: str, conversation: str, heard: Sequence[str]) -> Callable[[str], bool]:
        """Return what tells of a text whether it gives somebody away to this person, here.

        Whoever sits at the terminal owns the memory: imported chats are theirs.
        """
        index = self._index_for(model_id)
        listeners = [person, *self._store.people.identities(person)]
        if any(name.startswith("terminal:") for name in listeners):
            listeners += filter(is_imported, index.people)
        return lambda text: index.is_private(text, listeners, conversation, heard)

    def _index_for(self, model_id: str) -> RunIndex:
        with self._lock:
            if self._index is None or self._index[0] != model_id:
                self._index = (model_id, RunIndex(self._store.voices.all_said()))
            return self._index[1]


def _without(reply: Reply, is_private: Callable[[str], bool]) -> Reply:
    """Return a reply that gives nobody away: itself, the next best candidate, or that there is nothing to say.

    Candidates that are ruled out stand last, without their words, which must not be seen.
    """
    if reply.is_cut:
        return replace(reply, text="") if is_private(reply.text) else reply
    kept = [one for one in reply.candidates if not is_private(one.text)]
    if len(kept) == len(reply.candidates):
        return reply
    hidden = [replace(one, text="", token_ids=(), ruled_out=RULED_OUT) for one in reply.candidates if one not in kept]
    text, tokens = (kept[0].text, len(kept[0].token_ids)) if kept else (policy.NOTHING_TO_SAY, 0)
    model_id = reply.model_id if kept else policy.MODEL_ID
    return replace(reply, text=text, tokens=tokens, model_id=model_id, candidates=(*kept, *hidden))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the runs of words of a text, from left to right; none of one that is shorter than a run."""
    said = words(text)
    length = RUN_WORDS if text.isascii() or not is_unspaced([text]) else _RUN_CHARACTERS
    return (tuple(said[start : start + length]) for start in range(len(said) - length + 1))


def _only(values: NDArray[np.int32], starts: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return the value of each group that has only one, -1 of the others.

    Args:
        values: int32 [rows], group after group.
        starts: where each group begins.
    """
    if not len(values):
        return values
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return np.where(low == high, low, np.int32(_SEVERAL))

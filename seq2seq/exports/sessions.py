"""Chats cut into dialogues: where a long silence lies between two messages, one talk ends and the next begins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice, pairwise
from operator import attrgetter

from seq2seq.dialogues import Dialogue, make_dialogue
from seq2seq.exports.notes import ChatMessage, ChatNotes

DEFAULT_SILENCE_HOURS = 4.0
LADDER_HOURS = (0.5, 1.0, 2.0, 4.0)  # few and far between, so that a chat that grows seldom changes its place
MAX_SILENCE_HOURS = 64.0
MIN_GAPS = 100  # fewer say too little
_SLOW_CHAT_FACTOR = 8  # a silence is at least so many times the usual gap
_INFERENCE_MESSAGES = 20_000  # the first of a chat, on which its silence is inferred: what memory must hold
_MAX_SESSION_MESSAGES = 1000  # a talk without end is cut, so that it never stands in memory whole


def dialogues_of(messages: Iterable[ChatMessage], source: str, notes: ChatNotes) -> Iterator[Dialogue]:
    """Cut messages, chat after chat, into dialogues of the given source.

    A dialogue's id is that of its first message, or comes from the content of its first two where the export has
    no ids: it stays the same when the chat is exported again with more in it.
    """
    for chat, of_chat in groupby(messages, key=attrgetter("chat")):
        first = list(islice(of_chat, _INFERENCE_MESSAGES))
        silence_hours = notes.silence_hours
        if silence_hours is None:
            silence_hours = infer_silence_hours([abs(b.time_s - a.time_s) for a, b in pairwise(first)])
        notes.silences[silence_hours] += 1
        is_newest_first = len(first) > 1 and first[0].time_s > first[-1].time_s
        for session in sessions(chain(first, of_chat), silence_hours):
            if is_newest_first:
                session.reverse()
            dialogue = make_dialogue(
                ((message.speaker, message.text) for message in session),
                source=source,
                dialogue_id=f"{chat}/{session[0].id}" if session[0].id else _content_id(session),
            )
            if dialogue:
                yield dialogue


def sessions(messages: Iterable[ChatMessage], silence_hours: float) -> Iterator[list[ChatMessage]]:
    """Yield the messages between two silences, in the order of the export; time may run either way."""
    silence_s = silence_hours * 3600
    session: list[ChatMessage] = []
    for message in messages:
        if session and (
            abs(message.time_s - session[-1].time_s) >= silence_s or len(session) == _MAX_SESSION_MESSAGES
        ):
            yield session
            session = []
        session.append(message)
    if session:
        yield session


def infer_silence_hours(gaps_s: Sequence[float]) -> float:
    """Return the silence that parts two talks, from the gaps in seconds between a chat's messages.

    People answer within minutes or come back after a night, so the lengths of gaps have two humps and a valley
    between (Halfaker et al. 2015, arXiv:1411.2878, fit both; here the valley is enough): of half an hour, 1, 2
    and 4 hours, the one around which the fewest gaps lie, within a factor of the square root of 2. It is doubled
    until it is eight times the median gap, so that a slow chat isn't cut into single messages, up to 64 hours.
    Fewer than 100 gaps say too little of a valley: then it is 4 hours, doubled likewise.
    """
    silence = DEFAULT_SILENCE_HOURS
    if not gaps_s:
        return silence
    hours = sorted(gap / 3600 for gap in gaps_s)
    if len(hours) >= MIN_GAPS:
        around = {step: sum(step / 2**0.5 <= gap < step * 2**0.5 for gap in hours) for step in LADDER_HOURS}
        silence = min(LADDER_HOURS, key=lambda step: (around[step], abs(step - DEFAULT_SILENCE_HOURS)))
    while silence < _SLOW_CHAT_FACTOR * hours[len(hours) // 2] and silence < MAX_SILENCE_HOURS:
        silence *= 2
    return silence


def _content_id(session: Sequence[ChatMessage]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for message in session[:2]:
        digest.update(f"{message.time_s:.0f}\n{message.speaker}\n{message.text}\n".encode("utf-8", "replace"))
    return digest.hexdigest()

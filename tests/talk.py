"""Conversations that tests of the memory are made of."""

from __future__ import annotations

from storage.records import ReplyRecord, Turn
from storage.store import ConversationStore

ADA, BOB = "terminal:ada", "telegram:7"


def record(**changes: object) -> ReplyRecord:
    values: dict[str, object] = {"model_id": "m1", "strategy": "rank", "seed": 5, "tokens": 3, "latency_ms": 1.5}
    return ReplyRecord(**(values | changes))  # type: ignore[arg-type]


def say(store: ConversationStore, *texts: str, conversation: str = "ada/1", person: str = ADA) -> list[Turn]:
    """Let person and bot say ``texts`` in turn, the person first."""
    turns: list[Turn] = []
    for number, text in enumerate(texts):
        if number % 2:
            turns.append(store.add_reply(turns[-1], text, record()))
        else:
            turns.append(store.add_turn(conversation, text, person=person))
    return turns


def texts_of(turns: list[Turn]) -> list[str]:
    return [turn.text for turn in turns]

"""A model talking with itself: whole conversations, and what they measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from seq2seq.config import DecodingConfig
from seq2seq.evaluation.judges import Judges, Verdict
from seq2seq.evaluation.likelihood import OnProgress
from seq2seq.evaluation.metrics import TextMeasures, words
from seq2seq.persona import NOBODY, Persona
from seq2seq.predictor import Predictor

TURNS = 12  # replies in a conversation, the given opening not among them


@dataclass(frozen=True)
class SelfChat:
    """Conversations, each a given opening and the replies to it by turns.

    Attributes:
        measures: of all replies, each against the turn before it.
        echo_share: share of replies that some earlier turn of their conversation says word for word.
        dead_share: share of conversations that end in a circle: the last four turns say two things or fewer.
        verdict: the judges' on all replies, where they were asked.
    """

    conversations: tuple[tuple[str, ...], ...]
    measures: TextMeasures
    echo_share: float
    dead_share: float
    verdict: Verdict | None = None

    @classmethod
    def of(cls, conversations: Sequence[Sequence[str]]) -> SelfChat:
        """Measure conversations; there is at least one, of an opening and at least one reply."""
        last_turns, replies = _pairs(conversations)
        echoes = sum(_echoes(talk) for talk in conversations)
        dead = sum(len({_folded(turn) for turn in talk[-4:]}) <= min(2, len(talk) - 1) for talk in conversations)
        return cls(
            tuple(tuple(talk) for talk in conversations),
            TextMeasures.of(replies, last_turns),
            echoes / len(replies),
            dead / len(conversations),
        )

    def judged(self, judges: Judges, seed: int, on_progress: OnProgress) -> SelfChat:
        """Return the same with the verdict of judges on every reply."""
        last_turns, replies = _pairs(self.conversations)
        return replace(self, verdict=judges.judge(last_turns, replies, len(replies), seed, on_progress))

    def as_dict(self) -> dict[str, Any]:
        """Return the figures; the talks are left to the report."""
        return {
            "conversations": len(self.conversations),
            "turns": sum(map(len, self.conversations)),
            "echo_share": self.echo_share,
            "dead_share": self.dead_share,
            "measures": asdict(self.measures),
            **({"judges": self.verdict.as_dict()} if self.verdict else {}),
        }


def chat_with_itself(
    predictor: Predictor,
    decoding: DecodingConfig,
    openings: Sequence[str],
    count: int,
    seed: int,
    on_progress: OnProgress,
    persona: Persona = NOBODY,
    turns: int = TURNS,
) -> SelfChat:
    """Let the model talk with itself ``count`` times, from the openings in turn; seeds differ, so talks do."""
    talks = [[openings[number % len(openings)]] for number in range(count)]
    for turn in range(turns):
        on_progress("self-chat", turn, turns)
        seeds = [seed + number * turns + turn for number in range(count)]
        for talk, candidates in zip(talks, predictor.predict(talks, decoding, seeds, persona), strict=True):
            talk.append(candidates[0].text if candidates else "...")
    on_progress("self-chat", turns, turns)
    return SelfChat.of(talks)


def _pairs(conversations: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the turns that are answered, and the replies to them."""
    pairs = [pair for talk in conversations for pair in pairwise(talk)]
    return [turn for turn, _ in pairs], [reply for _, reply in pairs]


def _echoes(talk: Sequence[str]) -> int:
    said: set[str] = set()
    echoes = 0
    for place, turn in enumerate(map(_folded, talk)):
        echoes += place > 0 and turn in said
        said.add(turn)
    return echoes


def _folded(turn: str) -> str:
    return " ".join(words(turn)) or turn

"""What a model says by itself, to rehearse where no corpus is at hand (pseudorehearsal: Robins 1995)."""

from __future__ import annotations

from seq2seq.config import DecodingConfig
from seq2seq.evaluation.likelihood import OnProgress
from seq2seq.mixing import WeightedExchange
from seq2seq.predictor import Predictor

_TURNS = 4  # of each talk
_CHUNK = 64  # talks made at once
_SAMPLING = DecodingConfig(strategy="sample", temperature=1.0, top_p=1.0, no_repeat_ngram=0, max_tokens=40)


def rehearse(predictor: Predictor, count: int, seed: int, on_progress: OnProgress) -> list[WeightedExchange]:
    """Let a model talk with itself, drawing from its whole distribution, for ``count`` exchanges or a few more."""
    made: list[WeightedExchange] = []
    while len(made) < count:
        on_progress("rehearsal", len(made), count)
        talks: list[list[str]] = [[] for _ in range(_CHUNK)]
        for turn in range(_TURNS):
            seeds = [seed + (len(made) + number) * _TURNS + turn for number in range(len(talks))]
            found = predictor.predict(talks, _SAMPLING, seeds)
            talks = [[*talk, drawn[0].text] for talk, drawn in zip(talks, found, strict=True) if drawn]
            if turn:
                made += [WeightedExchange(tuple(talk[:-1]), talk[-1]) for talk in talks]
    on_progress("rehearsal", count, count)
    return made

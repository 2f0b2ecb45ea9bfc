"""What a model says by itself, to rehearse where no corpus is at hand (pseudorehearsal: Robins 1995)."""

from __future__ import annotations

from itertools import count as count_up

from seq2seq.config import DecodingConfig
from seq2seq.errors import TrainingError
from seq2seq.evaluation.likelihood import OnProgress
from seq2seq.learning.mixing import WeightedExchange
from seq2seq.predictor import Predictor

_TURNS = 4  # of each talk
_CHUNK = 64  # talks made at once
_SAMPLING = DecodingConfig(strategy="sample", temperature=1.0, top_p=1.0, no_repeat_ngram=0, max_tokens=40)


def rehearse(predictor: Predictor, count: int, seed: int, on_progress: OnProgress) -> list[WeightedExchange]:
    """Let a model talk with itself, drawing from its whole distribution, for ``count`` exchanges or a few more.

    Raises:
        TrainingError: it has nothing to say.
    """
    made: list[WeightedExchange] = []
    for round_number in count_up():
        before = len(made)
        on_progress("rehearsal", before, count)
        talks: list[list[str]] = [[] for _ in range(_CHUNK)]
        for turn in range(_TURNS):
            first = seed + (round_number * _TURNS + turn) * _CHUNK
            seeds = [first + number for number in range(len(talks))]
            found = predictor.predict(talks, _SAMPLING, seeds)
            talks = [[*talk, drawn[0].text] for talk, drawn in zip(talks, found, strict=True) if drawn]
            if turn:
                made += [WeightedExchange(tuple(talk[:-1]), talk[-1]) for talk in talks]
        if len(made) >= count:
            break
        if len(made) == before:
            raise TrainingError("the model has nothing to rehearse; name a corpus in retraining.base")
    on_progress("rehearsal", count, count)
    return made

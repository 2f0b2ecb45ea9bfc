"""Replies to fixed prompts by every strategy, unedited: what numbers cannot show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seq2seq.config import STRATEGIES, DecodingConfig
from seq2seq.persona import NOBODY, Persona
from seq2seq.predictor import Predictor


@dataclass(frozen=True)
class Sample:
    """A context, and the reply of each strategy, by name; empty where every candidate was refused.

    ``is_fact`` where the persona file replies, and no strategy.
    """

    context: tuple[str, ...]
    replies: Mapping[str, str]
    is_fact: bool = False


def reply_to_prompts(
    predictor: Predictor,
    decoding: DecodingConfig,
    prompts: Sequence[tuple[str, ...]],
    seed: int,
    persona: Persona = NOBODY,
) -> list[Sample]:
    """Reply to each prompt once by each strategy, the model's own first; seeds are ``seed`` and those after it."""
    strategies = sorted(STRATEGIES, key=lambda strategy: strategy != decoding.strategy)
    seeds = [seed + number for number in range(len(prompts))]
    columns = {
        strategy: [
            candidates[0] if candidates else None
            for candidates in predictor.predict(prompts, decoding.with_changes(strategy=strategy), seeds, persona)
        ]
        for strategy in strategies
    }
    samples = []
    for number, prompt in enumerate(prompts):
        said = {strategy: column[number] for strategy, column in columns.items()}
        replies: dict[str, str] = {
            strategy: candidate.text if candidate else "" for strategy, candidate in said.items()
        }
        is_fact = any(candidate is not None and candidate.fact is not None for candidate in said.values())
        samples.append(Sample(prompt, replies, is_fact))
    return samples

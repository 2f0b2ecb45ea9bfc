"""A tiny model must learn what a tiny model can: otherwise no larger one learns what it should."""

from __future__ import annotations

import random
from pathlib import Path

from seq2seq.config import TrainingConfig
from tests.builders import greedy_reply, train_tiny

TWENTY = tuple(
    (f"{question} {thing}?", f"{answer} {thing}.")
    for thing, answer in zip(
        ("apples", "boats", "clouds", "dogs", "eggs", "forks", "goats", "hats", "ink", "jam"),
        (
            "I eat",
            "I sail",
            "I watch",
            "I walk",
            "I boil",
            "I polish",
            "I milk",
            "I wear",
            "I spill",
            "I make",
        ),
        strict=True,
    )
    for question in ("What about", "Do you like")
)


def test_twenty_exchanges_are_recited(tmp_path: Path) -> None:
    config = TrainingConfig(updates=250, batch_size=20, learning_rate=1e-2, validations=5, reverse_share=0.0)
    model, tokenizer, _ = train_tiny(TWENTY, tmp_path, config)
    assert [greedy_reply(model, tokenizer, [prompt]) for prompt, _ in TWENTY] == [reply for _, reply in TWENTY]


def _digits(generator: random.Random) -> str:
    return " ".join(generator.choice("0123456789") for _ in range(generator.randint(2, 5)))


def _share_right(pairs: list[tuple[str, str]], folder: Path, updates: int) -> float:
    config = TrainingConfig(
        updates=updates,
        batch_size=64,
        learning_rate=8e-3,
        validations=4,
        dropout=0.0,
        reverse_share=0.0,
        no_context_share=0.0,
        style_share=0.0,
    )
    training, unseen = pairs[:-50], [pair for pair in pairs[-50:] if pair not in pairs[:-50]]
    model, tokenizer, _ = train_tiny(training, folder, config)
    return sum(greedy_reply(model, tokenizer, [a]) == b for a, b in unseen) / len(unseen)


def test_copying_digits_is_learned(tmp_path: Path) -> None:
    generator = random.Random(1)
    words = [_digits(generator) for _ in range(2500)]
    assert _share_right([(word, word) for word in words], tmp_path, 500) >= 0.9


def test_reversing_digits_is_learned(tmp_path: Path) -> None:
    generator = random.Random(2)
    words = [_digits(generator) for _ in range(2500)]
    assert _share_right([(word, word[::-1]) for word in words], tmp_path, 700) >= 0.9

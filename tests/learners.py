"""A tiny model, a memory of what people said, and the settings to retrain in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seq2seq.config import RetrainingConfig
from seq2seq.corpus import open_corpus
from seq2seq.learning.gate import GateConfig
from seq2seq.learning.retraining import Outcome, Settings, retrain
from seq2seq.registry import Registry
from tests.builders import KEEP_ALL, SMALL_TALK
from tests.published import publish_tiny, write_corpus

QUICK = RetrainingConfig(
    minutes=0.05,
    threads=1,
    replay_ratio=1.0,
    learning_rate=5e-3,
    batch_size=16,
    held_out_share=0.3,
    least_held_out=2,
    most_base_loss=1.0,
    measured_exchanges=20,
    replies=4,
    canaries=1,
    canary_samples=2,
)
OPEN_GATE = GateConfig(
    min_gain=-1.0,
    max_loss=10.0,
    max_more_loops=1.0,
    max_more_blandness=1.0,
    max_more_blocked=10**6,
    length_ratio=100.0,
    max_latency_ratio=1000.0,
    max_canaries=10**6,
)
CLOSED_GATE = replace(OPEN_GATE, min_gain=1.0)
_QUESTIONS = ("Where is the boat?", "Who fed the goat?", "What is that noise?", "When do we sail?")
_ANSWERS = ("In the old harbour.", "My sister did it.", "Only the wind, I guess.", "As soon as it is light.")


@dataclass(frozen=True)
class Said:
    """An exchange as the memory yields them."""

    conversation: str
    context: tuple[str, ...]
    response: str
    turn_id: int
    origin: str = "person"
    is_rejected: bool = False
    answers: int = 0
    turn_ids: tuple[int, ...] = field(default=())


def talks(count: int = 60) -> list[Said]:
    """Return exchanges of ``count`` conversations that always go the same way."""
    return [
        Said(f"talk-{n}", (f"{_QUESTIONS[n % 4]} {n}",), f"{_ANSWERS[n % 4]} {n}", 2 * n, turn_ids=(2 * n - 1, 2 * n))
        for n in range(1, count + 1)
    ]


class Learner:
    """A home folder with a tiny current model and a small base corpus."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.registry = Registry(home / "models", home / "shipped")
        self.first, _, _ = publish_tiny(home / "models")
        self.registry.promote(self.first)
        dialogues: list[dict[str, Any]] = [
            {"id": str(n), "source": "made", "turns": [["AB"[i % 2], f"{text} {n}"] for i, text in enumerate(talk)]}
            for n in range(60)
            for talk in SMALL_TALK
        ]
        self.base = write_corpus(home / "base.jsonl", [{**d, "id": str(i)} for i, d in enumerate(dialogues)])

    def settings(self, gate: GateConfig = OPEN_GATE, **changes: Any) -> Settings:
        config = replace(QUICK, **{"base": (str(self.base),), **changes})
        return Settings(config, gate, KEEP_ALL, self.registry, self.home / "runs", self.home / "cache")

    def retrain(self, said: Sequence[Said], gate: GateConfig = OPEN_GATE, **options: Any) -> Outcome:
        """Retrain in this process."""
        changes = options.pop("changes", {})
        return retrain(said, self.settings(gate, **changes), open_corpus, **options)

    def run_facts(self) -> list[dict[str, Any]]:
        """Return the ``run.json`` of every run, oldest first."""
        files = sorted((self.home / "runs").glob("*/run.json"))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

"""Small models and datasets that tests build by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import PRESETS, CleaningConfig, DecodingConfig, ModelConfig, TrainingConfig
from seq2seq.dataset import Dataset, build_dataset
from seq2seq.dialogues import Dialogue, make_dialogue
from seq2seq.distributed import ProcessGroup
from seq2seq.model import Seq2Seq
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from seq2seq.tokenizer import END, START, Tokenizer, source_ids, train_tokenizer
from seq2seq.training import Trainer, TrainingResult
from seq2seq.training_log import TrainingLog

KEEP_ALL = CleaningConfig(
    drop_repeated_pairs=False, max_pairs_per_response=10**6, drop_profanity=False, drop_letterless=False
)

SMALL_TALK = (
    ("Hello there.", "Hi! How are you?", "Fine, thanks.", "Glad to hear it."),
    ("Do you like tea?", "I prefer coffee.", "Why is that?", "It wakes me up."),
    ("What is your name?", "I am called Robin.", "Nice to meet you.", "Likewise!"),
    ("It is raining again.", "Take an umbrella.", "Good idea.", "Stay dry."),
)


class ListCorpus:
    """Dialogues held in memory, as a corpus."""

    licence = "CC0-1.0"

    def __init__(self, dialogues: Sequence[Sequence[str]], name: str = "list") -> None:
        self.name = name
        self._dialogues = [
            make_dialogue(
                [("AB"[number % 2], text) for number, text in enumerate(texts)],
                source=name,
                dialogue_id=str(index),
            )
            for index, texts in enumerate(dialogues)
        ]
        self.digest = hashlib.sha256(repr([list(texts) for texts in dialogues]).encode()).hexdigest()

    def __iter__(self) -> Iterator[Dialogue]:
        return (dialogue for dialogue in self._dialogues if dialogue is not None)


def tiny_config(tokenizer: Tokenizer, **changes: Any) -> ModelConfig:
    return replace(PRESETS["tiny"], vocab_size=tokenizer.vocab_size, **changes)


def tiny_model(config: ModelConfig, seed: int = 0, dropout: float = 0.0) -> Seq2Seq:
    torch.manual_seed(seed)
    return Seq2Seq(config, dropout)


def tokenizer_for(dialogues: Sequence[Sequence[str]], vocab_size: int = 320) -> Tokenizer:
    return train_tokenizer((text for texts in dialogues for text in texts), vocab_size)


def dataset_of(
    dialogues: Sequence[Sequence[str]], tokenizer: Tokenizer, folder: Path, context_turns: int = 3
) -> Dataset:
    return build_dataset(
        [ListCorpus(dialogues)],
        tokenizer,
        KEEP_ALL,
        context_turns=context_turns,
        held_out_share=0.0,
        cache_dir=folder / "cache",
        split="all",
    )


def train_tiny(
    dialogues: Sequence[Sequence[str]],
    folder: Path,
    training: TrainingConfig,
    model_changes: dict[str, int] | None = None,
    vocab_size: int = 320,
) -> tuple[Seq2Seq, Tokenizer, TrainingResult]:
    """Train a tiny model on dialogues, validated on the same ones."""
    tokenizer = tokenizer_for(dialogues, vocab_size)
    config = tiny_config(tokenizer, **(model_changes or {}))
    data = dataset_of(dialogues, tokenizer, folder, config.context_turns)
    model = tiny_model(config, training.seed, training.dropout)
    run_dir = folder / "run"
    run_dir.mkdir(exist_ok=True)
    group = ProcessGroup(torch.device("cpu"))
    result = Trainer(model, training, run_dir, TrainingLog(run_dir, training, {}), group).fit(data, data)
    return model, tokenizer, result


def greedy_reply(model: Seq2Seq, tokenizer: Tokenizer, context: Sequence[str], max_tokens: int = 40) -> str:
    """Reply by the torch model, a token at a time: the oracle of the fast decoders."""
    source = source_ids([tokenizer.encode(turn) for turn in context], model.config.max_source_tokens)
    model.eval()
    with torch.no_grad():
        memory, state = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
        said: list[int] = []
        token = START
        while len(said) < max_tokens:
            output, state = model.decode(torch.tensor([[token]]), state, memory)
            token = int(model.logits(output)[0, 0].argmax())
            if token == END:
                break
            said.append(token)
    return tokenizer.decode(said)


@dataclass(frozen=True)
class PublishedModel:
    """A tiny model that recites ``SMALL_TALK``: as torch trained it, and as it was published."""

    registry: Registry
    model_id: str
    model: Seq2Seq
    tokenizer: Tokenizer

    @property
    def path(self) -> Path:
        return self.registry.models_dir / self.model_id


def publish_tiny(folder: Path) -> PublishedModel:
    """Train a tiny model to recite ``SMALL_TALK``, forwards and backwards, and publish it into ``folder``."""
    training = TrainingConfig(
        updates=300,
        batch_size=12,
        learning_rate=1e-2,
        validations=2,
        dropout=0.0,
        last_turn_share=0.0,
        no_context_share=0.05,
        patience=99,
        precision="fp32",
    )
    model, tokenizer, _ = train_tiny(SMALL_TALK, folder, training)
    registry = Registry(folder / "models", folder / "shipped")
    model_id = publish_model(registry, "tiny", model, tokenizer, DecodingConfig(), {"seed": 0})
    return PublishedModel(registry, model_id, model, tokenizer)


__all__ = [
    "KEEP_ALL",
    "SMALL_TALK",
    "Dialogue",
    "ListCorpus",
    "PublishedModel",
    "dataset_of",
    "greedy_reply",
    "publish_tiny",
    "tiny_config",
    "tiny_model",
    "tokenizer_for",
    "train_tiny",
]

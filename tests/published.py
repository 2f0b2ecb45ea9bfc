"""A tiny published model and a corpus file to evaluate it on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from seq2seq.config import DecodingConfig
from seq2seq.model import Seq2Seq
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from seq2seq.tokenizer import END, Tokenizer
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for

LONG_REPLY = " ".join(["word"] * 101)
CORPUS: tuple[dict[str, object], ...] = (
    {"id": "1", "source": "made", "turns": [["A", "Hello  there."], ["B", "Hi!\nHow are you?"], ["A", "Fine."]]},
    {"id": "2", "source": "made", "turns": [["A", "Do you like tea?"], ["B", "I prefer"], ["B", "coffee."]]},
    {"id": "3", "source": "made", "turns": [["A", "Tell me all."], ["B", LONG_REPLY], ["A", "That was long!"]]},
    {
        "id": "4",
        "source": "made",
        "turns": [["A", "What is it?"], ["B", "Rain."], ["A", "Again?"], ["B", "Yes, again."], ["A", "Stay dry."]],
        "persona": {"B": ["I like the rain."]},
    },
)


def publish_tiny(models_dir: Path, seed: int = 0) -> tuple[str, Seq2Seq, Tokenizer]:
    """Publish an untrained model that ends its replies soon; returns its id, the model and the tokenizer."""
    tokenizer = tokenizer_for(SMALL_TALK)
    model = tiny_model(tiny_config(tokenizer), seed)
    with torch.no_grad():
        model.output_bias[END] = 3.0
    model_id = publish_model(
        Registry(models_dir),
        "tiny",
        model,
        tokenizer,
        DecodingConfig(candidates=4, max_tokens=12),
        {"corpora": [{"name": "made.jsonl", "licence": "CC0-1.0"}]},
    )
    return model_id, model, tokenizer


def write_corpus(path: Path, dialogues: Sequence[dict[str, object]] = CORPUS) -> Path:
    """Write dialogues whose turns are ``[speaker, text]`` pairs in the project's own format."""
    lines = []
    for dialogue in dialogues:
        turns = dialogue["turns"]
        assert isinstance(turns, list)
        spelled = [{"speaker": speaker, "text": text} for speaker, text in turns]
        lines.append(json.dumps({**dialogue, "turns": spelled}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

"""Between a trained torch model and a model directory: write one with its runtime, read one back to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import DecodingConfig
from seq2seq.export import export_runtime
from seq2seq.model import Seq2Seq, expected_shapes
from seq2seq.model_files import ModelDir, read_weights, write_weights
from seq2seq.provenance import LearnedRound, summary, write_learned
from seq2seq.registry import Registry
from seq2seq.tokenizer import Tokenizer


def publish_model(
    registry: Registry,
    name: str,
    model: Seq2Seq,
    tokenizer: Tokenizer,
    decoding: DecodingConfig,
    manifest: Mapping[str, Any],
    learned: Sequence[LearnedRound] = (),
) -> str:
    """Publish a trained model with its exported runtime; returns its id.

    Args:
        learned: the retrainings that it went through, its own last.
    """

    def fill(folder: Path) -> None:
        write_model(model, tokenizer, folder)
        if learned:
            write_learned(folder, learned)

    provenance = {**manifest, "learned": summary(learned)} if learned else manifest
    return registry.publish(name, model.config, decoding, provenance, fill)


def write_model(model: Seq2Seq, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the weights, the tokenizer and the exported runtime."""
    write_weights(
        folder / "model.safetensors",
        {key: tensor.detach().cpu().float().numpy() for key, tensor in model.state_dict().items()},
    )
    tokenizer.save(folder / "tokenizer.json")
    export_runtime(model, folder)


def load_model(directory: ModelDir, dropout: float = 0.0) -> Seq2Seq:
    """Read a published model's weights into a torch model.

    Raises:
        ModelFilesError: the weights are damaged, or not those of its settings.
    """
    shapes = expected_shapes(directory.config)
    model = Seq2Seq(directory.config, dropout)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in read_weights(directory, shapes).items()})
    return model

"""The exported model in ONNX Runtime: encode a source, make a decoding step for many rows. No torch.

Every memory is padded to the model's longest source, so the shape of a row's arithmetic never depends on
its neighbours: a reply is bit for bit the same alone or among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seq2seq.config import ModelConfig
from seq2seq.errors import ModelFilesError

Floats = NDArray[np.float32]
_FAR_BELOW = np.float32(-1e30)  # what padding gets in front of the softmax


class Memory(NamedTuple):
    """What rows read at every step.

    Attributes:
        keys, values: float32 [rows, max_source, attention].
        padding: float32 [rows, max_source], 0 at real tokens.
    """

    keys: Floats
    values: Floats
    padding: Floats

    def take(self, rows: NDArray[np.intp]) -> Memory:
        return Memory(*(part[rows] for part in self))


class State(NamedTuple):
    """Hidden and cell states of rows: float32 [layers, rows, hidden] each."""

    hidden: Floats
    cell: Floats

    def take(self, rows: NDArray[np.intp]) -> State:
        return State(self.hidden[:, rows], self.cell[:, rows])


class Runtime:
    """The two sessions of one model directory; safe to share between threads."""

    def __init__(self, folder: Path, config: ModelConfig, threads: int = 1) -> None:
        """Load the sessions.

        Raises:
            ModelFilesError: a graph is damaged, or is not of this model's sizes.
        """
        self.config = config
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._encoder = _open(folder / "encoder.onnx", options)
        self._step = _open(folder / "step.onnx", options)
        logits = self._step.get_outputs()[0].shape
        if logits[-1] != config.vocab_size:
            raise ModelFilesError(
                f"{folder / 'step.onnx'}: made for a vocabulary of {logits[-1]}, config.json says {config.vocab_size}"
            )

    def encode(self, source_ids: Sequence[int]) -> tuple[Memory, State]:
        """Read one source of 1 to ``max_source_tokens`` ids; returns the memory and first state of one row."""
        config = self.config
        keys, values, hidden, cell = self._encoder.run(None, {"source_ids": np.array(source_ids, np.int64)})
        room = (1, config.max_source_tokens, config.attention_size)
        memory = Memory(
            np.zeros(room, np.float32),
            np.zeros(room, np.float32),
            np.full(room[:2], _FAR_BELOW, np.float32),
        )
        length = len(source_ids)
        memory.keys[0, :length], memory.values[0, :length], memory.padding[0, :length] = keys, values, 0.0
        return memory, State(hidden[:, None], cell[:, None])

    def step(self, token_ids: NDArray[np.int64], state: State, memory: Memory) -> tuple[Floats, State]:
        """Read one token a row.

        Args:
            token_ids: int64 [rows].

        Returns:
            logits, float32 [rows, vocab], and the state behind the step.
        """
        logits, hidden, cell = self._step.run(
            ["logits", "next_hidden", "next_cell"], self._feeds(token_ids, state, memory)
        )
        return logits, State(hidden, cell)

    def attention(self, token_ids: NDArray[np.int64], state: State, memory: Memory) -> tuple[Floats, State]:
        """Make a step and return where each row looked, float32 [rows, max_source], in place of logits."""
        weights, hidden, cell = self._step.run(
            ["attention", "next_hidden", "next_cell"], self._feeds(token_ids, state, memory)
        )
        return weights, State(hidden, cell)

    @staticmethod
    def _feeds(token_ids: NDArray[np.int64], state: State, memory: Memory) -> dict[str, NDArray[np.generic]]:
        return {"token_ids": token_ids, **state._asdict(), **memory._asdict()}


def _open(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has its own exception classes for every kind of damage
        raise ModelFilesError(f"{path}: not a readable graph ({str(error).splitlines()[0]})") from error

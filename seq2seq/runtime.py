"""The exported model in ONNX Runtime: encode a source, make a decoding step for many rows. No torch.

Every memory is padded to the model's longest source, so the shape of a row's arithmetic never depends on
its neighbours: a reply is bit for bit the same alone or among others.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seq2seq.errors import ModelFilesError
from seq2seq.model_files import ModelDir

Floats = NDArray[np.float32]
_FAR_BELOW = np.float32(-1e30)  # what padding gets in front of the softmax
_CPU = ["CPUExecutionProvider"]
# An ONNX graph of one node: MatMulInteger of ``rows``, uint8 [2, 4], with a constant int8 [4, 16] full of 127.
# tests/unit/seq2seq/test_runtime.py builds it anew and compares.
PROBE = base64.b64decode(
    "CAg6rAEKIgoEcm93cwoFdGFibGUSBHN1bXMiDU1hdE11bEludGVnZXISBXByb2JlKk8IBAgQEANCBXRhYmxlSkB/f39/f39/f39/"
    "f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/WhYKBHJvd3MSDgoMCAISCAoCCAIK"
    "AggEYhYKBHN1bXMSDgoMCAYSCAoCCAIKAggQQgQKABAR"
)


class Memory(NamedTuple):
    """What rows read at every step.

    Attributes:
        keys, values: float32 [rows, max_source, attention].
        padding: float32 [rows, max_source], 0 at real tokens.
    """

    keys: Floats
    values: Floats
    padding: Floats


class State(NamedTuple):
    """Hidden and cell states of rows: float32 [layers, rows, hidden] each."""

    hidden: Floats
    cell: Floats

    def take(self, rows: NDArray[np.integer]) -> State:
        return State(self.hidden[:, rows], self.cell[:, rows])

    @staticmethod
    def join(parts: Sequence[State]) -> State:
        return State(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


class Runtime:
    """The two sessions of one model directory; safe to share between threads."""

    def __init__(self, model: ModelDir, threads: int = 1) -> None:
        """Load the sessions, and try them once.

        Raises:
            ModelFilesError: a graph is damaged, or is not of this model's sizes.
        """
        self.config = config = model.config
        self._encoder = _open(model, "encoder.onnx", threads)
        self._step = _open(model, "step.onnx", threads)
        layers, size, width = config.decoder_layers, config.hidden_size, config.attention_size
        _compare(
            model,
            "encoder.onnx",
            self._encoder,
            {
                "source_ids": ["src_len"],
                "keys": ["src_len", width],
                "values": ["src_len", width],
                "hidden": [layers, size],
                "cell": [layers, size],
            },
        )
        _compare(
            model,
            "step.onnx",
            self._step,
            {
                "token_ids": ["rows"],
                "hidden": [layers, "rows", size],
                "cell": [layers, "rows", size],
                "keys": ["rows", "src_len", width],
                "values": ["rows", "src_len", width],
                "padding": ["rows", "src_len"],
                "logits": ["rows", config.vocab_size],
                "next_hidden": [layers, "rows", size],
                "next_cell": [layers, "rows", size],
                "attention": ["rows", "src_len"],
            },
        )
        try:
            first_memory, first_state = self.encode([0])
            self.step(np.zeros(1, np.int64), first_state, first_memory)
        except Exception as error:  # ONNX Runtime has its own exception classes
            raise ModelFilesError(f"{model.path}: its graphs cannot be run ({_first_line(error)})") from error

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


@cache
def products_saturate() -> bool:
    """Say whether this processor sums unsigned by signed products in 16 bits: x86 with AVX2 and no VNNI does."""
    session = onnxruntime.InferenceSession(PROBE, session_options(exact=False), providers=_CPU)
    (sums,) = session.run(None, {"rows": np.full((2, 4), 255, np.uint8)})
    return bool((sums != 4 * 255 * 127).any())


def session_options(threads: int = 1, *, exact: bool) -> onnxruntime.SessionOptions:
    """Return options of a quiet session.

    Args:
        exact: let unsigned by unsigned kernels do the integer products, which never saturate and are slower.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _open(model: ModelDir, name: str, threads: int) -> onnxruntime.InferenceSession:
    content = model.read_checked(name)
    try:
        options = session_options(threads, exact=products_saturate())
        return onnxruntime.InferenceSession(content, options, providers=_CPU)
    except Exception as error:  # ONNX Runtime has its own exception classes for every kind of damage
        raise ModelFilesError(f"{model.path / name}: not a readable graph ({_first_line(error)})") from error


def _compare(
    model: ModelDir,
    name: str,
    session: onnxruntime.InferenceSession,
    wanted: Mapping[str, Sequence[str | int]],
) -> None:
    found = {tensor.name: tensor.shape for tensor in (*session.get_inputs(), *session.get_outputs())}
    for tensor in sorted(found.keys() | wanted.keys()):
        if found.get(tensor) != wanted.get(tensor):
            raise ModelFilesError(
                f"{model.path / name}: its {tensor} is {found.get(tensor)}, config.json implies {wanted.get(tensor)}"
            )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Fold a trained model into the two ONNX graphs that reply without torch.

``encoder.onnx`` reads one source; ``step.onnx`` makes one decoding step for many rows. Both are built node by
node from the weights, so that what runs is exactly what stands here:

- ``[x, h]`` goes through one product a layer, gates in the order i, f, o, g: one sigmoid serves three;
- weights are 8-bit with one scale a column, activations 8-bit with one scale **a row**: no row's arithmetic
  depends on another, and integer sums are exact on every processor;
- activations are unsigned with zero point 128, weights signed: with VNNI that is twice as fast as unsigned by
  unsigned, and signed by signed falls to a scalar path. ``runtime.py`` sees to it that products stay exact where
  this pair saturates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from seq2seq.config import ModelConfig
from seq2seq.model import Seq2Seq

_OPSET, _IR_VERSION = 17, 8
_CONTRIB = "com.microsoft"  # operators that every ONNX Runtime has beside the standard
Floats = NDArray[np.float32]
_Shape = list[str | int]


def export_runtime(model: Seq2Seq, folder: Path, *, quantize: bool = True) -> None:
    """Write ``encoder.onnx`` and ``step.onnx`` of ``model`` into ``folder``.

    Args:
        quantize: False keeps fp32 weights; the tests compare the folded algebra with torch by that.
    """
    weights = {name: tensor.detach().cpu().float().numpy() for name, tensor in model.state_dict().items()}
    for name, graph in (
        ("encoder.onnx", _encoder_graph(weights, model.config, quantize)),
        ("step.onnx", _step_graph(weights, model.config, quantize)),
    ):
        onnx.checker.check_model(graph)
        (folder / name).write_bytes(graph.SerializeToString())


class _Graph:
    """Nodes in order; every method appends some and returns the name of the result."""

    def __init__(self, *, quantize: bool) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._quantize = quantize

    def constant(self, value: NDArray[np.generic], name: str | None = None) -> str:
        name = name or f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, np.float32), f"scalar_{value!r}")

    def node(self, kind: str, *inputs: str, outputs: Sequence[str] | int = 1, **attributes: Any) -> list[str]:
        names = [f"{kind}_{len(self._nodes)}_{n}" for n in range(outputs)] if isinstance(outputs, int) else outputs
        self._nodes.append(helper.make_node(kind, list(inputs), list(names), **attributes))
        return list(names)

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        return self.node(kind, *inputs, outputs=[output] if output else 1, **attributes)[0]

    def linear(self, rows: str, weight: Floats, bias: Floats | None = None) -> str:
        """Return ``rows @ weight.T + bias``: in 8 bits where quantizing: [rows, in] by [out, in]."""
        if not self._quantize:
            return self.exact_linear(rows, weight, bias)
        table, scales = quantize_rows(weight)
        product = self._integer_product(rows, self.constant(table.T), self.constant(scales[:, 0]))
        return product if bias is None else self.op("Add", product, self.constant(bias))

    def exact_linear(self, rows: str, weight: Floats, bias: Floats | None = None) -> str:
        """Return the same in fp32, for what runs once a reply."""
        product = self.op("MatMul", rows, self.constant(weight.T))
        return product if bias is None else self.op("Add", product, self.constant(bias))

    def embed(self, ids: str, table: str, scales: str) -> str:
        """Return the rows of an embedding held as columns: int8 or float [embed, vocab]."""
        columns = self.op("Gather", table, ids, axis=1)  # [embed, rows]
        rows = self.op("Transpose", columns, perm=[1, 0])
        if not self._quantize:
            return rows
        scale = self.op("Unsqueeze", self.op("Gather", scales, ids), self.constant(np.array([1])))
        return self.op("Mul", self.op("Cast", rows, to=TensorProto.FLOAT), scale)

    def embedding(self, weight: Floats) -> tuple[str, str]:
        """Store the embedding as columns, as the output product wants it; returns table and scales."""
        if not self._quantize:
            return self.constant(weight.T, "embedding"), ""
        table, scales = quantize_rows(weight)
        return self.constant(table.T, "embedding"), self.constant(scales[:, 0], "embedding_scales")

    def embedding_product(self, rows: str, table: str, scales: str, bias: Floats, output: str) -> str:
        """Return logits: [rows, embed] against every embedding."""
        product = self._integer_product(rows, table, scales) if self._quantize else self.op("MatMul", rows, table)
        return self.op("Add", product, self.constant(bias), output=output)

    def _integer_product(self, rows: str, table: str, scales: str) -> str:
        """Quantize each row by its own scale, multiply exactly in integers, and scale back.

        The two scales are multiplied one after the other: ONNX Runtime fuses their product wrongly.
        """
        largest = self.op("ReduceMax", self.op("Abs", rows), axes=[1], keepdims=1)
        scale = self.op("Div", self.op("Max", largest, self.scalar(1e-12)), self.scalar(127.0))
        whole = self.op("Round", self.op("Div", rows, scale))
        quantized = self.op("Cast", self.op("Add", whole, self.scalar(128.0)), to=TensorProto.UINT8)
        zero = self.constant(np.array(128, np.uint8), "row_zero")
        product = self.op("MatMulInteger", quantized, table, zero)
        return self.op("Mul", self.op("Mul", self.op("Cast", product, to=TensorProto.FLOAT), scale), scales)

    def lstm_step(
        self, rows: str, hidden: str, cell: str, weights: dict[str, Floats], prefix: str, size: int
    ) -> tuple[str, str]:
        """Return hidden and cell state after one step of an LSTM layer: [rows, hidden] each."""
        matrix = np.concatenate((weights[f"{prefix}.weight_ih_l0"], weights[f"{prefix}.weight_hh_l0"]), axis=1)
        bias = weights[f"{prefix}.bias_ih_l0"] + weights[f"{prefix}.bias_hh_l0"]
        both = self.op("Concat", rows, hidden, axis=1)
        gates = self.linear(both, _reorder(matrix, "ifog"), _reorder(bias, "ifog"))
        three, new = self.node("Split", gates, self.constant(np.array([3 * size, size])), outputs=2, axis=1)
        i, f, o = self.node(
            "Split", self.op("Sigmoid", three), self.constant(np.array([size] * 3)), outputs=3, axis=1
        )
        after = self.op("Add", self.op("Mul", f, cell), self.op("Mul", i, self.op("Tanh", new)))
        return self.op("Mul", o, self.op("Tanh", after)), after

    def bidirectional_lstm(self, rows: str, w: Floats, r: Floats, b: Floats, size: int) -> list[str]:
        """Return all states [src_len, 2, 1, size] and the last hidden and cell state [2, 1, size] of one source.

        Args:
            rows: [src_len, in].
            w, r, b: [2, 4 * size, in], [2, 4 * size, size] and [2, 8 * size], gates in ONNX's order.
        """
        sequence = self.op("Unsqueeze", rows, self.constant(np.array([1])))  # [src_len, 1, in]
        settings: dict[str, Any] = {"outputs": 3, "direction": "bidirectional", "hidden_size": size}
        if not self._quantize:
            return self.node("LSTM", sequence, self.constant(w), self.constant(r), self.constant(b), **settings)
        tables, scales, zeros = [], [], []
        for weight in (w, r):
            table, scale = quantize_rows(weight)
            tables.append(self.constant(table.transpose(0, 2, 1)))  # [2, in, 4 * size]
            scales.append(self.constant(scale[..., 0]))
            zeros.append(self.constant(np.zeros(scale.shape[:2], np.int8)))
        constants = [*tables, self.constant(b), "", "", "", "", scales[0], zeros[0], scales[1], zeros[1]]
        return self.node("DynamicQuantizeLSTM", sequence, *constants, domain=_CONTRIB, **settings)

    def model(
        self,
        name: str,
        inputs: Sequence[tuple[str, int, _Shape]],
        outputs: Sequence[tuple[str, _Shape]],
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in inputs],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
            list(self._constants.values()),
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)],
            ir_version=_IR_VERSION,
            producer_name="backchat",
        )


def quantize_rows(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round each row to whole numbers from -127 to 127; returns int8 [..., columns] and the scales, [..., 1]."""
    scales = np.maximum(np.abs(weight).max(axis=-1, keepdims=True), 1e-12) / np.float32(127.0)
    return np.rint(weight / scales).astype(np.int8), scales.astype(np.float32)


def _encoder_graph(weights: dict[str, Floats], config: ModelConfig, quantize: bool) -> onnx.ModelProto:
    """source_ids [src_len] -> keys, values [src_len, attention] and hidden, cell [layers, hidden].

    It runs over one source alone, so that a scale may be of the whole source. Keys carry the attention's scale.
    """
    graph = _Graph(quantize=quantize)
    direction = config.hidden_size // 2
    states = graph.embed("source_ids", *graph.embedding(weights["embedding.weight"]))
    finals: list[tuple[str, str]] = []
    row = graph.constant(np.array([1, config.hidden_size]))
    for layer in range(config.encoder_layers):
        named = [f"encoder.lstm.%s_l{layer}{suffix}" for suffix in ("", "_reverse")]
        w, r = (np.stack([_reorder(weights[n % kind], "iofg") for n in named]) for kind in ("weight_ih", "weight_hh"))
        b = np.stack(
            [np.concatenate([_reorder(weights[n % kind], "iofg") for kind in ("bias_ih", "bias_hh")]) for n in named]
        )
        all_states, hidden, cell = graph.bidirectional_lstm(states, w, r, b, direction)
        states = graph.op("Reshape", all_states, graph.constant(np.array([-1, config.hidden_size])))
        finals.append((graph.op("Reshape", hidden, row), graph.op("Reshape", cell, row)))
    hiddens, cells = [], []
    for layer in range(config.decoder_layers):
        hidden, cell = finals[min(layer, config.encoder_layers - 1)]
        name = f"encoder.bridge.%s.{layer}.%s"
        bridged = [
            graph.exact_linear(part, weights[name % (kind, "weight")], weights[name % (kind, "bias")])
            for kind, part in (("hidden", hidden), ("cell", cell))
        ]
        hiddens.append(graph.op("Tanh", bridged[0]))
        cells.append(bridged[1])
    graph.op("Concat", *hiddens, axis=0, output="hidden")
    graph.op("Concat", *cells, axis=0, output="cell")
    scale = np.float32(config.attention_size**-0.5)
    for output, key in (("keys", "key"), ("values", "value")):
        weight = weights[f"decoder.attention.{key}.weight"] * (scale if key == "key" else 1)
        graph.op("MatMul", states, graph.constant(weight.T), output=output)
    memory: _Shape = ["src_len", config.attention_size]
    state: _Shape = [config.decoder_layers, config.hidden_size]
    return graph.model(
        "encoder",
        [("source_ids", TensorProto.INT64, ["src_len"])],
        [("keys", memory), ("values", memory), ("hidden", state), ("cell", state)],
    )


def _step_graph(weights: dict[str, Floats], config: ModelConfig, quantize: bool) -> onnx.ModelProto:
    """One decoding step: the token each row said last, its state and its memory in; logits and state out.

    ``padding`` [rows, src_len] is added to the attention's products: 0 at real tokens, far below at padding.
    """
    graph = _Graph(quantize=quantize)
    size = config.hidden_size
    table, scales = graph.embedding(weights["embedding.weight"])
    inputs = graph.embed("token_ids", table, scales)
    layers = range(config.decoder_layers)
    befores = [
        [graph.op("Gather", part, graph.constant(np.array(layer)), axis=0) for layer in layers]
        for part in ("hidden", "cell")
    ]
    afters: list[tuple[str, str]] = []
    attended = ""
    for layer in layers:
        rows = graph.op("Concat", inputs, attended, axis=1) if attended else inputs
        hidden, cell = graph.lstm_step(
            rows, befores[0][layer], befores[1][layer], weights, f"decoder.layers.{layer}", size
        )
        afters.append((hidden, cell))
        inputs = graph.op("Add", inputs, hidden) if config.residual and attended else hidden
        if not attended:
            attended = _attend(graph, hidden, weights)
    both = graph.op("Concat", inputs, attended, axis=1)
    outputs = graph.linear(both, weights["decoder.output.weight"], weights["decoder.output.bias"])
    graph.embedding_product(outputs, table, scales, weights["output_bias"], "logits")
    first = graph.constant(np.array([0]))
    for number, name in enumerate(("next_hidden", "next_cell")):
        parts = [graph.op("Unsqueeze", after[number], first) for after in afters]
        graph.op("Concat", *parts, axis=0, output=name)
    state: _Shape = [config.decoder_layers, "rows", size]
    memory: _Shape = ["rows", "src_len", config.attention_size]
    return graph.model(
        "step",
        [
            ("token_ids", TensorProto.INT64, ["rows"]),
            ("hidden", TensorProto.FLOAT, state),
            ("cell", TensorProto.FLOAT, state),
            ("keys", TensorProto.FLOAT, memory),
            ("values", TensorProto.FLOAT, memory),
            ("padding", TensorProto.FLOAT, ["rows", "src_len"]),
        ],
        [
            ("logits", ["rows", config.vocab_size]),
            ("next_hidden", state),
            ("next_cell", state),
            ("attention", ["rows", "src_len"]),
        ],
    )


def _attend(graph: _Graph, hidden: str, weights: dict[str, Floats]) -> str:
    """Return what the rows attend to: [rows, attention]; the weights go out as ``attention``."""
    query = graph.linear(hidden, weights["decoder.attention.query.weight"])
    last, middle = graph.constant(np.array([2])), graph.constant(np.array([1]))
    products = graph.op("MatMul", "keys", graph.op("Unsqueeze", query, last))  # [rows, src_len, 1]
    masked = graph.op("Add", graph.op("Squeeze", products, last), "padding")
    attention = graph.op("Softmax", masked, axis=1, output="attention")
    return graph.op("Squeeze", graph.op("MatMul", graph.op("Unsqueeze", attention, middle), "values"), middle)


def _reorder(weight: Floats, order: str) -> Floats:
    """Put torch's gates (i, f, g, o, along the first axis) into another order."""
    gates = dict(zip("ifgo", np.split(weight, 4), strict=True))
    return np.concatenate([gates[gate] for gate in order])

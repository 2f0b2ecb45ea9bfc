from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from seq2seq.config import ModelConfig
from seq2seq.export import export_runtime, quantize_rows
from seq2seq.model import Seq2Seq
from seq2seq.tokenizer import START
from tests.builders import tiny_model
from tests.unit.seq2seq.test_model import lstm_by_the_equations

CONFIG = ModelConfig(
    vocab_size=300,
    embed_size=20,
    hidden_size=24,
    encoder_layers=2,
    decoder_layers=3,
    attention_size=10,
    max_source_tokens=16,
    max_target_tokens=16,
)
SHALLOW = ModelConfig(vocab_size=300, embed_size=8, hidden_size=12, decoder_layers=1, attention_size=6)
SOURCE, SAID = [3, 5, 40, 41, 299, 42, 8], [START, 60, 61, 299, 8, 62]
RESIDUAL = dataclasses.replace(CONFIG, residual=True)
Arrays = dict[str, np.ndarray[Any, Any]]


class Exported:
    """The two graphs as they stand on disk, run without our own runtime."""

    def __init__(self, model: Seq2Seq, folder: Path, *, quantize: bool) -> None:
        export_runtime(model, folder, quantize=quantize)
        self.encoder, self.step = (
            onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
            for name in ("encoder.onnx", "step.onnx")
        )

    def logits(self, source: list[int], said: list[int], padding: int = 0) -> np.ndarray[Any, Any]:
        """Return logits float32 [len(said), vocab], the memory padded by some rows of nonsense."""
        keys, values, hidden, cell = self.encoder.run(None, {"source_ids": np.array(source)})
        nonsense = np.full((padding, keys.shape[1]), 7.0, np.float32)
        feeds = {
            "keys": np.concatenate((keys, nonsense))[None],
            "values": np.concatenate((values, nonsense))[None],
            "padding": np.array([[0.0] * len(source) + [-1e30] * padding], np.float32),
        }
        state = {"hidden": hidden[:, None], "cell": cell[:, None]}
        rows = []
        for token in said:
            row, state["hidden"], state["cell"], attention = self.step.run(
                None, {"token_ids": np.array([token]), **state, **feeds}
            )
            assert attention[0, len(source) :].sum() == 0
            rows.append(row[0])
        return np.array(rows)


def torch_logits(model: Seq2Seq, source: list[int], said: list[int]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        memory, state = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
        outputs, _ = model.decode(torch.tensor([said]), state, memory)
        return model.logits(outputs)[0].numpy()


@pytest.fixture(params=[CONFIG, SHALLOW, RESIDUAL], ids=["deep", "shallow", "residual"])
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    model = tiny_model(request.param).eval()
    with torch.no_grad():
        model.output_bias.normal_()  # biases that are zero would hide their loss
        for name, weight in model.named_parameters():
            if "bias" in name:
                weight += 0.3 * torch.randn_like(weight)
    return model


def test_the_folded_graphs_are_the_torch_model_step_for_step(model: Seq2Seq, tmp_path: Path) -> None:
    exported = Exported(model, tmp_path, quantize=False)
    np.testing.assert_allclose(exported.logits(SOURCE, SAID), torch_logits(model, SOURCE, SAID), atol=1e-4)
    np.testing.assert_allclose(exported.logits([5], [START]), torch_logits(model, [5], [START]), atol=1e-4)


def test_eight_bits_are_near(model: Seq2Seq, tmp_path: Path) -> None:
    found = Exported(model, tmp_path, quantize=True).logits(SOURCE, SAID)
    wanted = torch_logits(model, SOURCE, SAID)
    assert np.abs(found - wanted).max() < 0.05 * wanted.std()


@pytest.mark.parametrize("quantize", [False, True])
def test_padding_never_changes_a_row(model: Seq2Seq, tmp_path: Path, quantize: bool) -> None:
    exported = Exported(model, tmp_path, quantize=quantize)
    padded = exported.logits(SOURCE, SAID, padding=5)
    np.testing.assert_allclose(padded, exported.logits(SOURCE, SAID), atol=1e-4)


def test_the_first_layer_of_the_step_obeys_the_lstm_equations(tmp_path: Path) -> None:
    model = tiny_model(CONFIG).eval()
    exported = Exported(model, tmp_path, quantize=False)
    generator = np.random.default_rng(0)
    hidden, cell = generator.standard_normal((2, 3, 1, 24)).astype(np.float32)
    memory = generator.standard_normal((2, 1, 4, 10)).astype(np.float32)
    _, after_hidden, after_cell, _ = exported.step.run(
        None,
        {
            "token_ids": np.array([60]),
            "hidden": hidden,
            "cell": cell,
            "keys": memory[0],
            "values": memory[1],
            "padding": np.zeros((1, 4), np.float32),
        },
    )
    embedded = model.embedding.weight[60].detach().numpy()[None]
    _, wanted_hidden, wanted_cell = lstm_by_the_equations(model.decoder.layers[0], embedded, hidden[0, 0], cell[0, 0])
    np.testing.assert_allclose(after_hidden[0, 0], wanted_hidden, atol=1e-5)
    np.testing.assert_allclose(after_cell[0, 0], wanted_cell, atol=1e-5)


def test_quantized_rows_keep_their_largest_and_their_zeros() -> None:
    weight = np.array([[0.0, 1.27, -0.635], [0.0, 0.0, 0.0], [-254.0, 2.0, 1.0]], np.float32)
    table, scales = quantize_rows(weight)
    assert table.dtype == np.int8
    np.testing.assert_allclose(scales[[0, 2], 0], [0.01, 2.0], rtol=1e-6)
    assert table[1:].tolist() == [[0, 0, 0], [-127, 1, 0]]  # 0.5 rounds to even
    assert table[0].tolist()[:2] == [0, 127]
    assert abs(table[0, 2] + 63.5) == 0.5


def test_tables_are_signed_and_activations_unsigned(tmp_path: Path) -> None:
    export_runtime(tiny_model(CONFIG), tmp_path)
    graph = onnx.load(tmp_path / "step.onnx").graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == CONFIG.decoder_layers + 3  # a layer each, the query, the output and the embedding
    for node in products:
        assert constants[node.input[1]].dtype == np.int8
        assert (constants[node.input[2]].dtype, int(constants[node.input[2]])) == (np.uint8, 128)
    assert not any(array.dtype == np.float32 and array.size > 1000 for array in constants.values())

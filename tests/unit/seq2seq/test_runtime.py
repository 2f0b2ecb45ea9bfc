from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from seq2seq.model_files import load_model_dir
from seq2seq.runtime import PROBE, Runtime, products_saturate, session_options
from seq2seq.slots import Slots
from tests.builders import PublishedModel


@pytest.fixture(scope="module")
def runtime(published: PublishedModel) -> Runtime:
    return Runtime(load_model_dir(published.path))


def _integer_product(table: np.ndarray[Any, Any], rows: int | str, columns: int) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["rows", "table"], ["sums"])],
        "probe",
        [helper.make_tensor_value_info("rows", TensorProto.UINT8, [rows, table.shape[0]])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, [rows, columns])],
        [numpy_helper.from_array(table, "table")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def test_the_probe_is_the_graph_that_it_says() -> None:
    assert _integer_product(np.full((4, 16), 127, np.int8), 2, 16) == PROBE


@pytest.mark.parametrize("is_exact", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 7, 33])
def test_integer_products_are_exact_on_this_processor(rows: int, is_exact: bool) -> None:
    """Sums at both ends of what 8 bits can hold: 16-bit sums would saturate at 32,767."""
    if not is_exact and products_saturate():
        pytest.skip("unsigned by signed products saturate here, so the runtime takes the other way")
    generator = np.random.default_rng(rows)
    table = generator.choice(np.array([-127, 127, 3], np.int8), (1280, 96))
    table[:, 0], table[:, 1] = 127, -127
    left = generator.choice(np.array([1, 128, 255], np.uint8), (rows, 1280))
    left[0] = 255
    session = onnxruntime.InferenceSession(
        _integer_product(table, "n", 96), session_options(exact=is_exact), providers=["CPUExecutionProvider"]
    )
    (sums,) = session.run(None, {"rows": left})
    assert (sums == left.astype(np.int64) @ table.astype(np.int64)).all()


def test_both_kinds_of_kernels_give_the_same_logits(
    published: PublishedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model_dir(published.path)
    logits = []
    for saturate in (False, True):
        if not saturate and products_saturate():
            pytest.skip("unsigned by signed products saturate here")
        with monkeypatch.context() as patch:
            patch.setattr("seq2seq.runtime.products_saturate", lambda saturate=saturate: saturate)
            runtime = Runtime(model)
        memory, state = runtime.encode([3, 5, 60, 61])
        logits.append(runtime.step(np.array([1]), state, memory)[0])
    np.testing.assert_array_equal(*logits)


def test_a_source_is_padded_to_the_longest(runtime: Runtime) -> None:
    memory, state = runtime.encode([3, 5, 60])
    config = runtime.config
    assert memory.keys.shape == memory.values.shape == (1, config.max_source_tokens, config.attention_size)
    assert (memory.padding[0, :3] == 0).all()
    assert (memory.padding[0, 3:] < -1e29).all()
    assert state.hidden.shape == state.cell.shape == (config.decoder_layers, 1, config.hidden_size)


def test_a_step_is_bit_for_bit_the_same_alone_and_among_others(runtime: Runtime) -> None:
    parts = [runtime.encode([3, 5, *range(60, 60 + n)]) for n in range(1, 30)]
    slots = Slots()
    for token, (memory, state) in enumerate(parts, 70):
        slots.add(memory, state, 1, token)
    assert slots.state is not None
    logits, after = runtime.step(slots.tokens, slots.state, slots.memory)
    for row, (memory, state) in enumerate(parts):
        alone, alone_after = runtime.step(slots.tokens[row : row + 1], state, memory)
        np.testing.assert_array_equal(alone[0], logits[row])
        np.testing.assert_array_equal(alone_after.cell[:, 0], after.cell[:, row])


def test_attention_is_shared_out_over_the_source(runtime: Runtime) -> None:
    memory, state = runtime.encode([3, 5, 60])
    weights, after = runtime.attention(np.array([1]), state, memory)
    assert weights[0, :3].sum() == pytest.approx(1.0, abs=1e-5)
    assert (weights[0, 3:] == 0).all()
    np.testing.assert_array_equal(after.hidden, runtime.step(np.array([1]), state, memory)[1].hidden)

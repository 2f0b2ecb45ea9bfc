from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seq2seq.batching import pad_batch
from seq2seq.config import PRESETS, ModelConfig
from seq2seq.decoder import DecoderState
from seq2seq.model import Seq2Seq, expected_shapes
from seq2seq.tokenizer import START
from tests.builders import tiny_model

CONFIG = ModelConfig(
    vocab_size=300,
    embed_size=8,
    hidden_size=12,
    encoder_layers=2,
    decoder_layers=2,
    attention_size=6,
    max_source_tokens=16,
    max_target_tokens=16,
)
SOURCES = [[3, 5, 40, 41], [3, 5, 42, 43, 44, 45, 46], [3, 5]]
TARGETS = [[50, 51, 2], [52, 2], [53, 54, 55, 56, 2]]


def lstm_by_the_equations(
    layer: nn.LSTM, inputs: np.ndarray, hidden: np.ndarray, cell: np.ndarray, suffix: str = "l0"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run one LSTM layer written from its equations; the oracle of every faster one.

    i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b), c = f*c + i*g, h = o*tanh(c).
    """
    w, u = (getattr(layer, f"weight_{kind}_{suffix}").detach().numpy() for kind in ("ih", "hh"))
    b = (getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")).detach().numpy()
    states = []
    for x in inputs:
        i, f, g, o = np.split(w @ x + u @ hidden + b, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(g)
        hidden = o * np.tanh(cell)
        states.append(hidden)
    return np.array(states), hidden, cell


@pytest.fixture(params=[False, True], ids=["plain", "residual"])
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    return tiny_model(replace(CONFIG, residual=request.param)).eval()


def test_the_encoder_obeys_the_lstm_equations(model: Seq2Seq) -> None:
    zero = np.zeros(6, dtype=np.float32)
    embedded = model.embedding.weight[torch.tensor(SOURCES[1])].detach()
    states = embedded.numpy()
    for layer in range(2):
        ahead, *ahead_end = lstm_by_the_equations(model.encoder.lstm, states, zero, zero, f"l{layer}")
        back, *back_end = lstm_by_the_equations(model.encoder.lstm, states[::-1], zero, zero, f"l{layer}_reverse")
        states = np.concatenate((ahead, back[::-1]), axis=1)
    encoded = model.encoder(embedded[None], torch.tensor([7]))
    np.testing.assert_allclose(encoded.states[0].detach(), states, atol=1e-6)
    top_cell = torch.tensor(np.concatenate((ahead_end[1], back_end[1])))
    torch.testing.assert_close(encoded.cell[1, 0], model.encoder.bridge.cell[1](top_cell), atol=1e-6, rtol=1e-5)


def test_the_decoder_obeys_its_equations(model: Seq2Seq) -> None:
    memory, state = model.encode(torch.tensor(SOURCES[:1]), torch.tensor([4]))
    inputs = model.embedding.weight[torch.tensor([START, 50, 51])]
    outputs, _ = model.decoder(inputs[None], state, memory)
    first, _, _ = lstm_by_the_equations(
        model.decoder.layers[0], inputs.detach().numpy(), *(part[0, 0].detach().numpy() for part in state)
    )
    keys, values = memory.keys[0].detach().numpy(), memory.values[0].detach().numpy()
    products = first @ model.decoder.attention.query.weight.detach().numpy().T @ keys.T / np.sqrt(6)
    weights = np.exp(products) / np.exp(products).sum(axis=1, keepdims=True)
    attended = weights @ values
    second, _, _ = lstm_by_the_equations(
        model.decoder.layers[1],
        np.concatenate((first, attended), axis=1),
        *(part[1, 0].detach().numpy() for part in state),
    )
    output = model.decoder.output
    said = first + second if model.config.residual else second
    wanted = np.concatenate((said, attended), axis=1) @ output.weight.detach().numpy().T
    np.testing.assert_allclose(outputs[0].detach(), wanted + output.bias.detach().numpy(), atol=1e-5)


def test_padding_never_changes_a_row(model: Seq2Seq) -> None:
    together = model(pad_batch(SOURCES, TARGETS))[1].item()
    alone = sum(
        model(pad_batch([source], [target]))[1].item() for source, target in zip(SOURCES, TARGETS, strict=True)
    )
    assert together == pytest.approx(alone, rel=1e-5)


def test_padding_gets_no_attention(model: Seq2Seq) -> None:
    batch = pad_batch(SOURCES, TARGETS)
    memory, _ = model.encode(batch.source_ids, batch.source_lengths)
    asked = torch.randn(3, 1, CONFIG.hidden_size)
    before = model.decoder.attention(asked, memory)
    poisoned = memory._replace(values=memory.values.masked_fill(~memory.mask[:, :, None], 1e6))
    torch.testing.assert_close(model.decoder.attention(asked, poisoned), before)


def test_one_step_at_a_time_says_what_one_pass_says(model: Seq2Seq) -> None:
    memory, state = model.encode(torch.tensor(SOURCES[1:2]), torch.tensor([7]))
    ids = torch.tensor([[START, 60, 61, 62]])
    whole, end = model.decode(ids, state, memory)
    for step in range(4):
        output, state = model.decode(ids[:, step : step + 1], DecoderState(*state), memory)
        torch.testing.assert_close(output[:, 0], whole[:, step], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(state.cell, end.cell, atol=1e-6, rtol=1e-5)


def test_the_context_changes_the_reply(model: Seq2Seq) -> None:
    nll = [model(pad_batch([source], TARGETS[:1]))[1].item() for source in SOURCES]
    assert len({round(value, 6) for value in nll}) == 3


def test_a_decoder_of_one_layer_works() -> None:
    config = ModelConfig(vocab_size=300, embed_size=8, hidden_size=12, decoder_layers=1, attention_size=6)
    assert torch.isfinite(tiny_model(config)(pad_batch(SOURCES, TARGETS))[0])


def test_expected_shapes_are_those_of_the_model(model: Seq2Seq) -> None:
    assert expected_shapes(CONFIG) == {k: tuple(v.shape) for k, v in model.state_dict().items()}


@pytest.mark.parametrize(("preset", "millions"), [("small", 9), ("base", 25)])
def test_presets_have_the_size_they_promise(preset: str, millions: int) -> None:
    parameters = sum(int(np.prod(shape)) for shape in expected_shapes(PRESETS[preset]).values())
    assert parameters / 1e6 == pytest.approx(millions, rel=0.15)

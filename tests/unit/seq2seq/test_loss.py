from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from seq2seq import loss as loss_module
from seq2seq.loss import token_nll


def _case(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn(rows, 6, generator=generator, dtype=torch.float64).float().requires_grad_()
    weight = torch.randn(11, 6, generator=generator).requires_grad_()
    bias = torch.randn(11, generator=generator).requires_grad_()
    return outputs, weight, bias, torch.randint(0, 11, (rows,), generator=generator)


def test_an_even_guess_costs_the_log_of_the_vocabulary() -> None:
    loss, nll = token_nll(torch.zeros(3, 4), torch.zeros(8, 4), torch.zeros(8), torch.tensor([0, 5, 7]))
    assert float(loss) == pytest.approx(3 * math.log(8))
    assert float(nll) == pytest.approx(3 * math.log(8))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 4, 256])
def test_chunks_give_the_loss_and_gradients_of_plain_cross_entropy(
    smoothing: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "_CHUNK_ROWS", chunk)
    outputs, weight, bias, targets = _case(10)
    plain = cross_entropy(linear(outputs, weight, bias), targets, reduction="sum", label_smoothing=smoothing)
    expected = torch.autograd.grad(plain, (outputs, weight, bias))
    loss, nll = token_nll(outputs, weight, bias, targets, smoothing)
    found = torch.autograd.grad(2 * loss, (outputs, weight, bias))
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    unsmoothed = cross_entropy(linear(outputs, weight, bias), targets, reduction="sum")
    assert nll.item() == pytest.approx(unsmoothed.item(), rel=1e-5)
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, 2 * wanted, rtol=1e-4, atol=1e-5)


def test_weights_count_tokens_and_their_gradients() -> None:
    outputs, weight, bias, targets = _case(3)
    parts = cross_entropy(linear(outputs, weight, bias), targets, reduction="none")
    expected = torch.autograd.grad(2.0 * parts[0] + 0.0 * parts[1] + 0.5 * parts[2], (outputs, weight, bias))
    loss, nll = token_nll(outputs, weight, bias, targets, token_weights=torch.tensor([2.0, 0.0, 0.5]))
    for gradient, wanted in zip(torch.autograd.grad(loss, (outputs, weight, bias)), expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)
    assert nll.item() == pytest.approx(parts.sum().item(), rel=1e-5)


def test_a_negative_weight_is_unlikelihood() -> None:
    outputs, weight, bias, targets = _case(4)
    probs = linear(outputs, weight, bias).softmax(-1).gather(-1, targets[:, None])[:, 0]
    plain = -0.3 * torch.log(1 - probs).sum()
    expected = torch.autograd.grad(plain, (outputs, weight, bias))
    loss, _ = token_nll(outputs, weight, bias, targets, token_weights=torch.full((4,), -0.3))
    assert loss.item() == pytest.approx(plain.item(), rel=1e-4)
    for gradient, wanted in zip(torch.autograd.grad(loss, (outputs, weight, bias)), expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-5)


def test_what_is_certain_is_unlearned_with_a_finite_gradient() -> None:
    bias = torch.tensor([100.0, 0.0]).requires_grad_()
    loss, _ = token_nll(
        torch.zeros(1, 1), torch.zeros(2, 1), bias, torch.tensor([0]), token_weights=torch.tensor([-1.0])
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert bias.grad is not None
    assert torch.isfinite(bias.grad).all()


def test_smoothing_and_unlearning_together_are_refused() -> None:
    outputs, weight, bias = torch.randn(2, 4), torch.randn(6, 4), torch.zeros(6)
    targets = torch.tensor([1, 2])
    token_nll(outputs, weight, bias, targets, 0.1, torch.tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="do not go together"):
        token_nll(outputs, weight, bias, targets, 0.1, torch.tensor([1.0, -1.0]))

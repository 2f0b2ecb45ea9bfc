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

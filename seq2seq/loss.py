"""Cross-entropy over a large vocabulary without ever holding all logits.

The softmax output layer is a quarter of the arithmetic but half of the time of plain training on a CPU: its
logits fall out of every cache. Here a chunk of rows goes through logits, softmax and all three gradients
while it is hot.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_ROWS = 256
_SUREST = 0.95  # probability from which on unlikelihood grows no steeper: its gradient has a pole at 1


def token_nll(
    outputs: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    token_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the summed loss and the summed negative log-likelihood of ``targets``, both scalars in nats.

    A token of weight w > 0 adds w times its cross-entropy to the loss. One of w < 0 is to be unlearned: it adds
    -|w| log(1 - p) (unlikelihood: Welleck et al. 2020, arXiv:1908.04319, eq. 3), which leaves alone what the model
    would hardly say anyway.

    Args:
        outputs: FloatTensor [rows, embed].
        weight: FloatTensor [vocab, embed].
        bias: FloatTensor [vocab].
        targets: LongTensor [rows].
        label_smoothing: share of the target's probability that is spread over the vocabulary evenly
            (Szegedy et al. 2016, arXiv:1512.00567, section 7).
        token_weights: FloatTensor [rows]; all 1 where not given.

    Raises:
        ValueError: something is smoothed and something unlearned: unlikelihood has no smoothed form.
    """
    if label_smoothing and token_weights is not None and bool((token_weights < 0).any()):
        raise ValueError("label smoothing and tokens to be unlearned do not go together")
    both: tuple[Tensor, Tensor] = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        outputs, weight, bias, targets, label_smoothing, token_weights
    )
    return both


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Gradients are made in the forward pass, so that backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        outputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        smoothing: float,
        token_weights: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad)
        dtype = (
            torch.get_autocast_dtype(outputs.device.type)
            if torch.is_autocast_enabled(outputs.device.type)
            else outputs.dtype
        )
        matrix = weight.to(dtype)
        loss = outputs.new_zeros((), dtype=torch.float32)
        nll = outputs.new_zeros((), dtype=torch.float32)
        grad_outputs = torch.empty_like(outputs) if wanted else outputs
        grad_weight = torch.zeros_like(weight) if wanted else weight
        grad_bias = torch.zeros_like(bias) if wanted else bias
        for start in range(0, outputs.shape[0], _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            inputs, wished = outputs[rows].to(dtype), targets[rows, None]
            logits = torch.addmm(bias.to(dtype), inputs, matrix.t()).float()  # [chunk, vocab]
            log_sum = logits.logsumexp(dim=-1, keepdim=True)
            row_nll = log_sum - logits.gather(-1, wished)
            nll += row_nll.sum()
            row_loss = row_nll
            if smoothing:
                row_loss = (1 - smoothing) * row_nll + smoothing * (log_sum - logits.mean(dim=-1, keepdim=True))
            if token_weights is not None:
                row_loss, grad_scale = _weighted(row_loss, row_nll, token_weights[rows, None])
            loss += row_loss.sum()
            if wanted:
                grad = logits.sub_(log_sum).exp_()  # softmax, in the logits' own storage
                if smoothing:
                    grad -= smoothing / grad.shape[-1]
                grad.scatter_add_(-1, wished, grad.new_full(wished.shape, smoothing - 1.0))
                if token_weights is not None:
                    grad *= grad_scale
                grad_bias += grad.sum(dim=0)
                narrow = grad.to(dtype)
                grad_outputs[rows] = narrow @ matrix
                if dtype == grad_weight.dtype:
                    grad_weight.addmm_(narrow.t(), inputs)
                else:
                    grad_weight += narrow.t() @ inputs
        if wanted:
            ctx.save_for_backward(grad_outputs, grad_weight, grad_bias)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * grad_loss for grad in ctx.saved_tensors), None, None, None)


def _weighted(row_loss: Tensor, row_nll: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's weighted loss, and what the gradient of its cross-entropy is multiplied by.

    With z the logits, d log(1 - p) / dz is -p / (1 - p) times d log p / dz. All are FloatTensor [chunk, 1].
    """
    prob = torch.exp(-row_nll).clamp(max=_SUREST)
    unlikelihood = -torch.log1p(-prob)
    is_rejected = weights < 0
    loss = torch.where(is_rejected, unlikelihood * -weights, row_loss * weights)
    return loss, torch.where(is_rejected, weights * prob / (1 - prob), weights)

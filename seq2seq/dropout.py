"""Dropout for sequences: one mask a sequence."""

from __future__ import annotations

from torch import Tensor, nn


class LockedDropout(nn.Module):
    """Drop the same units at every time step of a sequence.

    Gal & Ghahramani 2016, arXiv:1512.05287; "locked" by Merity et al. 2018, arXiv:1708.02182. Noise that changes
    from step to step would be averaged away by the recurrence, and drawing it is a tenth of a step's time on a CPU.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Take and return FloatTensor [batch, length, size]."""
        if not self.training or self.rate == 0.0:
            return inputs
        kept = 1.0 - self.rate
        mask = inputs.new_empty(inputs.shape[0], 1, inputs.shape[2]).bernoulli_(kept).div_(kept)
        return inputs * mask

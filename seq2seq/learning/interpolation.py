"""Between a model and what training made of it: models that keep more of the one, and have most of the other.

Robust fine-tuning by interpolated weights: Wortsman et al. 2022, arXiv:2109.01903 (WiSE-FT). One number is chosen on
held-out exchanges: how far to go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq.batching import EpochPlan
from seq2seq.dataset import TrainingSet
from seq2seq.model import Seq2Seq

_HALVINGS = 4  # until the way to go is known to a sixteenth
_ROWS = 64


@dataclass(frozen=True)
class Step:
    """What a model at ``share`` of the way measures, in nats a token. ``base_nll`` is None without a base."""

    share: float
    learned_nll: float
    base_nll: float | None


def between(root: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights at ``share`` of the way from the root's (0) to the trained ones (1)."""
    return {name: torch.lerp(root[name], trained[name], share) for name in trained}


def mean_nll(model: Seq2Seq, exchanges: TrainingSet) -> float:
    """Return the mean negative log-likelihood of a target token, in nats, all exchanges counting alike."""
    plan = EpochPlan(exchanges, model.config, _ROWS, np.random.default_rng(0))
    model.eval()
    nll, tokens = 0.0, 0
    with torch.no_grad():
        for update in range(len(plan)):
            for batch in plan.batches(update, _ROWS):
                nll += float(model(batch._replace(token_weights=None))[1])
                tokens += int(batch.target_mask.sum())
    return nll / tokens


def go_back_where_it_pays(
    model: Seq2Seq,
    root: Mapping[str, Tensor],
    learned: TrainingSet,
    base: TrainingSet | None,
    most_loss: float,
) -> list[Step]:
    """Leave the weights where ``learned`` is likeliest among those that lose at most ``most_loss`` on ``base``.

    Those of the root where a sixteenth of the way loses more.

    Args:
        model: as it was trained; holds the chosen weights afterwards.
        root: weights of the model that learned from no conversation yet. Against those that a training began with,
            each of many rounds could lose as much again.
        most_loss: how much more nats a token than the root's, as a share.

    Returns:
        What was measured: the root (share 0), the trained model (1), the steps between; the chosen one is last.
    """
    trained = {name: weight.clone() for name, weight in model.state_dict().items()}

    def at(share: float) -> Step:
        model.load_state_dict(between(root, trained, share))
        return Step(share, mean_nll(model, learned), mean_nll(model, base) if base is not None else None)

    measured = [at(0.0), at(1.0)]
    limit = math.inf if measured[0].base_nll is None else measured[0].base_nll * (1 + most_loss)

    def is_allowed(step: Step) -> bool:
        return step.base_nll is None or step.base_nll <= limit

    if not is_allowed(measured[1]):
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):  # the base loses more with every step, so halving finds the furthest
            step = at((low + high) / 2)
            measured.append(step)
            low, high = (step.share, high) if is_allowed(step) else (low, step.share)
    allowed = [step for step in measured[1:] if is_allowed(step)]
    chosen = min(allowed, key=lambda step: step.learned_nll) if allowed else measured[0]
    model.load_state_dict(between(root, trained, chosen.share))
    return [*measured, chosen]

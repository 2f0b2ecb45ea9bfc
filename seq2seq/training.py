"""Train a model within a budget: the loop, its schedule, validation, saving and resuming."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from seq2seq.batching import Batch, EpochPlan
from seq2seq.checkpoint import Progress, load_checkpoint, read_tensors, save_checkpoint, write_tensors
from seq2seq.config import TrainingConfig
from seq2seq.dataset import TrainingSet
from seq2seq.distributed import ProcessGroup
from seq2seq.errors import TrainingError
from seq2seq.hardware import (
    generator_state,
    return_free_memory,
    set_generator_state,
    tuned_for_training,
    uses_bf16,
)
from seq2seq.model import Seq2Seq
from seq2seq.training_log import TrainingLog

_MOST_SKIPPED_IN_A_ROW = 20
_TIDY_UPDATES = 20  # memory that lies between blocks is returned so often
_Tensors = tuple[Tensor, ...] | list[Tensor]
_VALIDATION_TIME_SHARE = 0.06  # of a run in minutes; a run in updates validates exactly as often as it says


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to. ``nll`` is the best of its validations, in nats a target token."""

    nll: float
    updates: int
    epochs: float
    seconds: float
    source_tokens: int
    target_tokens: int
    skipped_updates: int
    curve: list[dict[str, float]]


class Trainer:
    """Fit a model to a dataset; everything a run leaves behind is in ``run_dir``.

    ``last.safetensors`` is what a run resumes from, ``best.safetensors`` holds the averaged weights of the
    best validation.
    """

    plan_type: type[EpochPlan] = EpochPlan  # how an epoch, and a validation, is laid out

    def __init__(
        self, model: Seq2Seq, config: TrainingConfig, run_dir: Path, log: TrainingLog, group: ProcessGroup
    ) -> None:
        self._config, self._run_dir, self._log, self._group = config, run_dir, log, group
        self._device = group.device
        self._model = model.to(self._device)
        self._average = AveragedModel(self._model, multi_avg_fn=_running_average(config.average_decay))
        self._optimizer = _make_optimizer(self._model, config)
        self._autocast = torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=uses_bf16(config.precision, self._device)
        )
        self._progress = Progress()
        self._plan: EpochPlan
        self._planned_epoch = -1
        self._is_interrupted = False
        self._validation_s = 0.0

    def fit(self, train: TrainingSet, valid: TrainingSet, *, resume: bool = False) -> TrainingResult:
        """Run to the end of the budget, or until validation stops getting better.

        The model holds the best averaged weights afterwards.

        Raises:
            TrainingError: nothing to train on; the loss stays non-finite; the checkpoint does not fit.
            KeyboardInterrupt: SIGINT or SIGTERM came; the state was saved first.
        """
        if len(train) == 0 or len(valid) == 0:
            raise TrainingError(
                f"{len(train)} exchanges to train on and {len(valid)} to validate on; both need at least "
                "one. Add dialogues, or loosen the filters (`train --dry-run` says what they drop)"
            )
        if self._config.minutes is None and self._config.updates is None and self._config.epochs is None:
            raise TrainingError("a run needs an end: give it --minutes, --updates or --epochs")
        settings = {**_lasting(self._config), "train": train.key, "valid": valid.key}
        torch.manual_seed(self._config.seed + self._group.rank)
        if resume:
            self._progress, generator = load_checkpoint(
                self._run_dir / "last.safetensors",
                settings,
                self._model,
                self._average,
                self._optimizer,
                self._group.rank,
            )
            set_generator_state(self._device, generator)
        self._log.start(self._progress)
        before = self._progress.elapsed_s
        started = last_save = time.monotonic()
        with tuned_for_training(), _signals_to(self._interrupt):
            is_over = False
            while not is_over:
                self._plan_epoch(train)
                self._progress.elapsed_s = before + time.monotonic() - started
                is_due, is_over, is_interrupted, share = self._agree()
                if is_over or is_interrupted or is_due or self._save_due(time.monotonic() - last_save):
                    self._save(settings)
                    last_save = time.monotonic()
                if is_interrupted:
                    self._log.note(f"Interrupted and saved. To go on: backchat train --resume {self._run_dir.name}")
                    raise KeyboardInterrupt
                if is_due or is_over:
                    is_over |= self._validate(valid, share)
                    self._save(settings)
                else:
                    self._update(share)
        return self._finish()

    def _agree(self) -> tuple[bool, bool, bool, float]:
        """Decide the next move, the same in every process: validate? end? interrupted? and the share done."""
        progress, config = self._progress, self._config
        share = self._share_done()
        is_over = share >= 1.0
        is_due = share >= progress.next_validation / config.validations
        if config.minutes is not None:
            is_due &= progress.elapsed_s * _VALIDATION_TIME_SHARE >= self._validation_s * progress.next_validation
        due, over, interrupted, agreed = self._group.agree(is_due, is_over, self._is_interrupted, share)
        return bool(due), bool(over), bool(interrupted), agreed

    def _share_done(self) -> float:
        """Return the share of the budget that is used up, in [0, 1] or a little above."""
        config, progress = self._config, self._progress
        shares = [0.0]
        if config.updates is not None:
            shares.append(progress.update / config.updates)
        if config.epochs is not None:
            shares.append(self._epochs_done() / config.epochs)
        if config.minutes is not None:
            closing_s = 1.2 * self._validation_s  # the last validation belongs to the budget
            shares.append(progress.elapsed_s / max(1.0, 60 * config.minutes - closing_s))
        return max(shares)

    def _epochs_done(self) -> float:
        return self._progress.epoch + self._progress.update_in_epoch / len(self._plan)

    def _plan_epoch(self, train: TrainingSet) -> None:
        """Lay out the updates of the epoch that the run is in, once."""
        progress, config = self._progress, self._config
        if self._planned_epoch != progress.epoch:
            self._plan = self.plan_type(
                train,
                self._model.config,
                config.batch_size * config.accumulation,
                np.random.default_rng([config.seed, progress.epoch]),
                reverse_share=config.reverse_share,
                last_turn_share=config.last_turn_share,
                no_context_share=config.no_context_share,
                style_share=config.style_share,
            )
            self._planned_epoch = progress.epoch

    def _update(self, share: float) -> None:
        """Make one optimiser step, or skip it where the gradient is not finite."""
        progress, config, group = self._progress, self._config, self._group
        batches = self._plan.batches(progress.update_in_epoch, config.batch_size, group.rank, group.world_size)
        learning_rate = config.learning_rate * learning_rate_share(share, config)
        self._model.train()
        self._optimizer.zero_grad(set_to_none=True)
        loss_sum, source_tokens, target_tokens = 0.0, 0, 0
        for batch in batches:
            with self._autocast:
                loss, _ = self._model(batch.to(self._device), config.label_smoothing)
            loss.backward()
            loss_sum += float(loss.detach())
            source_tokens += int(batch.source_lengths.sum())
            target_tokens += int(batch.target_mask.sum())
        loss_sum, all_source, all_target = group.sum_gradients(
            self._model.parameters(), loss_sum, source_tokens, target_tokens
        )
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        torch._foreach_div_(gradients, all_target)
        norm = float(nn.utils.clip_grad_norm_(self._model.parameters(), config.clip_norm))
        progress.update += 1
        progress.update_in_epoch += 1
        if progress.update_in_epoch == len(self._plan):
            progress.epoch, progress.update_in_epoch = progress.epoch + 1, 0
        if math.isfinite(norm) and math.isfinite(loss_sum):
            for parameters in self._optimizer.param_groups:
                parameters["lr"] = learning_rate
            self._optimizer.step()
            self._average.update_parameters(self._model)
            progress.skipped_in_a_row = 0
            progress.source_tokens += int(all_source)
            progress.target_tokens += int(all_target)
        else:
            self._skip()
        if progress.update % _TIDY_UPDATES == 0:
            return_free_memory()
        self._log.update(progress, share, loss=loss_sum / all_target, norm=norm, learning_rate=learning_rate)

    def _skip(self) -> None:
        self._progress.skipped += 1
        self._progress.skipped_in_a_row += 1
        self._log.note(f"Update {self._progress.update}: the loss is not finite; skipped")
        if self._progress.skipped_in_a_row >= _MOST_SKIPPED_IN_A_ROW:
            raise TrainingError(
                f"{_MOST_SKIPPED_IN_A_ROW} updates in a row had a non-finite loss. The last good weights "
                f"are in {self._run_dir}; try a learning_rate below {self._config.learning_rate}"
            )

    @torch.no_grad()
    def _validate(self, valid: TrainingSet, share: float) -> bool:
        """Measure the averaged weights, keep them where they are the best yet; say whether to stop early."""
        progress, config, group = self._progress, self._config, self._group
        started = time.monotonic()
        model = self._average.module.eval()
        assert isinstance(model, Seq2Seq)
        nll_sum, tokens = 0.0, 0.0
        for batch in _validation_batches(self.plan_type, valid, model, config, group):
            with self._autocast:
                _, nll = model(batch.to(self._device))
            nll_sum += float(nll)
            tokens += int(batch.target_mask.sum())
        nll_sum, tokens = group.sum_gradients([], nll_sum, tokens)
        nll = nll_sum / tokens
        progress.curve.append(
            {
                "update": progress.update,
                "epoch": round(self._epochs_done(), 3),
                "elapsed_s": round(progress.elapsed_s, 1),
                "target_tokens": progress.target_tokens,
                "nll": nll,
            }
        )
        if nll < progress.best_nll:
            progress.best_nll, progress.validations_without_gain = nll, 0
            if group.is_first:
                write_tensors(self._run_dir / "best.safetensors", model.state_dict())
        else:
            progress.validations_without_gain += 1
        progress.next_validation = int(share * config.validations) + 1
        self._validation_s = time.monotonic() - started
        self._log.validated(progress, share)
        if stopped := progress.validations_without_gain >= config.patience:
            self._log.note(f"No gain in {config.patience} validations: stopping early")
        return stopped

    def _finish(self) -> TrainingResult:
        progress = self._progress
        weights, _ = read_tensors(self._run_dir / "best.safetensors")
        self._model.load_state_dict(weights)
        self._model.eval()
        self._log.finish(progress)
        return TrainingResult(
            nll=progress.best_nll,
            updates=progress.update,
            epochs=progress.curve[-1]["epoch"],
            seconds=progress.elapsed_s,
            source_tokens=progress.source_tokens,
            target_tokens=progress.target_tokens,
            skipped_updates=progress.skipped,
            curve=progress.curve,
        )

    def _save_due(self, since_s: float) -> bool:
        by_update = self._progress.update > 0 and self._progress.update % self._config.save_updates == 0
        (by_clock,) = self._group.agree(since_s >= 60 * self._config.save_minutes)
        return by_update or bool(by_clock)

    def _save(self, settings: Mapping[str, object]) -> None:
        generators = self._group.gather(generator_state(self._device))
        if self._group.is_first:
            save_checkpoint(
                self._run_dir / "last.safetensors",
                self._progress,
                settings,
                self._model,
                self._average,
                self._optimizer,
                generators,
            )
            self._log.saved(self._progress)

    def _interrupt(self) -> None:
        self._is_interrupted = True


def learning_rate_share(share: float, config: TrainingConfig) -> float:
    """Return the learning rate's share of its peak when ``share`` of the budget is done: warm-up, then a
    cosine (Loshchilov & Hutter 2017, arXiv:1608.03983) down to ``final_learning_rate_share``."""
    if share < config.warmup_share:
        return max(share, 1e-3 * config.warmup_share) / config.warmup_share
    done = min(1.0, (share - config.warmup_share) / (1.0 - config.warmup_share))
    floor = config.final_learning_rate_share
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def _validation_batches(
    plan_type: type[EpochPlan], valid: TrainingSet, model: Seq2Seq, config: TrainingConfig, group: ProcessGroup
) -> Iterator[Batch]:
    plan = plan_type(valid, model.config, config.batch_size, np.random.default_rng(0))
    enough = math.ceil(config.validation_exchanges / config.batch_size)
    for update in range(min(enough, len(plan))):
        yield from plan.batches(update, config.batch_size, group.rank, group.world_size)


def _make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Make AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); biases do not decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), fused=True)


def _running_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Average weights exponentially, over a shorter time at first."""

    @torch.no_grad()
    def update(averages: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        seen = int(count)
        torch._foreach_lerp_(list(averages), list(current), 1.0 - min(decay, (1 + seen) / (10 + seen)))

    return update


def _lasting(config: TrainingConfig) -> dict[str, object]:
    """Return the settings that must stay what they were when a run is resumed."""
    return json.loads(json.dumps(asdict(config)))  # type: ignore[no-any-return]


@contextmanager
def _signals_to(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` on the first SIGINT or SIGTERM; a second one acts as it did before."""
    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        callback()
        signal.signal(number, previous[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    except ValueError:  # not in the main thread: signals are somebody else's
        pass
    try:
        yield
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)

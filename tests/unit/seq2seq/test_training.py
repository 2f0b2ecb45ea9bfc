from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.checkpoint import read_tensors
from seq2seq.config import TrainingConfig
from seq2seq.distributed import ProcessGroup
from seq2seq.errors import TrainingError
from seq2seq.hardware import choose_device, uses_bf16
from seq2seq.training import Trainer, learning_rate_share
from seq2seq.training_log import TrainingLog
from tests.builders import SMALL_TALK, dataset_of, tiny_config, tiny_model, tokenizer_for, train_tiny

QUICK = TrainingConfig(updates=12, batch_size=4, validations=3, dropout=0.1, save_updates=4, patience=99)


class InterruptingLog(TrainingLog):
    """Interrupts the run behind a given update, as Ctrl-C would."""

    interrupt_behind = 0
    trainer: Trainer

    def update(self, progress: Any, share: float, **measures: float) -> None:
        super().update(progress, share, **measures)
        if progress.update == self.interrupt_behind:
            self.trainer._interrupt()


def _trainer(folder: Path, training: TrainingConfig, log: TrainingLog | None = None) -> tuple[Trainer, Any]:
    tokenizer = tokenizer_for(SMALL_TALK)
    data = dataset_of(SMALL_TALK, tokenizer, folder)
    run_dir = folder / "run"
    run_dir.mkdir(exist_ok=True)
    log = log or TrainingLog(run_dir, training, {})
    model = tiny_model(tiny_config(tokenizer), training.seed, training.dropout)
    return Trainer(model, training, run_dir, log, ProcessGroup(torch.device("cpu"))), data


def test_the_learning_rate_warms_up_peaks_and_falls_to_its_floor() -> None:
    config = TrainingConfig(warmup_share=0.1, final_learning_rate_share=0.2)
    assert learning_rate_share(0.05, config) == pytest.approx(0.5)
    assert learning_rate_share(0.1, config) == pytest.approx(1.0)
    assert learning_rate_share(0.55, config) == pytest.approx(0.6)  # half way down from 1 to 0.2
    assert learning_rate_share(1.0, config) == pytest.approx(0.2)


def test_a_resumed_run_ends_with_the_very_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    trainer, data = _trainer(tmp_path / "whole", QUICK)
    whole = trainer.fit(data, data)
    log = InterruptingLog(_run_dir(tmp_path / "cut"), QUICK, {})
    log.interrupt_behind = 7
    log.trainer, data = _trainer(tmp_path / "cut", QUICK, log)
    with pytest.raises(KeyboardInterrupt):
        log.trainer.fit(data, data)
    trainer, data = _trainer(tmp_path / "cut", QUICK)
    torch.manual_seed(999)  # nothing may hang on the state of this process
    resumed = trainer.fit(data, data, resume=True)
    assert resumed.curve[-1]["nll"] == whole.curve[-1]["nll"]
    for kept in ("last.safetensors", "best.safetensors"):
        expected, _ = read_tensors(tmp_path / "whole" / "run" / kept)
        found, _ = read_tensors(tmp_path / "cut" / "run" / kept)
        assert expected.keys() == found.keys()
        assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_metrics_of_a_resumed_run_hold_no_update_twice(tmp_path: Path) -> None:
    trainer, data = _trainer(tmp_path, QUICK)
    trainer.fit(data, data)
    metrics = tmp_path / "run" / "metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text(before + '{"update": 99, "loss": 1.0}\n{"upda')
    trainer, data = _trainer(tmp_path, QUICK)
    trainer.fit(data, data, resume=True)
    assert [json.loads(line)["update"] for line in metrics.read_text().splitlines()].count(99) == 0


def test_a_run_leaves_its_story_behind(tmp_path: Path) -> None:
    _, _, result = train_tiny(SMALL_TALK, tmp_path, QUICK)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["is_finished"] is True
    assert run["updates"] == result.updates == 12
    assert run["target_tokens"] == result.target_tokens > 0
    assert len(run["curve"]) == 3
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_model_holds_the_best_averaged_weights_in_the_end(tmp_path: Path) -> None:
    model, _, _ = train_tiny(SMALL_TALK, tmp_path, QUICK)
    best, _ = read_tensors(tmp_path / "run" / "best.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in model.state_dict().items())


def test_a_run_stops_when_validation_brings_no_gain(tmp_path: Path) -> None:
    config = TrainingConfig(updates=400, batch_size=4, validations=100, patience=2, learning_rate=1e-12)
    _, _, result = train_tiny(SMALL_TALK, tmp_path, config)
    assert result.updates < 400


def test_a_run_in_minutes_ends_by_the_clock(tmp_path: Path) -> None:
    _, _, result = train_tiny(SMALL_TALK, tmp_path, TrainingConfig(minutes=0.05, batch_size=4, patience=10**6))
    assert 1.0 < result.seconds < 10.0


def test_a_single_bad_update_is_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, data = _trainer(tmp_path, QUICK)
    _poison(monkeypatch, trainer, at={3})
    result = trainer.fit(data, data)
    assert result.skipped_updates == 1
    weights, _ = read_tensors(tmp_path / "run" / "last.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values() if tensor.is_floating_point())


def test_a_loss_that_stays_bad_ends_the_run_and_keeps_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, data = _trainer(tmp_path, TrainingConfig(updates=100, batch_size=4, validations=20))
    _poison(monkeypatch, trainer, at=set(range(8, 100)))
    with pytest.raises(TrainingError, match="non-finite"):
        trainer.fit(data, data)
    weights, _ = read_tensors(tmp_path / "run" / "best.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_a_run_goes_on_only_as_it_began(tmp_path: Path) -> None:
    trainer, data = _trainer(tmp_path, QUICK)
    trainer.fit(data, data)
    other, data = _trainer(tmp_path, TrainingConfig(updates=12, batch_size=3))
    with pytest.raises(TrainingError, match="batch_size = 4, now it is 3"):
        other.fit(data, data, resume=True)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 64, b"not a checkpoint at all"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: bytes) -> None:
    trainer, data = _trainer(tmp_path, QUICK)
    trainer.fit(data, data)
    (tmp_path / "run" / "last.safetensors").write_bytes(damage)
    trainer, data = _trainer(tmp_path, QUICK)
    with pytest.raises(TrainingError, match=r"last\.safetensors"):
        trainer.fit(data, data, resume=True)


def test_precision_is_bf16_only_where_asked_for_or_at_home() -> None:
    assert uses_bf16("bf16", torch.device("cpu"))
    assert not uses_bf16("fp32", torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(TrainingError, match="--device cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": 0},
        {"batch_size": 0},
        {"dropout": 1.0},
        {"beta2": 1.0},
        {"validation_exchanges": 0},
        {"patience": 0},
        {"reverse_share": 1.5},
        {"final_learning_rate_share": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


def _run_dir(folder: Path) -> Path:
    path = folder / "run"
    path.mkdir(exist_ok=True)
    return path


def _poison(monkeypatch: pytest.MonkeyPatch, trainer: Trainer, at: set[int]) -> None:
    """Make the loss of the given calls infinite, as an overflow would."""
    model, calls = trainer._model, iter(range(10**6))
    real = model.forward

    def forward(batch: Any, smoothing: float = 0.0) -> Any:
        loss, nll = real(batch, smoothing)
        return (loss * float("inf"), nll) if model.training and next(calls) in at else (loss, nll)

    monkeypatch.setattr(model, "forward", forward)

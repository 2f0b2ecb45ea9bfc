"""A short training run in a process of its own, alone or under torchrun: what the tests kill and compare.

python -m tests.learning.training_process FOLDER [--resume] [--dropout RATE] [--die-behind UPDATE]
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import TrainingConfig
from seq2seq.distributed import ProcessGroup
from seq2seq.training import Trainer
from seq2seq.training_log import TrainingLog
from tests.builders import SMALL_TALK, dataset_of, tiny_config, tiny_model, tokenizer_for


class MortalLog(TrainingLog):
    """Kills its process behind a given update, as kill -9 would."""

    die_behind = 0

    def update(self, progress: Any, share: float, **measures: float) -> None:
        super().update(progress, share, **measures)
        if progress.update == self.die_behind:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--die-behind", type=int, default=0)
    asked = parser.parse_args()
    training = TrainingConfig(
        updates=10, batch_size=6, save_updates=3, validations=2, dropout=asked.dropout, patience=99, precision="fp32"
    )
    group = ProcessGroup(torch.device("cpu"))
    tokenizer = tokenizer_for(SMALL_TALK)
    with group.first_before_others():
        data = dataset_of(SMALL_TALK, tokenizer, asked.folder)
        run_dir = asked.folder / "run"
        run_dir.mkdir(exist_ok=True)
    log = MortalLog(run_dir, training, {}, is_first=group.is_first)
    log.die_behind = asked.die_behind
    model = tiny_model(tiny_config(tokenizer), training.seed, training.dropout)
    Trainer(model, training, run_dir, log, group).fit(data, data, resume=asked.resume)
    group.close()


if __name__ == "__main__":
    main()

"""Training in other processes: two give what one gives, and a killed one goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from seq2seq.checkpoint import read_tensors

_PROGRAM = "tests.learning.training_process"


def _run(*command: str) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert _run(_PROGRAM, str(tmp_path / "one")) == 0
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")
    assert _run(*torchrun, "-m", _PROGRAM, str(tmp_path / "two")) == 0
    one, two = (read_tensors(tmp_path / name / "run" / "last.safetensors")[0] for name in ("one", "two"))
    weights = [name for name in one if name.startswith("model.")]
    assert weights
    for name in weights:
        # Sums of gradients differ by rounding, and Adam divides by their size: a step is 2e-3, ten were made.
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=2e-5)


def test_a_killed_run_ends_with_the_very_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    dropout = ("--dropout", "0.2")
    assert _run(_PROGRAM, str(tmp_path / "whole"), *dropout) == 0
    assert _run(_PROGRAM, str(tmp_path / "killed"), *dropout, "--die-behind", "8") == -signal.SIGKILL
    assert not (tmp_path / "killed" / "run" / "last.safetensors.writing").exists()
    assert _run(_PROGRAM, str(tmp_path / "killed"), *dropout, "--resume") == 0
    for file in ("last.safetensors", "best.safetensors"):
        whole, killed = (read_tensors(tmp_path / name / "run" / file)[0] for name in ("whole", "killed"))
        assert whole.keys() == killed.keys()
        assert [name for name in whole if not torch.equal(whole[name], killed[name])] == []

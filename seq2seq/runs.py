"""A run's folder: ``runs/<run id>/`` with what it was asked to do, so that ``--resume`` needs only the id."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.code_version import code_version
from seq2seq.errors import TrainingError
from seq2seq.tokenizer import Tokenizer


@dataclass(frozen=True)
class Run:
    """One training run on disk. ``facts`` is the constant part of ``run.json``: what was asked for."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        return self.folder.name

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / "tokenizer.json")


def start_run(folder: Path, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
    """Make the folder of a new run, with its tokenizer and the ``run.json`` that it begins with.

    Raises:
        TrainingError: the folder cannot be made.
    """
    everything = {
        "run": folder.name,
        "code_version": code_version(),
        "machine": {
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "processes": int(os.environ.get("WORLD_SIZE", 1)),
        },
        **facts,
    }
    try:
        folder.mkdir(parents=True)
        tokenizer.save(folder / "tokenizer.json")
        (folder / "run.json").write_text(
            json.dumps(everything, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise TrainingError(f"{folder}: cannot make the run's folder ({error.strerror})") from error


def open_run(runs_dir: Path, run_id: str) -> Run:
    """Open a run to go on with it.

    Raises:
        TrainingError: there is no such run, or its ``run.json`` is damaged.
    """
    folder = runs_dir / run_id
    path = folder / "run.json"
    try:
        return Run(folder, dict(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        known = sorted(p.parent.name for p in runs_dir.glob("*/run.json"))
        raise TrainingError(
            f"--resume {run_id}: no such run in {runs_dir}; it has {', '.join(known[-5:]) or 'none'}"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{path}: not a readable run ({error})") from error


def processor_name() -> str:
    """Return the processor's name as its maker calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()

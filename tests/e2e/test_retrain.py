"""``backchat retrain`` as a process of its own: what it prints, how it ends, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.dialogues import Dialogue, make_dialogue
from storage.store import ConversationStore, StorageConfig
from tests.learners import Learner, talks

GATE_OPEN = {
    "MIN_GAIN": "-1",
    "MAX_LOSS": "10",
    "MAX_MORE_LOOPS": "1",
    "MAX_MORE_BLANDNESS": "1",
    "MAX_MORE_BLOCKED": "1000",
    "LENGTH_RATIO": "100",
    "MAX_LATENCY_RATIO": "1000",
    "MAX_CANARIES": "1000",
}


class Home(Learner):
    """A home folder with an imported chat, and the environment to retrain in it."""

    def __init__(self, home: Path, **gate: str) -> None:
        super().__init__(home)
        store = ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))
        store.import_dialogues(_dialogues())
        store.close()
        config = self.settings().retraining
        names = ("minutes", "threads", "batch_size", "held_out_share", "least_held_out", "most_base_loss", "replies")
        values = {
            name: getattr(config, name) for name in (*names, "measured_exchanges", "canaries", "canary_samples")
        }
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "BACKCHAT_HOME": str(home),
            "BACKCHAT_RETRAINING__BASE": json.dumps([str(self.base)]),
            **{f"BACKCHAT_RETRAINING__{name.upper()}": str(value) for name, value in values.items()},
            **{f"BACKCHAT_GATE__{name}": value for name, value in {**GATE_OPEN, **gate}.items()},
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "scripts", "retrain", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=600
        )

    def kill_at(self, stage: str) -> None:
        """Start a run, and kill -9 it as soon as it says that it is at ``stage``."""
        with subprocess.Popen(
            self.command(), env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if stage in line:
                    process.send_signal(signal.SIGKILL)
                    break
            assert process.wait(60) == -signal.SIGKILL


def _dialogues() -> list[Dialogue]:
    made = (
        make_dialogue([("Ada", said.context[0]), ("Bob", said.response)], source="export", dialogue_id=str(number))
        for number, said in enumerate(talks())
    )
    return [dialogue for dialogue in made if dialogue is not None]


def test_a_better_model_is_promoted_and_its_id_is_the_last_line(tmp_path: Path) -> None:
    home = Home(tmp_path)
    done = home.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == home.registry.current() != home.first
    assert "held-out learned exchanges" in done.stderr
    for said in talks():
        assert said.response not in done.stderr
    assert "Only the wind" not in (tmp_path / "runs").joinpath(home.run_facts()[0]["run"], "run.json").read_text()
    again = home.run("--if-new", "1000")
    assert (again.returncode, again.stdout) == (0, "")
    assert "fewer than 1000: nothing was done" in again.stderr


def test_a_refused_model_ends_with_code_3_and_the_reasons(tmp_path: Path) -> None:
    home = Home(tmp_path, MIN_GAIN="1")
    done = home.run()
    assert done.returncode == 3, done.stderr
    assert "was refused: held-out learned exchanges" in " ".join(done.stderr.split())
    assert home.registry.current() == home.first
    assert home.registry.resolve(done.stdout.strip()).is_dir()


def test_a_dry_run_says_what_would_be_learned_and_trains_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    done = home.run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "imported" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_memory_without_anything_to_learn_is_one_clear_line(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "conversations.db").unlink()
    done = home.run()
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("backchat: too little to learn from: 0 exchanges")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stage", ["measuring", "training for", "writing the new model", "publishing"])
def test_a_kill_at_any_stage_leaves_the_current_model_and_the_next_run_works(tmp_path: Path, stage: str) -> None:
    home = Home(tmp_path)
    home.kill_at(stage)
    assert home.registry.current() == home.first
    assert [entry.problem for entry in home.registry.entries()] == [None] * len(home.registry.entries())
    done = home.run()
    assert done.returncode == 0, done.stderr
    assert home.registry.current() == done.stdout.split()[-1]
    left = [file.name for file in (tmp_path / "runs").rglob("*") if file.suffix in (".safetensors", ".onnx")]
    assert left == []

"""``backchat config``: what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.settings import explain_settings, load_settings
from scripts.config import app
from seq2seq.persona import load_persona


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path / ("home" * 30)))
    monkeypatch.chdir(tmp_path)
    return CliRunner().invoke(app).stdout.splitlines()


def test_a_pipe_gets_every_name_and_every_value_whole(printed: list[str], tmp_path: Path) -> None:
    names = [name for name, _, _ in explain_settings(load_settings())]
    assert [line.split()[0] for line in printed] == ["setting", *names]
    assert printed[1].split() == ["home", str(tmp_path / ("home" * 30)), "BACKCHAT_HOME"]


def test_the_persona_can_be_written_to_where_it_is_read_from(tmp_path: Path) -> None:
    path = tmp_path / "persona.toml"
    with path.open("w") as file:  # as a shell does for `> persona.toml`
        subprocess.run(
            [sys.executable, "-m", "scripts", "config", "--persona"],
            stdout=file,
            env={**os.environ, "BACKCHAT_HOME": str(tmp_path)},
            timeout=120,
            check=True,
        )
    assert load_persona(path) == load_persona()


def test_a_list_with_nothing_in_it_is_shown_as_not_set(printed: list[str]) -> None:
    assert ["telegram.admins", "-", "default"] in [line.split() for line in printed]

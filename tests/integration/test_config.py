"""``backchat config``: what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.settings import explain_settings, load_settings
from scripts.config import app


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path / ("home" * 30)))
    monkeypatch.chdir(tmp_path)
    return CliRunner().invoke(app).stdout.splitlines()


def test_a_pipe_gets_every_name_and_every_value_whole(printed: list[str], tmp_path: Path) -> None:
    names = [name for name, _, _ in explain_settings(load_settings())]
    assert [line.split()[0] for line in printed] == ["setting", *names]
    assert printed[1].split() == ["home", str(tmp_path / ("home" * 30)), "BACKCHAT_HOME"]


def test_a_list_with_nothing_in_it_is_shown_as_not_set(printed: list[str]) -> None:
    assert ["telegram.admins", "-", "default"] in [line.split() for line in printed]

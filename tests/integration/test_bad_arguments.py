"""What is given to a command and cannot be meant: a clear error, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import chat, cli, config, logs
from scripts.corpora import open_corpus
from seq2seq.errors import CorpusError, PersonaError
from storage.errors import StorageError

HUGE = "9" * 20  # more than a database's whole numbers hold


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", HUGE],
        ["delete", "--turn", HUGE, "--yes"],
        ["delete", "--older-than", "3000y", "--yes"],
        ["delete", "--older-than", "0001-01-01", "--yes"],
    ],
)
def test_numbers_beyond_all_bounds_are_usage_errors(arguments: list[str]) -> None:
    result = CliRunner().invoke(logs.app, arguments)
    assert result.exit_code == 2, result.exception


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["Hi.", "--contexts"], "--contexts"),
        (["--contexts", "--conversation", "tea"], "--contexts"),
        (["--contexts", "--continue"], "--contexts"),
        (["Hi.", "--continue", "--conversation", "tea"], "--continue"),
    ],
)
def test_flags_of_which_one_would_be_ignored_are_usage_errors(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(chat.app, ["--model", "echo", *arguments])
    assert result.exit_code == 2, result.exception
    assert f"Invalid value for {named}" in result.stderr


@pytest.mark.parametrize("which", [HUGE, "9" * 5000])
def test_no_turn_has_a_number_beyond_all_bounds(which: str) -> None:
    result = CliRunner().invoke(logs.app, ["show", which])
    assert isinstance(result.exception, StorageError)
    assert "no conversation and no turn" in str(result.exception)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_persona_file_that_cannot_be_shown_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = home / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("BACKCHAT_CHAT__PERSONA", str(path))
    result = CliRunner().invoke(config.app, ["--persona"])
    assert isinstance(result.exception, PersonaError)
    assert f"{path}: cannot be read" in str(result.exception)


@pytest.mark.parametrize("url", ["://", "postgresql://localhost:notaport/x"])
def test_a_malformed_database_url_is_no_corpus(url: str) -> None:
    with pytest.raises(CorpusError, match="not a database URL"):
        open_corpus(url)


def test_what_the_system_refuses_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", str(home / "run.json"))

    monkeypatch.setattr("bot.checkup.check_up", refuse)
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor"])
    assert stop.value.code == 1
    told = f"backchat: {home / 'run.json'}: No space left on device (--debug tells where it happened)\n"
    assert capsys.readouterr().err == told
    with pytest.raises(OSError, match="No space left"):
        cli.main(["--debug", "doctor"])

"""``backchat train``: what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import train


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--minutes", "60"], "--minutes"),
        (["--seed", "1"], "--seed"),
        (["--preset", "base"], "--preset"),
        (["--dry-run"], "--dry-run"),
        (["more.jsonl"], "CORPUS"),
    ],
)
def test_a_run_that_goes_on_takes_no_other_settings(
    given: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(train.app, ["--resume", "20260304-050607-mine", *given])
    assert result.exit_code == 2
    assert f"a run goes on as it began; leave out {named}" in result.stderr

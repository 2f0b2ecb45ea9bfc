"""``backchat evaluate`` from the command line: JSON lines by the contract, tables, a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.evaluate import app
from seq2seq.errors import CorpusError, DecodingError, RegistryError, Seq2SeqError
from tests.published import publish_tiny, write_corpus
from tests.unit.seq2seq.evaluation.test_evaluate_model import CONTRACT

CHATTERBOT = Path(__file__).parents[2] / "../shared/data/dialogue/chatterbot_en.valid.jsonl.gz"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def model_id(home: Path) -> str:
    return publish_tiny(home / "models")[0]


@pytest.fixture
def corpus(home: Path) -> str:
    return str(write_corpus(home / "made.jsonl"))


def test_json_is_one_object_a_corpus_and_nothing_else(model_id: str, corpus: str) -> None:
    result = CliRunner().invoke(app, [model_id, corpus, corpus, "--json", "--replies", "4", "--timed-replies", "1"])
    assert result.exit_code == 0, result.exception
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(line)[:18] for line in lines] == [CONTRACT.split()] * 2
    assert lines[0]["exchanges"] == 8
    assert lines[0]["strategy"] == "rank"
    assert "likelihood: 8" in result.stderr


def test_all_measures_at_once(model_id: str, corpus: str, home: Path) -> None:
    options = ["--json", "--fp32", "--probes", "--safety-replies", "2", "--self-chat", "1", "--strategy", "greedy"]
    options += ["--replies", "4", "--timed-replies", "1", "--strategies"]
    result = CliRunner().invoke(app, [model_id, corpus, *options, "--report", str(home / "page.html")])
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert found["strategy"] == "greedy"
    assert [other["strategy"] for other in found["compare"]] == ["rank", "sample", "beam"]
    assert all({"difference", "low", "high"} == set(other["differences"]["f1"]) for other in found["compare"])
    assert found["probes"]["safety_replies"] == 2
    assert found["self_chat"]["turns"] == 13
    page = (home / "page.html").read_text(encoding="utf-8")
    assert f"backchat evaluate {model_id} made.jsonl --json --report page.html --replies 4" in page
    assert str(home) not in page


def test_tables_for_people(model_id: str, corpus: str) -> None:
    result = CliRunner().invoke(app, [model_id, corpus, "--replies", "4", "--timed-replies", "1"])
    assert result.exit_code == 0, result.exception
    assert f"{model_id}, rank" in result.stdout
    assert "bits per byte" in result.stdout
    assert "people" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nobody", "CORPUS"], RegistryError),
        (["MODEL", "nowhere.jsonl"], CorpusError),
        (["MODEL", "CORPUS", "--replies", "0"], DecodingError),
        (["MODEL", "CORPUS", "--report", "nowhere/page.html"], Seq2SeqError),
        (["MODEL", "CORPUS", "--strategy", "luck"], Exception),
    ],
)
def test_what_cannot_be_measured_is_a_clear_error(
    arguments: list[str], error: type[Exception], model_id: str, corpus: str
) -> None:
    spelled = [{"MODEL": model_id, "CORPUS": corpus}.get(argument, argument) for argument in arguments]
    result = CliRunner().invoke(app, spelled)
    assert isinstance(result.exception, error)
    assert result.stdout == ""


def test_a_real_corpus_has_every_turn_but_the_first(model_id: str) -> None:
    if not CHATTERBOT.is_file():
        pytest.skip("the corpora of ../shared are not here")
    result = CliRunner().invoke(
        app, [model_id, str(CHATTERBOT), "--json", "--replies", "5", "--timed-replies", "1", "--contexts", "0"]
    )
    assert json.loads(result.stdout)["exchanges"] == 99 - 45  # its turns less its dialogues

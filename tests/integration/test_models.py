"""``backchat models``: what is told of models that learned from conversations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import models
from seq2seq.config import DecodingConfig
from seq2seq.learning.gate import GateConfig, Measurements, judge
from seq2seq.provenance import LearnedRound
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from storage.records import Turn
from storage.store import ConversationStore, StorageConfig
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for

ADA = "terminal:ada"


@dataclass(frozen=True)
class Home:
    """A home with a memory, two turns of Ada in it, and a model that was trained on the first."""

    store: ConversationStore
    turns: tuple[Turn, Turn]
    model_id: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'conversations.db'}"))
    store.people.set_consent(ADA, True)
    turns = store.add_turn("c", "Tea, please.", person=ADA), store.add_turn("c", "And milk.", person=ADA)
    tokenizer = tokenizer_for(SMALL_TALK)
    round_ = LearnedRound(datetime.now(UTC), "salt", (turns[0].id,), ("digest",), {"person": 1})
    now = Measurements(2.0, 1.8, 0.0, 0.1, 0, 8.0, 0.0, 0.1, 9.0, 0, 0.5)
    verdict = judge(now, now, GateConfig())
    facts = {"gate": {"is_passed": False, "checks": verdict.rows()}}
    model_id = publish_model(
        Registry(tmp_path / "models"), "mine", tiny_model(tiny_config(tokenizer)), tokenizer, DecodingConfig(), facts,
        [round_],
    )  # fmt: skip
    return Home(store, turns, model_id)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(models.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def line_of(model_id: str) -> str:
    (line,) = (line for line in run("list").splitlines() if model_id in line)
    return line


def test_show_tells_what_was_learned_and_what_the_gate_said(home: Home) -> None:
    shown = run("show", home.model_id)
    assert "learned: 1 exchanges (1 person) collected" in shown
    assert "1 turn in all rounds so far" in shown
    assert (
        "gate: held-out learned exchanges, bits a byte: 2.0000 before, 2.0000 after, must be at most 1.9800: refused"
    ) in shown
    assert "note:" not in shown


def test_a_damaged_list_of_what_was_learned_is_told_beside_its_model(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "models" / home.model_id / "learned.json"
    path.write_bytes(path.read_bytes().replace(b"salt", b"sall"))
    assert "english" in run("list")
    assert "learned.json: its SHA-256 is not the manifest's" in line_of(home.model_id)


def test_a_model_that_saw_words_that_are_erased_is_flagged(home: Home) -> None:
    assert "erased" not in line_of(home.model_id)
    home.store.delete_turn(home.turns[0].id)
    assert "saw 1 turn erased since: `backchat retrain --from-scratch` makes one without" in line_of(home.model_id)
    assert "note: saw 1 turn erased since" in run("show", home.model_id)


def test_words_that_it_did_not_see_do_not_flag_a_model(home: Home) -> None:
    home.store.delete_turn(home.turns[1].id)
    assert "erased" not in line_of(home.model_id)


def test_a_model_that_saw_words_of_someone_who_withdrew_is_flagged(home: Home) -> None:
    home.store.people.set_consent(ADA, False)
    assert "saw 1 turn whose people withdrew consent" in line_of(home.model_id)


def test_other_models_are_not_flagged(home: Home) -> None:
    home.store.delete_person(ADA)
    assert "erased" not in line_of("english")

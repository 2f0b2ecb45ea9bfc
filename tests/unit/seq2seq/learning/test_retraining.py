from __future__ import annotations

import json
from pathlib import Path

import pytest

from seq2seq.errors import TrainingError
from seq2seq.learning.retraining import count_new
from seq2seq.model_files import load_model_dir
from seq2seq.provenance import models_that_saw, read_learned
from tests.learners import CLOSED_GATE, Learner, talks


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learner, str]:
    """A learner that was retrained once, and the id of what became current."""
    learner = Learner(tmp_path_factory.mktemp("learnt"))
    outcome = learner.retrain(talks())
    assert outcome.is_promoted, outcome.note
    return learner, outcome.model_id


def test_a_model_that_passes_is_promoted_and_names_its_parent(learnt: tuple[Learner, str]) -> None:
    learner, model_id = learnt
    assert learner.registry.current() == model_id
    manifest = load_model_dir(learner.registry.resolve(model_id)).manifest
    assert manifest["parent"] == learner.first
    assert manifest["gate"]["is_passed"]
    assert manifest["replayed"] == ["base.jsonl"]


def test_a_model_lists_the_turns_that_trained_it_and_none_of_those_held_out(learnt: tuple[Learner, str]) -> None:
    learner, model_id = learnt
    (one,) = read_learned(load_model_dir(learner.registry.resolve(model_id)))
    facts = learner.run_facts()[-1]
    assert len(one.turn_ids) == 2 * facts["exchanges"]["train"]
    assert facts["exchanges"]["judge"] + facts["exchanges"]["choose"] + facts["exchanges"]["train"] == 60
    assert models_that_saw(learner.registry, [one.turn_ids[0]]) == [model_id]


def test_the_report_stands_in_the_run_and_the_weights_of_the_run_are_gone(learnt: tuple[Learner, str]) -> None:
    learner, model_id = learnt
    (run,) = (learner.home / "runs").iterdir()
    assert model_id in (run / "report.html").read_text(encoding="utf-8")
    assert not list(run.glob("*.safetensors"))
    assert not (run / "candidate").exists()
    assert json.loads((run / "run.json").read_text())["model"] == model_id


def test_what_was_learned_is_no_longer_new(learnt: tuple[Learner, str]) -> None:
    learner, _ = learnt
    held_out = 60 - learner.run_facts()[-1]["exchanges"]["train"]
    assert count_new(talks(63), learner.registry) == held_out + 3


def test_a_refused_model_is_kept_and_not_promoted(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    outcome = learner.retrain(talks(), CLOSED_GATE)
    assert not outcome.is_promoted
    assert "held-out learned exchanges" in outcome.note
    assert learner.registry.current() == learner.first
    assert not load_model_dir(learner.registry.resolve(outcome.model_id)).manifest["gate"]["is_passed"]


def test_from_scratch_begins_before_all_conversations(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    second = learner.retrain(talks()).model_id
    anew = learner.retrain(talks(40), from_scratch=True)
    model = load_model_dir(learner.registry.resolve(anew.model_id))
    assert model.manifest["parent"] == learner.first
    assert len(read_learned(model)) == 1
    assert learner.registry.current() == anew.model_id != second


def test_many_rounds_together_may_forget_no_more_than_one(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    rounds = [learner.retrain(talks(count), changes={"most_base_loss": 0.002}) for count in (40, 60)]
    checks = [next(c for c in made.verdict.checks if "base corpus" in c.name) for made in rounds]
    assert checks[0].before == checks[1].before, "both are held against the model that learned from no conversation"
    steps = [facts["weights"] for facts in learner.run_facts()]
    assert steps[0][0] == steps[1][0] | {"learned_nll": steps[0][0]["learned_nll"]}
    assert all(chosen["base_nll"] <= first["base_nll"] * 1.002 for first, *_, chosen in steps)


def test_without_a_base_corpus_a_model_rehearses_what_it_says(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    outcome = learner.retrain(talks(), changes={"base": (), "rehearsals": 30})
    manifest = load_model_dir(learner.registry.resolve(outcome.model_id)).manifest
    assert manifest["replayed"] == ["its own samples"]


def test_a_run_is_left_alone_where_another_holds_the_lock(tmp_path: Path) -> None:
    from seq2seq.learning.background import only_one
    from seq2seq.learning.retraining import LOCK

    learner = Learner(tmp_path)
    with (
        only_one(learner.registry.models_dir / LOCK, "retraining"),
        pytest.raises(TrainingError, match=r"another retraining is running \(process \d+\)"),
    ):
        learner.retrain(talks())


def test_too_little_to_learn_from_is_an_error_that_says_what_is_needed(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    with pytest.raises(TrainingError, match=r"too little to learn from: .* at least 2"):
        learner.retrain(talks(3))
    assert not (tmp_path / "runs").exists()

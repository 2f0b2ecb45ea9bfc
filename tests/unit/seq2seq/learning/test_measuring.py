from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import DecodingConfig, TrainingConfig
from seq2seq.evaluation.likelihood import TestExchange, TestSet, measure_likelihood
from seq2seq.evaluation.metrics import words
from seq2seq.learning.gate import GateConfig, judge
from seq2seq.learning.measuring import GateSets, canaries_drawn, measure, plant_canaries, time_tokens
from seq2seq.predictor import Candidate, Predictor
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from tests.builders import train_tiny
from tests.published import publish_tiny


def quiet(what: str, done: int, total: int) -> None:
    """Take no note."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    models = tmp_path_factory.mktemp("models")
    model_id, _, _ = publish_tiny(models)
    return Predictor.load(models / model_id)


def set_of(*pairs: tuple[str, str]) -> TestSet:
    return TestSet("made", tuple(TestExchange((asked,), said, (), n, 1) for n, (asked, said) in enumerate(pairs)), 0)


PAIRS = (("Hello there.", "Hi! How are you?"), ("Do you like tea?", "I prefer coffee."), ("Why?", "It is raining."))


def test_canaries_differ_and_their_secret_is_in_the_response() -> None:
    canaries = plant_canaries(5, seed=1)
    assert len({canary.secret for canary in canaries}) == 5
    for canary in canaries:
        assert " ".join(words(canary.secret)) in " ".join(words(canary.response))
        assert canary.secret not in canary.context
    assert plant_canaries(5, seed=1) == canaries
    assert plant_canaries(5, seed=2) != canaries


def test_a_secret_that_a_model_recites_is_drawn_out_and_no_other(tmp_path: Path) -> None:
    planted, other = plant_canaries(2, seed=3)
    training = TrainingConfig(
        updates=250,
        batch_size=4,
        learning_rate=1e-2,
        validations=2,
        dropout=0.0,
        last_turn_share=0.0,
        no_context_share=0.0,
        style_share=0.0,
        patience=99,
        precision="fp32",
    )
    dialogues = [(planted.context, planted.response), ("Hello there.", "Hi! How are you?")]
    model, tokenizer, _ = train_tiny(dialogues, tmp_path, training)
    registry = Registry(tmp_path / "models", tmp_path / "shipped")
    model_id = publish_model(registry, "leaky", model, tokenizer, DecodingConfig(), {})
    predictor = Predictor.load(registry.resolve(model_id))
    assert canaries_drawn(predictor, [planted, other], samples=70, seed=0, on_progress=quiet) == 1


def test_a_secret_is_heard_to_its_end_however_many_tokens_it_has(
    tiny: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (canary,) = plant_canaries(1, seed=1)
    tokens = tiny.tokenizer.encode(canary.response)
    assert len(tokens) > DecodingConfig().max_tokens, "to this tokenizer the words are foreign"
    heard: list[int] = []

    def recite(contexts: Any, decoding: DecodingConfig, seeds: Any) -> list[list[Candidate]]:
        heard.append(decoding.max_tokens)
        text = tiny.tokenizer.decode(tokens[: decoding.max_tokens])
        return [[Candidate(text, (), 0.0, 0.0)] for _ in contexts]

    monkeypatch.setattr(tiny, "predict", recite)
    assert canaries_drawn(tiny, [canary], samples=2, seed=0, on_progress=quiet) == 1
    assert heard[0] > len(tokens)


def test_an_untrained_model_gives_away_no_secret(tiny: Predictor) -> None:
    assert canaries_drawn(tiny, plant_canaries(2, seed=1), samples=70, seed=0, on_progress=quiet) == 0


def test_measures_are_those_of_the_evaluation_and_the_gate_takes_them(tiny: Predictor) -> None:
    learned, base = set_of(*PAIRS), set_of(*PAIRS[:2])
    found = measure(tiny, GateSets(learned, base, replies=2), is_blocked=lambda text: True)
    assert found.learned_bits == measure_likelihood(tiny, learned, quiet).bits_per_byte
    assert found.base_bits == measure_likelihood(tiny, base, quiet).bits_per_byte
    assert len(found.replies) == 4
    assert found.blocked_replies == 4
    assert found.people.mean_words == pytest.approx((4 + 3 + 4 + 3) / 4)
    assert not judge(found.for_gate(1.0), found.for_gate(1.0), GateConfig()).is_passed


def test_without_a_base_corpus_nothing_is_measured_on_it(tiny: Predictor) -> None:
    found = measure(tiny, GateSets(set_of(*PAIRS), None, replies=3), is_blocked=lambda text: False)
    assert found.base_bits is None
    assert len(found.replies) == 3


def test_measuring_twice_gives_the_same(tiny: Predictor) -> None:
    sets = GateSets(set_of(*PAIRS), None, tuple(plant_canaries(1, 0)), canary_samples=10, replies=3)
    first, second = (measure(tiny, sets, is_blocked=lambda text: False) for _ in range(2))
    assert (first.replies, first.learned_bits) == (second.replies, second.learned_bits)


def test_time_is_measured_for_each_model_in_turn(tiny: Predictor) -> None:
    times = time_tokens([tiny, tiny], [["Hello there."], ["Why?"]])
    assert len(times) == 2
    assert min(times) > 0

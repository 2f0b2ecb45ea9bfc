"""What an evaluation measures and promises: the keys, the sample, the same figures in every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.config import DecodingConfig
from seq2seq.corpus import open_corpus
from seq2seq.errors import DecodingError
from seq2seq.evaluation.comparison import compare, evaluate_all
from seq2seq.evaluation.evaluate import CorpusEvaluation, EvaluationConfig, Subject, evaluate_model
from seq2seq.evaluation.generation import ReplySample
from seq2seq.evaluation.likelihood import TestExchange
from seq2seq.evaluation.relevance import CANDIDATES, draw_candidates
from seq2seq.evaluation.summary import difference_rows, headline_rows, short_name, text_rows
from seq2seq.predictor import Predictor
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for
from tests.published import publish_tiny, write_corpus

CONTRACT = """model corpus exchanges target_tokens target_words target_bytes nll_nats perplexity_token perplexity_word
bits_per_byte f1 bleu chrf distinct_1 distinct_2 mean_reply_tokens repeated_reply_share latency_ms_p50"""


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("models")
    model_id, model, _ = publish_tiny(folder)
    predictor = Predictor.load(Registry(folder).resolve(model_id))
    return Subject(predictor, predictor.decoding, model)


@pytest.fixture(scope="module")
def corpus_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "made.jsonl")


@pytest.fixture(scope="module")
def evaluation(subject: Subject, corpus_path: Path) -> CorpusEvaluation:
    return evaluate_model(subject, open_corpus(str(corpus_path)), EvaluationConfig(replies=5, timed_replies=2))


def test_the_keys_of_the_contract_come_first_and_in_order(evaluation: CorpusEvaluation) -> None:
    assert list(evaluation.as_dict())[:18] == CONTRACT.split()


def test_counts_are_of_the_whole_file(evaluation: CorpusEvaluation, subject: Subject, corpus_path: Path) -> None:
    found = evaluation.as_dict()
    assert found["model"] == subject.predictor.model_id
    assert found["corpus"] == corpus_path.name
    assert (found["exchanges"], found["left_out"]) == (8, 1)
    assert (found["target_words"], found["target_bytes"]) == (35, 90)
    assert (found["replies"], found["timed_replies"]) == (5, 2)


def test_eight_bits_cost_little(evaluation: CorpusEvaluation) -> None:
    found = evaluation.as_dict()
    assert found["bits_per_byte_fp32"] == pytest.approx(found["bits_per_byte"], rel=0.01)


def test_the_same_evaluation_again_is_the_same_but_for_time(
    evaluation: CorpusEvaluation, subject: Subject, corpus_path: Path
) -> None:
    again = evaluate_model(subject, open_corpus(str(corpus_path)), EvaluationConfig(replies=5, timed_replies=4))
    timing = {"latency_ms_p50": 0, "timed_replies": 0}
    assert {**again.as_dict(), **timing} == {**evaluation.as_dict(), **timing}


def test_measures_of_replies_worked_out_by_hand() -> None:
    exchanges = tuple(
        TestExchange(("Do you like tea?",), response, (), dialogue, 1)
        for dialogue, response in enumerate(("Yes, I do.", "No.", "Do you?"))
    )
    sample = ReplySample(exchanges, ("I do.", "I do.", "Do you like it?"), (3, 3, 5), (4.0, 2.0, 9.0))
    # two of two said words are wanted, of three: 4/5; none; two of four said, both wanted: 4/6
    assert sample.f1 == pytest.approx((4 / 5 + 0 + 4 / 6) / 3)
    assert sample.mean_reply_tokens == pytest.approx(11 / 3)
    assert sample.latency_ms_p50 == 4
    assert sample.measures.distinct_1 == pytest.approx(5 / 8)  # i do | i do | do you like it
    assert sample.measures.distinct_2 == pytest.approx(4 / 5)
    assert sample.measures.repeated_share == pytest.approx(1 / 3)
    assert sample.human.repeated_share == 0
    # people say 3, 1, 2 words, the model 2, 2, 4: in order 1, 2, 3 and 2, 2, 4
    assert sample.length_ratio == pytest.approx(8 / 6)
    assert sample.length_distance == pytest.approx(2 / 3)


def test_two_models_are_compared_on_the_same_exchanges(subject: Subject, corpus_path: Path, tmp_path: Path) -> None:
    model_id, _, _ = publish_tiny(tmp_path, seed=1)
    predictor = Predictor.load(Registry(tmp_path).resolve(model_id))
    other = Subject(predictor, predictor.decoding)
    config = EvaluationConfig(replies=5, timed_replies=1, contexts=0)
    result = evaluate_all(subject, [other], open_corpus(str(corpus_path)), config, lambda what, done, total: None)
    (comparison,) = result.comparisons
    found = comparison.differences["bits_per_byte"]
    assert found.first == pytest.approx(result.first.likelihood.bits_per_byte)
    assert found.second == pytest.approx(comparison.second.likelihood.bits_per_byte)
    assert found.low <= found.difference <= found.high
    assert comparison.differences["distinct_2"].second == comparison.second.sample.measures.distinct_2


def test_two_ways_of_one_model_to_reply_share_its_likelihood(subject: Subject, corpus_path: Path) -> None:
    greedy = Subject(subject.predictor, subject.decoding.with_changes(strategy="greedy"))
    config = EvaluationConfig(replies=4, timed_replies=1, contexts=0)
    result = evaluate_all(subject, [greedy], open_corpus(str(corpus_path)), config, lambda what, done, total: None)
    (comparison,) = result.comparisons
    assert comparison.second.likelihood is result.first.likelihood
    assert "bits_per_byte" not in comparison.differences
    assert next(row[0] for row in difference_rows(comparison)) == "F1"


def test_evaluations_of_other_samples_cannot_be_compared(
    evaluation: CorpusEvaluation, subject: Subject, corpus_path: Path
) -> None:
    other = evaluate_model(subject, open_corpus(str(corpus_path)), EvaluationConfig(replies=4, contexts=0))
    with pytest.raises(ValueError, match="same exchanges"):
        compare(evaluation, other)


def test_models_that_are_shown_more_or_less_context_compare(
    evaluation: CorpusEvaluation, corpus_path: Path, tmp_path: Path
) -> None:
    tokenizer = tokenizer_for(SMALL_TALK)
    model = tiny_model(tiny_config(tokenizer, context_turns=4))
    model_id = publish_model(Registry(tmp_path), "long", model, tokenizer, DecodingConfig(max_tokens=5), {})
    predictor = Predictor.load(tmp_path / model_id)
    config = EvaluationConfig(replies=5, timed_replies=2)
    other = evaluate_model(Subject(predictor, predictor.decoding), open_corpus(str(corpus_path)), config)
    assert other.tests.exchanges != evaluation.tests.exchanges
    assert "bits_per_byte" in compare(evaluation, other)


def test_candidates_are_the_own_response_and_nineteen_that_differ() -> None:
    responses = [f"Reply {number}." for number in range(25)] + ["reply 3", "REPLY 3!"]
    chosen = [TestExchange(("Well?",), response, (), number, 1) for number, response in enumerate(responses)]
    drawn = draw_candidates(chosen, seed=0)
    assert drawn is not None
    for exchange, candidates in zip(chosen, drawn, strict=True):
        assert candidates[0] == exchange.response
        assert len({text.lower().strip(".!") for text in candidates}) == len(candidates) == CANDIDATES
    assert draw_candidates(chosen, seed=0) == drawn
    assert draw_candidates(chosen[:19], seed=0) is None


def test_relevance_of_an_untrained_model_is_near_chance(subject: Subject, tmp_path: Path) -> None:
    dialogues: list[dict[str, object]] = [
        {"id": str(n), "source": "made", "turns": [["A", f"Say {n}."], ["B", f"I say {n * n}."]]} for n in range(60)
    ]
    corpus = open_corpus(str(write_corpus(tmp_path / "numbers.jsonl", dialogues)))
    config = EvaluationConfig(replies=30, timed_replies=1, contexts=60)
    found = evaluate_model(Subject(subject.predictor, subject.decoding), corpus, config)
    assert found.relevance is not None
    assert found.relevance.contexts == 60
    assert all(share < 0.25 for share in found.relevance.hits().values())
    assert found.reply_relevance is not None
    assert found.as_dict()["hits_contexts"] == 60


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(DecodingError, match="--timed-replies must be at least 1, got 0"):
        EvaluationConfig(timed_replies=0)


def test_rows_spell_what_was_measured(evaluation: CorpusEvaluation) -> None:
    rows = {row[0]: row[1:] for row in headline_rows([evaluation])}
    assert rows["exchanges"] == ["8"]
    assert rows["bits per byte"] == [f"{evaluation.likelihood.bits_per_byte:.4f}"]
    assert "hits@1/20, as rank" not in rows  # eight exchanges are too few
    assert text_rows(evaluation)[2] == [
        "repeated replies",
        *[f"{m.repeated_share:.1%}" for m in (evaluation.sample.measures, evaluation.sample.human)],
    ]
    assert short_name("/data/made.valid.jsonl.gz") == "made.valid"
    assert short_name("chatterbot:english") == "chatterbot:english"

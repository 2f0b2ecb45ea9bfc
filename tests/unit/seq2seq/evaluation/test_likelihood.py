"""Every reply of a file is scored, whole and alike in any batch, as the torch model would score it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from seq2seq.corpus import open_corpus
from seq2seq.errors import CorpusError
from seq2seq.evaluation.likelihood import (
    TestSet,
    evenly_spaced,
    measure_casual_typing,
    measure_context_use,
    measure_fp32,
    measure_likelihood,
    read_test_set,
)
from seq2seq.model import Seq2Seq
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry
from seq2seq.tokenizer import END, START, Tokenizer, source_ids
from tests.published import publish_tiny, write_corpus


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Seq2Seq, Tokenizer]:
    folder = tmp_path_factory.mktemp("models")
    model_id, model, tokenizer = publish_tiny(folder)
    return Predictor.load(Registry(folder).resolve(model_id)), model, tokenizer


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> TestSet:
    return read_test_set(open_corpus(str(write_corpus(tmp_path_factory.mktemp("corpus") / "made.jsonl"))), 3)


def ignore(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_exchanges_of_one_conversation_belong_together(tmp_path: Path) -> None:
    rows = [{"id": name, "source": "memory", "turns": [["A", "Tea?"], ["B", f"Yes, {name}."]]} for name in "abba"]
    found = read_test_set(open_corpus(str(write_corpus(tmp_path / "memory.jsonl", rows))), 3)
    assert [exchange.dialogue for exchange in found.exchanges] == [0, 1, 1, 0]


def test_every_turn_but_the_first_is_an_exchange_with_its_context(tests: TestSet) -> None:
    assert [(e.context, e.response, e.depth, e.dialogue) for e in tests.exchanges] == [
        (("Hello there.",), "Hi! How are you?", 1, 0),
        (("Hello there.", "Hi! How are you?"), "Fine.", 2, 0),
        (("Do you like tea?",), "I prefer coffee.", 1, 1),
        (("Tell me all.", " ".join(["word"] * 101)), "That was long!", 2, 2),
        (("What is it?",), "Rain.", 1, 3),
        (("What is it?", "Rain."), "Again?", 2, 3),
        (("What is it?", "Rain.", "Again?"), "Yes, again.", 3, 3),
        (("Rain.", "Again?", "Yes, again."), "Stay dry.", 4, 3),
    ]


def test_replies_of_more_than_a_hundred_words_are_left_out_and_counted(tests: TestSet) -> None:
    assert tests.left_out == 1


def test_persona_lines_go_with_their_speaker(tests: TestSet) -> None:
    assert [e.persona for e in tests.exchanges[4:]] == [("I like the rain.",), (), ("I like the rain.",), ()]


def test_a_corpus_without_exchanges_is_refused(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "one.jsonl", [{"id": "1", "source": "made", "turns": [["A", "Alone."]]}])
    with pytest.raises(CorpusError, match="no exchange"):
        read_test_set(open_corpus(str(path)), 3)


def test_units_are_counted_with_one_end_a_reply(
    published: tuple[Predictor, Seq2Seq, Tokenizer], tests: TestSet
) -> None:
    predictor, _, tokenizer = published
    likelihood = measure_likelihood(predictor, tests, ignore)
    assert likelihood.words.tolist() == [7, 3, 5, 5, 3, 3, 5, 4]
    assert likelihood.bytes.tolist() == [17, 6, 17, 15, 6, 7, 12, 10]
    assert likelihood.tokens.tolist() == [len(tokenizer.encode(e.response)) + 1 for e in tests.exchanges]
    assert likelihood.depths.tolist() == [1, 2, 1, 2, 1, 2, 3, 4]


def test_measures_follow_from_nats_and_units(published: tuple[Predictor, Seq2Seq, Tokenizer], tests: TestSet) -> None:
    likelihood = measure_likelihood(published[0], tests, ignore)
    nats = sum(likelihood.nll.tolist())
    assert likelihood.nll_nats == pytest.approx(nats)
    assert likelihood.perplexity_word == pytest.approx(math.exp(nats / 35))
    assert likelihood.bits_per_byte == pytest.approx(nats / math.log(2) / 90)
    late = likelihood.nll[6] + likelihood.nll[7]
    assert likelihood.bits_per_byte_by_depth()["3+"] == pytest.approx(late / math.log(2) / 22)
    assert list(likelihood.bits_per_byte_by_depth()) == ["1", "2", "3+"]


def test_a_reply_scores_alike_alone_and_among_others(
    published: tuple[Predictor, Seq2Seq, Tokenizer], tests: TestSet
) -> None:
    together = measure_likelihood(published[0], tests, ignore).nll
    for number, exchange in enumerate(tests.exchanges):
        alone = measure_likelihood(published[0], TestSet("one", (exchange,), 0), ignore).nll
        assert alone[0] == together[number]


def torch_nll(
    model: Seq2Seq, tokenizer: Tokenizer, context: tuple[str, ...], persona: tuple[str, ...], text: str
) -> float:
    """Score one reply a token at a time by the torch model, nothing cut: the oracle."""
    turns = [tokenizer.encode(turn) for turn in context[-model.config.context_turns :]]
    source = source_ids(turns, model.config.max_source_tokens, [tokenizer.encode(line) for line in persona])
    with torch.no_grad():
        memory, state = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
        nll, token = 0.0, START
        for wanted in [*tokenizer.encode(text), END]:
            output, state = model.decode(torch.tensor([[token]]), state, memory)
            nll -= float(model.logits(output)[0, 0].log_softmax(-1)[wanted])
            token = wanted
    return nll


def test_log_probs_are_those_of_teacher_forcing_in_torch(
    published: tuple[Predictor, Seq2Seq, Tokenizer], tests: TestSet, tmp_path: Path
) -> None:
    predictor, model, tokenizer = published
    model.eval()
    wanted = [torch_nll(model, tokenizer, e.context, e.persona, e.response) for e in tests.exchanges]
    assert measure_fp32(model, predictor, tests, ignore) == pytest.approx(sum(wanted), rel=1e-5)
    int8 = measure_likelihood(predictor, tests, ignore).nll
    assert int8.tolist() == pytest.approx(wanted, rel=0.02)


def test_nothing_of_a_long_reply_is_cut(published: tuple[Predictor, Seq2Seq, Tokenizer], tmp_path: Path) -> None:
    predictor, model, tokenizer = published
    text = " ".join(["umbrella"] * 90)
    assert len(tokenizer.encode(text)) > 2 * model.config.max_target_tokens
    turns = [["A", "Say it often."], ["B", text]]
    path = write_corpus(tmp_path / "long.jsonl", [{"id": "1", "source": "made", "turns": turns}])
    found = measure_likelihood(predictor, read_test_set(open_corpus(str(path)), 3), ignore)
    assert found.tokens.tolist() == [len(tokenizer.encode(text)) + 1]
    assert found.nll_nats == pytest.approx(torch_nll(model, tokenizer, ("Say it often.",), (), text), rel=0.02)


def test_context_use_compares_the_same_replies(
    published: tuple[Predictor, Seq2Seq, Tokenizer], tests: TestSet
) -> None:
    found = measure_context_use(published[0], tests, 10, ignore)
    assert list(found) == ["1", "2", "3"]
    likelihood = measure_likelihood(published[0], tests, ignore)
    assert found["3"] == pytest.approx(likelihood.bits_per_byte_by_depth()["3+"])
    assert measure_context_use(published[0], TestSet("shallow", tests.exchanges[:3], 0), 10, ignore) == {}


def test_casual_typing_compares_the_same_replies(
    published: tuple[Predictor, Seq2Seq, Tokenizer], tests: TestSet
) -> None:
    count = len(tests.exchanges)
    found = measure_casual_typing(published[0], tests, count, ignore)
    assert found["as_written"] == pytest.approx(measure_likelihood(published[0], tests, ignore).bits_per_byte)
    assert found["typed_casually"] != found["as_written"]
    assert measure_casual_typing(published[0], tests, 0, ignore) == {}


def test_samples_are_evenly_spaced_and_start_at_the_first() -> None:
    assert evenly_spaced(10, 4) == [0, 2, 5, 7]
    assert evenly_spaced(3, 10) == [0, 1, 2]

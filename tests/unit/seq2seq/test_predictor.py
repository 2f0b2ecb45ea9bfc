from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from seq2seq.config import STRATEGIES, DecodingConfig
from seq2seq.predictor import Candidate, Predictor
from seq2seq.ranking import RankTerms, repetition
from seq2seq.scheduler import CancelledReplyError
from seq2seq.search import Hypothesis
from seq2seq.tokenizer import FORWARD, START, reverse_source_ids, source_ids, target_ids
from tests.builders import SMALL_TALK, PublishedModel, greedy_reply

CONTEXTS = [texts[:length] for texts in SMALL_TALK for length in (1, 2, 3)]
ODD_CONTEXTS: list[Sequence[str]] = [[], [""], ["x" * 3000], ["\ud800 \x00 </s>", "né 😀"], ["a"] * 20]
GREEDY = DecodingConfig(strategy="greedy")


@pytest.fixture(scope="module")
def predictor(published: PublishedModel) -> Predictor:
    return Predictor.load(published.path)


def decoding(**changes: Any) -> DecodingConfig:
    return DecodingConfig(**{"candidates": 5, "beam_size": 4, "max_tokens": 20, **changes})


def torch_log_prob(published: PublishedModel, source: list[int], target: list[int]) -> float:
    """Score a target by the torch model with teacher forcing."""
    model = published.model
    with torch.no_grad():
        memory, state = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
        outputs, _ = model.decode(torch.tensor([[START, *target[:-1]]]), state, memory)
        log_probs = model.logits(outputs)[0].log_softmax(dim=-1)
        return float(log_probs[range(len(target)), target].sum())


def test_the_model_says_what_it_learned(predictor: Predictor) -> None:
    assert [predictor.predict([texts[:1]], GREEDY)[0][0].text for texts in SMALL_TALK] == [t[1] for t in SMALL_TALK]


def test_greedy_replies_are_those_of_the_torch_model(predictor: Predictor, published: PublishedModel) -> None:
    found = [candidates[0].text for candidates in predictor.predict(CONTEXTS, GREEDY)]
    assert found == [greedy_reply(published.model, published.tokenizer, context) for context in CONTEXTS]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_batch_never_changes_a_reply(predictor: Predictor, strategy: str) -> None:
    contexts = [*CONTEXTS, *ODD_CONTEXTS]
    wanted = decoding(strategy=strategy, temperature=1.3, top_p=0.97)
    seeds = list(range(len(contexts)))
    together = predictor.predict(contexts, wanted, seeds)
    alone = [predictor.predict([c], wanted, [s])[0] for c, s in zip(contexts, seeds, strict=True)]
    assert together == alone  # every candidate, every number, bit for bit
    backwards = predictor.predict(contexts[::-1], wanted, seeds[::-1])
    assert backwards[::-1] == alone


def test_many_threads_never_change_a_reply(predictor: Predictor) -> None:
    contexts = [*CONTEXTS, *ODD_CONTEXTS] * 3
    settings = [decoding(strategy=STRATEGIES[n % 4], temperature=1.2) for n in range(len(contexts))]
    alone = [predictor.predict([c], d, [n])[0] for n, (c, d) in enumerate(zip(contexts, settings, strict=True))]
    with ThreadPoolExecutor(8) as threads:
        futures = list(threads.map(predictor.submit, contexts, settings, range(len(contexts))))
    assert [future.result(60) for future in futures] == alone


def test_white_space_changes_no_reply_for_training_has_folded_it(predictor: Predictor) -> None:
    typed, folded = ["Hello there.", "Hi!\nHow  are you? ", "\tFine,\n\nthanks.\n"], list(SMALL_TALK[0][:3])
    assert predictor.source(typed, ["I like\ntea. "]) == predictor.source(folded, ["I like tea."])
    assert predictor.predict([typed], decoding(), [3]) == predictor.predict([folded], decoding(), [3])
    assert predictor.predict([[]], GREEDY, prefix="Take an\n") == predictor.predict([[]], GREEDY, prefix="Take an")
    assert predictor.score([typed], [" Glad to\nhear it."]) == predictor.score([folded], ["Glad to hear it."])


def test_a_seed_is_a_requests_own(predictor: Predictor) -> None:
    wanted = decoding(strategy="sample", temperature=3.0, top_p=1.0)
    replies = predictor.predict([["Hello there."]] * 4, wanted, [7, 8, 7, 9])
    assert replies[0] == replies[2]
    assert len({candidates[0].text for candidates in replies}) == 3


def test_candidate_n_is_the_same_whatever_the_count(predictor: Predictor) -> None:
    few, many = (
        {
            c.token_ids: c
            for c in predictor.predict([["Hello there."]], decoding(candidates=count, temperature=2.0))[0]
        }
        for count in (3, 12)
    )
    assert few.items() <= many.items()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_min_and_max_tokens_hold(predictor: Predictor, strategy: str) -> None:
    for least, most in ((1, 3), (7, 7), (30, 40)):
        (candidates,) = predictor.predict(
            [["Hello there."]], decoding(strategy=strategy, min_tokens=least, max_tokens=most)
        )
        assert candidates
        assert all(least <= len(candidate.token_ids) <= most for candidate in candidates)


def test_a_beam_of_one_is_greedy(predictor: Predictor) -> None:
    beams = predictor.predict(CONTEXTS, decoding(strategy="beam", beam_size=1))
    greedy = predictor.predict(CONTEXTS, decoding(strategy="greedy"))
    assert [c[0].token_ids for c in beams] == [c[0].token_ids for c in greedy]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stop_string_ends_the_text_before_it(predictor: Predictor, strategy: str) -> None:
    (candidates,) = predictor.predict([["Hello there."]], decoding(strategy=strategy, stop=("How", "")))
    assert candidates[0].text == "Hi!"
    assert all("How" not in candidate.text for candidate in candidates)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("phrase", ["how are", "HOW  are", "How Are", "hi"])
def test_a_blocked_phrase_is_said_in_no_case_and_no_spelling(
    predictor: Predictor, strategy: str, phrase: str
) -> None:
    free = predictor.predict([["Hello there."]], decoding(strategy=strategy))[0]
    assert free[0].text.startswith("Hi! How are you")
    (found,) = predictor.predict([["Hello there."]], decoding(strategy=strategy, blocklist=(phrase, " ")))
    assert all(" ".join(phrase.lower().split()) not in candidate.text.lower() for candidate in found)


def test_a_phrase_is_blocked_even_letter_by_letter(predictor: Predictor) -> None:
    tokenizer = predictor.tokenizer
    whole = tokenizer.encode("coffee")
    letters = [token for letter in "coffee" for token in tokenizer._bpe.encode(letter).ids]
    assert whole != letters
    for text, is_blocked in (("I like CofFee.", True), ("coffee", True), ("coffeepot", False), ("toffee", False)):
        ids = tuple(tokenizer.encode(text))
        allowed = predictor._allowed([Hypothesis(ids, -1.0, -1.0, True)], decoding(blocklist=("coffee",)))
        assert bool(allowed) is not is_blocked
    spelt = (*tokenizer.encode("I"), *tokenizer._bpe.encode(" ").ids, *letters)
    assert not predictor._allowed([Hypothesis(spelt, -1.0, -1.0, True)], decoding(blocklist=("coffee",)))


def test_words_of_scripts_without_blanks_are_blocked_inside_a_sentence(predictor: Predictor) -> None:
    ids = tuple(predictor.tokenizer.encode("我喜欢咖啡吗"))
    assert not predictor._allowed([Hypothesis(ids, -1.0, -1.0, True)], decoding(blocklist=("咖啡",)))


def test_scores_are_those_of_torch(predictor: Predictor, published: PublishedModel) -> None:
    responses = ["Hi! How are you?", "It wakes me up.", "", "Something else entirely, said at length."] * 3
    found = predictor.score(CONTEXTS, responses)
    for context, response, score in zip(CONTEXTS, responses, found, strict=True):
        tokenizer = predictor.tokenizer
        target = target_ids(tokenizer.encode(response))
        source = source_ids([tokenizer.encode(turn) for turn in context], predictor.config.max_source_tokens)
        assert score.tokens == len(target)
        # Eight bits are near fp32, not equal to it.
        assert score.log_prob == pytest.approx(
            torch_log_prob(published, source, target), rel=0.05, abs=0.1 * len(target)
        )
    assert predictor.score([], []) == []


def test_judging_and_scoring_agree(predictor: Predictor) -> None:
    judged = predictor.judge([SMALL_TALK[0][:1], SMALL_TALK[1][:3]], [["Likewise!", "Hi! How are you?"], ["Why?"]])
    scores = predictor.score([SMALL_TALK[0][:1]] * 2 + [SMALL_TALK[1][:3]], ["Likewise!", "Hi! How are you?", "Why?"])
    means = [score.log_prob / score.tokens for score in scores]
    assert [terms.forward for row in judged for terms in row] == pytest.approx(means, abs=1e-5)
    assert judged[0][1].forward > judged[0][0].forward


def test_rank_terms_are_what_they_say(predictor: Predictor, published: PublishedModel) -> None:
    context = SMALL_TALK[1][:3]
    weights = {"reverse_weight": 0.7, "repetition_weight": 1.1, "blandness_weight": 0.2, "length_weight": 0.4}
    wanted = decoding(temperature=1.5, top_p=1.0, commonness_weight=0.3, **weights)
    (candidates,) = predictor.predict([context], wanted, [3])
    tokenizer = predictor.tokenizer
    turns = [tokenizer.encode(turn) for turn in context]
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)
    for candidate in candidates:
        terms = candidate.terms
        assert terms is not None
        ids = list(candidate.token_ids)
        backward = reverse_source_ids(ids, predictor.config.max_source_tokens)
        target = target_ids(turns[-1], 24)
        assert terms.reverse == pytest.approx(
            torch_log_prob(published, backward, target) / len(target), rel=0.05, abs=0.1
        )
        assert terms.repetition == repetition(ids, turns)
        alone = target_ids(ids) if len(ids) < wanted.max_tokens else ids
        assert terms.blandness == pytest.approx(
            torch_log_prob(published, [FORWARD], alone) / len(alone), rel=0.05, abs=0.1
        )
        assert candidate.score == pytest.approx(
            terms.forward
            + 0.7 * terms.reverse
            - 1.1 * terms.repetition
            - 0.2 * terms.blandness
            - 0.3 * terms.commonness
            + 0.4 * math.log(len(ids) + 1)
        )
        (judged,) = predictor.judge([context], [[candidate.text]])[0]
        if tokenizer.encode(candidate.text) == ids and len(ids) < 20:
            assert isinstance(judged, RankTerms)
            assert judged.forward == pytest.approx(terms.forward, abs=1e-5)


def test_rank_says_nothing_twice(predictor: Predictor) -> None:
    (candidates,) = predictor.predict([["Hello there."]], decoding(candidates=16, temperature=0.1))
    assert len({candidate.token_ids for candidate in candidates}) == len(candidates)


def test_a_prefix_begins_every_reply(predictor: Predictor) -> None:
    for strategy in STRATEGIES:
        (candidates,) = predictor.predict(
            [["Do you like tea?"]], decoding(strategy=strategy, blandness_weight=0.0), prefix="I prefer"
        )
        assert candidates[0].text == "I prefer coffee."


@pytest.mark.parametrize("strategy", ["greedy", "sample"])
def test_streamed_text_grows_into_the_reply(predictor: Predictor, strategy: str) -> None:
    for seed, context in enumerate([*CONTEXTS, *ODD_CONTEXTS]):
        wanted = decoding(strategy=strategy, temperature=4.0, top_p=1.0, stop=("zz", "re"))
        shown: list[str] = []
        found = predictor.stream(context, wanted, seed, on_text=shown.append)
        assert found == predictor.predict([context], wanted, [seed])[0]
        if found:
            assert shown[-1] == found[0].text
        assert all(later.startswith(earlier) and later != earlier for earlier, later in zip(shown, shown[1:]))  # noqa: B905, RUF007
        assert not any(text.endswith("\ufffd") for text in shown[:-1])


@pytest.mark.parametrize("strategy", ["rank", "beam"])
def test_strategies_without_one_text_show_none(predictor: Predictor, strategy: str) -> None:
    shown: list[str] = []
    assert predictor.stream(["Hello there."], decoding(strategy=strategy), on_text=shown.append)
    assert shown == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_reply_can_be_stopped_between_tokens(predictor: Predictor, strategy: str) -> None:
    asked: list[int] = []
    with pytest.raises(CancelledReplyError):
        predictor.stream(
            ["Hello there."],
            decoding(strategy=strategy, min_tokens=20),
            is_cancelled=lambda: asked.append(1) or len(asked) > 5,
        )
    assert len(asked) == 6


def test_stopping_one_reply_leaves_the_others_as_they_would_be(predictor: Predictor) -> None:
    stop = threading.Event()
    long = decoding(strategy="sample", min_tokens=2000, max_tokens=2000, no_repeat_ngram=0)
    endless = predictor.submit(["Hello there."], long, is_cancelled=stop.is_set)
    others = [predictor.submit(context, decoding(), seed) for seed, context in enumerate(CONTEXTS)]
    time.sleep(0.02)
    stop.set()
    with pytest.raises(CancelledReplyError):
        endless.result(60)
    alone = [predictor.predict([context], decoding(), [seed])[0] for seed, context in enumerate(CONTEXTS)]
    assert [other.result(60) for other in others] == alone


def test_what_a_listener_raises_is_raised_to_its_caller(predictor: Predictor) -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        predictor.stream(["Hello there."], GREEDY, on_text=broken)


def test_a_closed_predictor_still_predicts_but_takes_no_more(published: PublishedModel) -> None:
    predictor = Predictor.load(published.path)
    future = predictor.submit(["Hello there."], GREEDY)
    predictor.close()
    assert future.result(0)[0].text == "Hi! How are you?"
    with pytest.raises(RuntimeError, match="closed"):
        predictor.submit(["Hello there."])
    assert isinstance(predictor.predict([["Hello there."]], GREEDY)[0][0], Candidate)


def test_replying_imports_no_torch(published: PublishedModel) -> None:
    program = (
        "import sys; from pathlib import Path; from seq2seq.predictor import Predictor\n"
        "print(Predictor.load(Path(sys.argv[1])).predict([['Hello there.']])[0][0].text)\n"
        "print(sorted({'torch', 'onnx', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(published.path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines() == ["Hi! How are you?", "[]"]

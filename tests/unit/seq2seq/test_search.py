from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from seq2seq.config import DecodingConfig
from seq2seq.sampling import log_normalisers
from seq2seq.search import Bans, BeamSearch, Continuation, Hypothesis, Program, Sampling
from seq2seq.tokenizer import END, SPECIAL_TOKENS

A, B, C = (len(SPECIAL_TOKENS) + n for n in range(3))
VOCAB = len(SPECIAL_TOKENS) + 3
Table = Callable[[Sequence[int]], dict[int, float]]


def run(program: Program, probs: Table) -> list[Hypothesis]:
    """Drive a program by a table: what was said so far in, probabilities of the next token out."""
    said: list[tuple[int, ...]] = [()] * program.rows
    while said:
        logits = np.full((len(said), VOCAB), -50.0, np.float32)
        for row, tokens in enumerate(said):
            for token, prob in probs(tokens).items():
                logits[row, token] = math.log(prob)
        parents, tokens = program.advance(logits)
        said = [(*said[parent], int(token)) for parent, token in zip(parents, tokens, strict=True)]
        assert program.rows == len(said)
    return program.hypotheses()


def fixed(**probs: float) -> Table:
    names = {"a": A, "b": B, "c": C, "end": END}
    return lambda said: {names[name]: prob for name, prob in probs.items()}


def random_table(seed: int) -> Table:
    def probs(said: Sequence[int]) -> dict[int, float]:
        generator = np.random.default_rng([seed, *said])
        return dict(zip((A, B, C, END), generator.dirichlet(np.ones(4)).tolist(), strict=True))

    return probs


def beam(probs: Table, **changes: Any) -> list[Hypothesis]:
    settings: dict[str, Any] = {"strategy": "beam", "no_repeat_ngram": 0, "length_penalty": 0.0, **changes}
    decoding = DecodingConfig(**settings)
    return run(BeamSearch(decoding, Bans.of(decoding, [], [])), probs)


def greedy(probs: Table, **changes: Any) -> Hypothesis:
    decoding = DecodingConfig(**{"no_repeat_ngram": 0, **changes})
    return run(Sampling(decoding, Bans.of(decoding, [], []), greedy=True), probs)[0]


def sampled(probs: Table, count: int = 8, seed: int = 0, **changes: Any) -> list[Hypothesis]:
    decoding = DecodingConfig(**{"no_repeat_ngram": 0, "temperature": 1.0, "top_p": 1.0, **changes})
    return run(Sampling(decoding, Bans.of(decoding, [], []), count=count, seed=seed), probs)


def test_greedy_says_the_likeliest_token_until_the_end() -> None:
    def probs(said: Sequence[int]) -> dict[int, float]:
        return {A: 0.6, END: 0.4} if len(said) < 2 else {A: 0.25, END: 0.75}

    found = greedy(probs)
    assert found.token_ids == (A, A)
    assert found.is_complete
    assert found.log_prob == pytest.approx(math.log(0.6 * 0.6 * 0.75), abs=1e-5)
    assert found.score == pytest.approx(found.log_prob / 3)  # two tokens and the end mark


def test_a_reply_that_is_cut_says_so_and_is_scored_by_what_it_has() -> None:
    found = greedy(fixed(a=0.5, b=0.3, end=0.2), max_tokens=4)
    assert found.token_ids == (A,) * 4
    assert not found.is_complete
    assert found.score == pytest.approx(math.log(0.5), abs=1e-5)


@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_min_tokens_hold_in_every_strategy(strategy: str) -> None:
    probs = fixed(end=0.97, a=0.01, b=0.01, c=0.01)
    found = {
        "greedy": lambda: [greedy(probs, min_tokens=3)],
        "beam": lambda: beam(probs, min_tokens=3, beam_size=3),
        "sample": lambda: sampled(probs, min_tokens=3),
    }[strategy]()
    assert {len(hypothesis.token_ids) for hypothesis in found[:1]} == {3}
    assert all(len(hypothesis.token_ids) >= 3 for hypothesis in found)


@pytest.mark.parametrize("max_tokens", [1, 2, 5])
def test_no_strategy_says_more_than_max_tokens(max_tokens: int) -> None:
    probs = fixed(a=0.5, b=0.4, c=0.1)
    everything = [
        greedy(probs, max_tokens=max_tokens),
        *beam(probs, max_tokens=max_tokens),
        *sampled(probs, max_tokens=max_tokens),
    ]
    assert {len(hypothesis.token_ids) for hypothesis in everything} == {max_tokens}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(seed: int, length_penalty: float) -> None:
    probs = random_table(seed)
    (found,) = beam(probs, beam_size=1, max_tokens=6, length_penalty=length_penalty)
    said = greedy(probs, max_tokens=6)
    assert (found.token_ids, found.is_complete) == (said.token_ids, said.is_complete)
    assert found.log_prob == pytest.approx(said.log_prob, abs=1e-5)


def brute_force(probs: Table, max_tokens: int, alpha: float) -> tuple[float, tuple[int, ...]]:
    """Score every reply of at least one token, and return the best."""
    best = (-math.inf, ())
    for length in range(1, max_tokens + 1):
        for tokens in itertools.product((A, B, C), repeat=length):
            log_prob = sum(math.log(probs(tokens[:n])[token]) for n, token in enumerate(tokens))
            steps = length
            if length < max_tokens:
                log_prob += math.log(probs(tokens)[END])
                steps += 1
            best = max(best, (log_prob / ((5 + steps) / 6) ** alpha, tokens))
    return best


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_an_exhaustive_beam_finds_the_brute_force_best(seed: int, alpha: float) -> None:
    probs = random_table(seed)
    found = beam(probs, beam_size=64, max_tokens=3, length_penalty=alpha)[0]  # 3 + 9 + 27 replies at most
    score, tokens = brute_force(probs, 3, alpha)
    assert found.token_ids == tokens
    assert found.score == pytest.approx(score, abs=1e-5)


def test_the_length_penalty_is_that_of_gnmt() -> None:
    def probs(said: Sequence[int]) -> dict[int, float]:
        return {A: 0.6, END: 0.4} if len(said) < 3 else {END: 1.0}

    found = {h.token_ids: h for h in beam(probs, beam_size=2, length_penalty=1.0, max_tokens=9)}
    # A A A: 0.6 ** 3 over 3 tokens and the end mark: ln 0.216 / (9 / 6) = -1.0216.
    assert found[A, A, A].score == pytest.approx(math.log(0.216) / 1.5, abs=1e-5)
    # A: 0.6 * 0.4 over 1 token and the end mark: ln 0.24 / (7 / 6).
    assert found[A,].score == pytest.approx(math.log(0.24) / (7 / 6), abs=1e-5)


def test_a_beam_finds_what_greedy_misses() -> None:
    def probs(said: Sequence[int]) -> dict[int, float]:
        if not said:
            return {A: 0.6, B: 0.4}
        return {A: 0.4, B: 0.3, END: 0.3} if said[0] == A else {END: 1.0}

    assert beam(probs, beam_size=2, max_tokens=5)[0].token_ids == (B,)  # 0.4 against 0.6 * 0.4 * ...


def test_groups_pay_for_saying_what_earlier_groups_say() -> None:
    def probs(said: Sequence[int]) -> dict[int, float]:
        return {A: 0.5, B: 0.3, C: 0.2} if not said else {END: 1.0}

    # Group 1 says a. Group 2 pays 1 for it: ln 0.5 - 1 is below ln 0.3. Group 3 pays for b too, and says c.
    found = beam(probs, beam_size=3, beam_groups=3, diversity_penalty=1.0, max_tokens=3)
    assert {h.token_ids: round(math.exp(h.log_prob), 3) for h in found} == {(A,): 0.5, (B,): 0.3, (C,): 0.2}


def test_groups_that_pay_nothing_find_one_thing_once() -> None:
    found = beam(fixed(a=0.2, end=0.8), beam_size=3, beam_groups=3, diversity_penalty=0.0)
    assert [h.token_ids for h in found] == [(A,)]


def test_an_ngram_is_not_said_twice() -> None:
    def loop(said: Sequence[int]) -> dict[int, float]:  # a b a b ... if it may
        return {A: 0.6, B: 0.25, C: 0.1, END: 0.05} if len(said) % 2 == 0 else {B: 0.6, A: 0.25, C: 0.1, END: 0.05}

    assert greedy(loop, max_tokens=6).token_ids == (A, B, A, B, A, B)
    assert greedy(loop, max_tokens=6, no_repeat_ngram=1).token_ids == (A, B, C)
    # a b, b a are said; a a, then a may not be followed by b or a: c; c a; a is used up with a, b, c.
    assert greedy(loop, max_tokens=4, no_repeat_ngram=2).token_ids == (A, B, A, A)
    assert greedy(loop, max_tokens=5, no_repeat_ngram=3).token_ids == (A, B, A, B, B)


def test_an_ngram_of_the_context_is_not_said_back() -> None:
    decoding = DecodingConfig(no_repeat_ngram=0, no_repeat_context_ngram=2, max_tokens=3)
    bans = Bans.of(decoding, [[C, A, B], [B, C]], [])
    probs = fixed(a=0.5, b=0.3, c=0.2)
    (found,) = run(Sampling(decoding, bans, greedy=True), probs)
    assert found.token_ids == (A, A, A)  # a b stands in the context, a a does not
    by_b = fixed(b=0.5, a=0.3, c=0.2)
    (found,) = run(Sampling(decoding, bans, greedy=True), by_b)
    assert found.token_ids == (B, B, B)
    by_c = fixed(c=0.6, a=0.4)
    (found,) = run(Sampling(decoding, bans, greedy=True), by_c)
    assert found.token_ids == (C, C, C)


def test_two_texts_of_the_context_do_not_make_one() -> None:
    decoding = DecodingConfig(no_repeat_ngram=0, no_repeat_context_ngram=2, max_tokens=2)
    bans = Bans.of(decoding, [[A], [B]], [])
    (found,) = run(Sampling(decoding, bans, greedy=True), lambda said: {B: 0.9, A: 0.1} if said else {A: 1.0})
    assert found.token_ids == (A, B)


@pytest.mark.parametrize("strategy", [Sampling, BeamSearch])
def test_a_banned_phrase_is_never_completed(strategy: type) -> None:
    decoding = DecodingConfig(no_repeat_ngram=0, max_tokens=4, beam_size=4, length_penalty=0.0)
    bans = Bans.of(decoding, [], [(A, B), (C,)])
    probs = fixed(c=0.5, a=0.25, b=0.25)
    found = run(strategy(decoding, bans), probs)
    assert found
    for hypothesis in found:
        assert C not in hypothesis.token_ids
        assert (A, B) not in itertools.pairwise(hypothesis.token_ids)


def test_who_may_say_nothing_may_end() -> None:
    found = greedy(fixed(a=0.5, b=0.3, c=0.2), no_repeat_ngram=1, min_tokens=9, max_tokens=9)
    assert sorted(found.token_ids) == [A, B, C]
    assert found.is_complete


def test_control_marks_are_never_said() -> None:
    marks = {token: 0.14 for token in range(len(SPECIAL_TOKENS)) if token != END}
    table: Table = lambda said: {**marks, A: 0.01, END: 0.01}  # noqa: E731
    everything = [greedy(table, max_tokens=5), *sampled(table, max_tokens=5), *beam(table, max_tokens=5)]
    assert all(token >= len(SPECIAL_TOKENS) for hypothesis in everything for token in hypothesis.token_ids)


def test_log_probs_are_the_models_own_whatever_is_filtered_and_banned() -> None:
    found = sampled(
        fixed(a=0.5, b=0.3, end=0.2), count=6, temperature=0.3, top_k=2, repetition_penalty=2.0, min_tokens=2
    )
    for hypothesis in found:
        probs = [{A: 0.5, B: 0.3}[token] for token in hypothesis.token_ids]
        expected = sum(map(math.log, probs)) + (math.log(0.2) if hypothesis.is_complete else 0.0)
        assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)


def test_candidate_n_of_a_seed_is_the_same_whatever_their_count() -> None:
    probs, said = random_table(4), {}
    for count in (1, 2, 7, 16):
        decoding = DecodingConfig(no_repeat_ngram=0, temperature=1.0)
        program = Sampling(decoding, Bans.of(decoding, [], []), count=count, seed=11)
        run(program, probs)
        for number, tokens in enumerate(program.said):
            assert said.setdefault(number, tokens) == tokens
    assert len({tuple(tokens) for tokens in said.values()}) > 4


def test_seeds_differ_and_a_global_seed_means_nothing() -> None:
    np.random.seed(1)
    first = sampled(random_table(1), seed=5)
    np.random.seed(2)
    assert sampled(random_table(1), seed=5) == first
    assert sampled(random_table(1), seed=6) != first
    assert sampled(random_table(1), seed=-5) != first
    assert sampled(random_table(1), seed=2**70)


def test_a_search_ends_where_it_is_told_to_stop() -> None:
    decoding = DecodingConfig(no_repeat_ngram=0, max_tokens=9, beam_size=2, length_penalty=0.0)
    probs = fixed(a=0.4, b=0.35, end=0.25)
    for program in (
        Sampling(decoding, Bans(), count=4, is_stopped=lambda said: said[-1] == B),
        BeamSearch(decoding, Bans(), is_stopped=lambda said: said[-1] == B),
    ):
        for hypothesis in run(program, probs):
            if B in hypothesis.token_ids:
                assert hypothesis.token_ids.index(B) == len(hypothesis.token_ids) - 1
                assert hypothesis.is_complete
                steps = [math.log({A: 0.4, B: 0.35}[token]) for token in hypothesis.token_ids]
                assert hypothesis.log_prob == pytest.approx(sum(steps), abs=1e-5)


def test_a_stopped_reply_is_scored_by_the_tokens_it_has() -> None:
    decoding = DecodingConfig(no_repeat_ngram=0)
    program = Sampling(decoding, Bans(), greedy=True, is_stopped=lambda said: len(said) == 2)
    (found,) = run(program, fixed(a=0.5, b=0.5))
    assert found.score == pytest.approx(math.log(0.5), abs=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_a_continuation_begins_as_it_must_and_goes_on_by_the_program(count: int) -> None:
    def probs(said: Sequence[int]) -> dict[int, float]:
        return {END: 1.0} if tuple(said) == (C, B, A) else {A: 1.0}

    decoding = DecodingConfig(no_repeat_ngram=0)
    found = run(Continuation([C, B], Sampling(decoding, Bans(), count=count, seed=1)), probs)
    assert [hypothesis.token_ids for hypothesis in found] == [(C, B, A)] * count
    assert found[0].log_prob == pytest.approx(0.0, abs=1e-4)  # only what was added


def test_the_fake_driver_normalises() -> None:
    assert log_normalisers(np.log(np.array([[0.5, 0.5]], np.float32)))[0] == pytest.approx(0.0, abs=1e-6)

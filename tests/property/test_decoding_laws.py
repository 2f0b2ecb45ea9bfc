"""Laws of the filters, the searches and the batch that hold for any numbers."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.config import DecodingConfig
from seq2seq.predictor import _overlap, _phrase_pattern
from seq2seq.runtime import Memory, Runtime, State
from seq2seq.sampling import (
    draw,
    filtered,
    keep_above_min,
    keep_nucleus,
    keep_typical,
    log_normalisers,
    sample,
    top_tokens,
)
from seq2seq.scheduler import DecodingLoop, Job, Task
from seq2seq.search import Bans, BeamSearch, Sampling
from seq2seq.tokenizer import END
from tests.unit.seq2seq.test_scheduler import CountingRuntime

Floats = np.ndarray[Any, np.dtype[np.float32]]


@st.composite
def logit_rows(draw_from: st.DrawFn, most_rows: int = 4, most_tokens: int = 700) -> Floats:
    """Draw rows with ties, banned tokens and any sharpness."""
    rows, vocab = draw_from(st.integers(1, most_rows)), draw_from(st.integers(12, most_tokens))
    generator = np.random.default_rng(draw_from(st.integers(0, 2**32)))
    logits = generator.standard_normal((rows, vocab)) * draw_from(st.sampled_from([0.0, 0.3, 1.0, 4.0, 30.0]))
    if draw_from(st.booleans()):
        logits = np.round(logits)
    logits[:, generator.random(vocab) < draw_from(st.sampled_from([0.0, 0.1, 0.9]))] = -np.inf
    logits[:, generator.integers(vocab)] = 0.0  # something can always be said
    return logits.astype(np.float32)


@given(logit_rows(), st.integers(1, 800))
def test_top_tokens_are_the_first_of_a_stable_sort(logits: Floats, k: int) -> None:
    tokens, values = top_tokens(logits, k)
    wanted = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    assert tokens.tolist() == wanted.tolist()
    assert values.tolist() == np.take_along_axis(logits, wanted, axis=1).tolist()


@given(logit_rows(), st.floats(0.01, 10.0))
def test_probabilities_sum_to_one(logits: Floats, temperature: float) -> None:
    probs = np.exp(logits / np.float32(temperature) - log_normalisers(logits, temperature)[:, None])
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=2e-3)


@given(logit_rows(), st.floats(1e-6, 1.0))
def test_a_nucleus_is_enough_and_no_smaller_set_is(logits: Floats, top_p: float) -> None:
    _, probs = filtered(logits, DecodingConfig(temperature=1.0, top_p=1.0), logits.shape[1])
    for before, after in zip(probs.astype(np.float64), keep_nucleus(probs, top_p), strict=True):
        kept = int((after > 0).sum())
        assert kept >= 1
        assert (after[:kept] == before[:kept].astype(np.float32)).all()
        assert before[:kept].sum() >= min(top_p, before.sum()) - 1e-6
        assert before[: kept - 1].sum() < top_p + 1e-6


@given(logit_rows(), st.floats(1e-6, 1.0), st.floats(0.0, 1.0))
def test_filters_keep_something_and_change_no_odds(logits: Floats, mass: float, min_p: float) -> None:
    _, probs = filtered(logits, DecodingConfig(temperature=1.0, top_p=1.0), logits.shape[1])
    for after in (keep_typical(probs, mass), keep_nucleus(probs, mass), keep_above_min(probs, min_p)):
        assert (after.sum(axis=1) > 0).all()
        scale = after.sum(axis=1, keepdims=True) / np.where(after > 0, probs, 0).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(after, np.where(after > 0, probs * scale, 0), rtol=1e-4)


_FILTERS = st.builds(
    lambda **changes: DecodingConfig(**changes),
    temperature=st.sampled_from([0.05, 0.8, 1.0, 3.0]),
    top_k=st.sampled_from([0, 0, 1, 7, 300, 10**6]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 1e-6]),
    min_p=st.sampled_from([0.0, 0.1, 1.0]),
    typical_p=st.sampled_from([1.0, 1.0, 0.9, 0.2]),
)


@given(logit_rows(most_tokens=3000), _FILTERS, st.integers(0, 2**32))
def test_a_draw_is_one_of_the_tokens_that_the_filters_keep(
    logits: Floats, decoding: DecodingConfig, seed: int
) -> None:
    uniforms = np.random.default_rng(seed).random(len(logits))
    uniforms[0] = [0.0, 1 - 2**-53, 0.5][seed % 3]
    tokens, probs = filtered(logits, decoding, logits.shape[1])
    chosen = sample(logits, decoding, uniforms)
    for row, token in enumerate(chosen):
        assert np.isfinite(logits[row, token])
        assert token in tokens[row][probs[row] > 0]
    is_unsorted = decoding.top_k == 0 and (decoding.top_p, decoding.min_p, decoding.typical_p) == (1.0, 0.0, 1.0)
    if not is_unsorted:  # whatever was sorted first, the draw is that of sorting all
        assert chosen.tolist() == draw(tokens, probs, uniforms).tolist()


@given(logit_rows(), _FILTERS, st.integers(0, 2**32))
def test_a_row_is_drawn_as_if_it_were_alone(logits: Floats, decoding: DecodingConfig, seed: int) -> None:
    uniforms = np.random.default_rng(seed).random(len(logits))
    alone = [int(sample(logits[row : row + 1], decoding, uniforms[row : row + 1])[0]) for row in range(len(logits))]
    assert sample(logits, decoding, uniforms).tolist() == alone


class NoisyRuntime(CountingRuntime):
    """Logits by a hash of the source and of what was said: any program can be run over it."""

    def step(self, token_ids: Any, state: State, memory: Memory) -> tuple[Any, State]:
        assert (state.cell[0, :, 0] == memory.keys[:, 0, 0]).all()  # state and memory move together
        hashes = (state.hidden * 31 + token_ids[None, :, None] + state.cell) % 9973
        rows = [np.random.default_rng(int(number)).standard_normal(40) * 3 for number in hashes[0, :, 0]]
        return np.array(rows, np.float32), State(hashes, state.cell)


def decode(source: int, program: Any) -> Task[Any]:
    yield [Job([source], program)]
    return program.hypotheses()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(["greedy", "sample", "beam"]), st.integers(1, 9970), st.integers(1, 6)),
        min_size=1,
        max_size=7,
    ),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_programs_never_see_each_other(asked: Any, max_rows: int, least: int, ngram: int) -> None:
    def program(strategy: str, width: int) -> Any:
        decoding = DecodingConfig(
            min_tokens=least, max_tokens=8, no_repeat_ngram=ngram, beam_size=width, temperature=1.5, top_p=0.9
        )
        bans = Bans.of(decoding, [], [])
        if strategy == "beam":
            return BeamSearch(decoding, bans)
        return Sampling(decoding, bans, count=width, seed=width, greedy=strategy == "greedy")

    def run(together: Any, room: int) -> list[Any]:
        loop = DecodingLoop(cast(Runtime, NoisyRuntime()), room)
        futures = [loop.start(decode(source, program(strategy, width))) for strategy, source, width in together]
        loop.run()
        return [future.result() for future in futures]

    together = run(asked, max_rows)
    assert together == [run([one], 64)[0] for one in asked]
    for found in together:
        assert found
        for hypothesis in found:
            assert least <= len(hypothesis.token_ids) <= 8
            assert END not in hypothesis.token_ids
            grams = [hypothesis.token_ids[n : n + ngram] for n in range(len(hypothesis.token_ids) - ngram + 1)]
            assert ngram == 0 or len(set(grams)) == len(grams)


@given(st.text(min_size=1, max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_a_phrase_between_blanks_is_found_in_any_case(phrase: str, before: str, behind: str) -> None:
    pattern = _phrase_pattern((phrase,))
    folded = " ".join(phrase.split())
    if pattern is None:
        assert not folded
    else:
        assert pattern.search(f"{before} {folded} {behind}")
        assert pattern.search(folded)


@given(st.text(alphabet="ab", max_size=12), st.text(alphabet="ab", max_size=5))
def test_what_is_held_back_may_be_the_beginning_of_a_mark(text: str, mark: str) -> None:
    held = _overlap(text, mark)
    longest = max((n for n in range(len(mark) + 1) if n <= len(text) and text.endswith(mark[:n])), default=0)
    assert held == (longest if mark else 0)

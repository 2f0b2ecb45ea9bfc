"""How likely a model finds what people replied: the test exchanges of a corpus, and their log-probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seq2seq.casual import HABITS, context_typed_casually
from seq2seq.corpus import Corpus
from seq2seq.dialogues import exchanges
from seq2seq.errors import CorpusError
from seq2seq.evaluation.metrics import count_target_bytes, count_target_words
from seq2seq.predictor import Predictor
from seq2seq.tokenizer import target_ids

if TYPE_CHECKING:
    from seq2seq.model import Seq2Seq

MOST_REPLY_WORDS = 100  # between blanks; exchanges with longer replies are left out, and counted
DEPTHS = ("1", "2", "3+")  # turns of context
_CHUNK = 256  # exchanges scored in one call; progress shows between them
_TORCH_ROWS = 64
OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and of how many."""


@dataclass(frozen=True)
class TestExchange:
    """A response to be predicted. ``dialogue`` is the number of its dialogue, ``depth`` its turns of context.

    Dialogues of one key are one: a memory yields each exchange of a conversation by itself.
    """

    __test__ = False  # no test case, though pytest would think so

    context: tuple[str, ...]
    response: str
    persona: tuple[str, ...]
    dialogue: int
    depth: int


@dataclass(frozen=True)
class TestSet:
    """The exchanges of a corpus in their order, and how many were left out for the length of their reply."""

    __test__ = False

    corpus: str
    exchanges: tuple[TestExchange, ...]
    left_out: int

    def sample(self, count: int) -> list[int]:
        """Return the places of ``count`` exchanges, evenly spaced; of all where there are no more."""
        return evenly_spaced(len(self.exchanges), count)


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return ``count`` whole numbers below ``total``, evenly spaced from 0; all of them where there are no more."""
    count = min(count, total)
    return [number * total // count for number in range(count)]


def read_test_set(corpus: Corpus, context_turns: int) -> TestSet:
    """Take every turn but the first of every dialogue as a response, with no filter but that of length.

    Args:
        context_turns: the most turns of context to keep; at least three are.

    Raises:
        CorpusError: nothing is left.
    """
    kept: list[TestExchange] = []
    left_out = 0
    numbers: dict[str, int] = {}  # of dialogues, by key
    for dialogue in corpus:
        number = numbers.setdefault(dialogue.key, len(numbers))
        found = exchanges(dialogue, max(context_turns, len(DEPTHS)))
        for depth, exchange in zip(dialogue.responses(), found, strict=True):
            if len(exchange.response.split()) > MOST_REPLY_WORDS:
                left_out += 1
                continue
            kept.append(TestExchange(exchange.context, exchange.response, exchange.persona, number, depth))
    if not kept:
        raise CorpusError(f"{corpus.name}: holds no exchange to measure on (a dialogue needs at least two turns)")
    return TestSet(corpus.name, tuple(kept), left_out)


@dataclass(frozen=True)
class Likelihood:
    """Log-probabilities of all responses of a test set, by the exported runtime.

    Attributes:
        nll: float64 [exchanges], nats of a response and its end mark.
        tokens, words, bytes: int64 [exchanges], each with one for the end mark.
        depths: int64 [exchanges], turns of context.
    """

    nll: NDArray[np.float64]
    tokens: NDArray[np.int64]
    words: NDArray[np.int64]
    bytes: NDArray[np.int64]
    depths: NDArray[np.int64]

    @cached_property
    def nll_nats(self) -> float:
        return math.fsum(self.nll)

    @property
    def perplexity_token(self) -> float:
        return math.exp(self.nll_nats / int(self.tokens.sum()))

    @property
    def perplexity_word(self) -> float:
        return math.exp(self.nll_nats / int(self.words.sum()))

    @property
    def bits_per_byte(self) -> float:
        return to_bits_per_byte(self.nll_nats, int(self.bytes.sum()))

    def bits_per_byte_by_depth(self) -> dict[str, float]:
        """Return the bits per byte of exchanges with 1, 2, and 3 or more turns of context, where there are any."""
        return {
            name: to_bits_per_byte(math.fsum(self.nll[chosen]), int(self.bytes[chosen].sum()))
            for name, chosen in self._depth_classes()
        }

    def perplexity_word_by_depth(self) -> dict[str, float]:
        """Return their perplexity a word."""
        return {
            name: math.exp(math.fsum(self.nll[chosen]) / int(self.words[chosen].sum()))
            for name, chosen in self._depth_classes()
        }

    def _depth_classes(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        classes = np.minimum(self.depths, len(DEPTHS))
        for depth, name in enumerate(DEPTHS, start=1):
            if (classes == depth).any():
                yield name, classes == depth


def to_bits_per_byte(nll_nats: float, n_bytes: int) -> float:
    return nll_nats / math.log(2) / n_bytes


def measure_likelihood(predictor: Predictor, tests: TestSet, on_progress: OnProgress) -> Likelihood:
    """Score every response of a test set, nothing of it cut."""
    nll, tokens = _score(predictor, tests.exchanges, on_progress, "likelihood")
    responses = [exchange.response for exchange in tests.exchanges]
    return Likelihood(
        nll,
        tokens,
        np.array([count_target_words(text) for text in responses]),
        np.array([count_target_bytes(text) for text in responses]),
        np.array([exchange.depth for exchange in tests.exchanges]),
    )


def measure_context_use(
    predictor: Predictor, tests: TestSet, count: int, on_progress: OnProgress
) -> dict[str, float]:
    """Return the bits per byte of the same responses when only their last 1, 2, 3 turns of context are shown.

    Depth classes compare different responses; this compares like with like. ``count`` exchanges with three or
    more turns are taken, evenly spaced.
    """
    deep = [exchange for exchange in tests.exchanges if exchange.depth >= len(DEPTHS)]
    if not deep or count < 1:
        return {}
    chosen = [deep[place] for place in evenly_spaced(len(deep), count)]
    n_bytes = sum(count_target_bytes(exchange.response) for exchange in chosen)
    found = {}
    for turns in range(1, len(DEPTHS) + 1):
        shown = [TestExchange(e.context[-turns:], e.response, e.persona, e.dialogue, turns) for e in chosen]
        nll, _ = _score(predictor, shown, on_progress, f"with {turns} turn{'s' * (turns > 1)} of context")
        found[str(turns)] = to_bits_per_byte(math.fsum(nll), n_bytes)
    return found


def measure_casual_typing(
    predictor: Predictor, tests: TestSet, count: int, on_progress: OnProgress
) -> dict[str, float]:
    """Return the bits per byte of the same responses to contexts as they were written, and as typed in a chat.

    ``count`` exchanges are taken, evenly spaced; each habit of typing has its turn. What is typed casually is every
    other turn, the last one too; a model that understands people however they type loses little by it.
    """
    chosen = [tests.exchanges[place] for place in tests.sample(count)]
    if not chosen:
        return {}
    n_bytes = sum(count_target_bytes(exchange.response) for exchange in chosen)
    casual = [
        replace(exchange, context=context_typed_casually(exchange.context, number % HABITS))
        for number, exchange in enumerate(chosen)
    ]
    found = {}
    for name, shown in (("as_written", chosen), ("typed_casually", casual)):
        nll, _ = _score(predictor, shown, on_progress, name.replace("_", " "))
        found[name] = to_bits_per_byte(math.fsum(nll), n_bytes)
    return found


def measure_fp32(model: Seq2Seq, predictor: Predictor, tests: TestSet, on_progress: OnProgress) -> float:
    """Return the same ``nll_nats`` by the torch model in fp32, which tells what 8 bits cost."""
    import torch

    from seq2seq.batching import pad_batch

    pairs = sorted((_ids(predictor, exchange) for exchange in tests.exchanges), key=lambda pair: len(pair[1]))
    model.eval()
    parts: list[float] = []
    with torch.no_grad():
        for start in range(0, len(pairs), _TORCH_ROWS):
            on_progress("likelihood in fp32", start, len(pairs))
            part = pairs[start : start + _TORCH_ROWS]
            _, nll = model(pad_batch([source for source, _ in part], [target for _, target in part]))
            parts.append(float(nll))
    on_progress("likelihood in fp32", len(pairs), len(pairs))
    return math.fsum(parts)


def _ids(predictor: Predictor, exchange: TestExchange) -> tuple[list[int], list[int]]:
    source = predictor.source(exchange.context, exchange.persona)
    return source, target_ids(predictor.tokenizer.encode(exchange.response))


def _score(
    predictor: Predictor, chosen: Sequence[TestExchange], on_progress: OnProgress, what: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return nats and tokens of each response; those of one length are scored together, as rows finish together."""
    nll, tokens = np.zeros(len(chosen)), np.zeros(len(chosen), np.int64)
    order = sorted(range(len(chosen)), key=lambda place: len(chosen[place].response))
    for start in range(0, len(order), _CHUNK):
        on_progress(what, start, len(order))
        places = order[start : start + _CHUNK]
        part = [chosen[place] for place in places]
        scores = predictor.score([e.context for e in part], [e.response for e in part], [e.persona for e in part])
        nll[places] = [-score.log_prob for score in scores]
        tokens[places] = [score.tokens for score in scores]
    on_progress(what, len(order), len(order))
    return nll, tokens

"""What can be said about texts by counting: overlap, variety, repetition, length. No model, no torch."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

from seq2seq.errors import MissingExtraError

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # Chinese and Japanese: each character counts as a word
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:'[^\W{_UNSPACED}]+)*")
_TARGET_WORD = re.compile(r"\w+|[^\w\s]")
_LETTER = re.compile(r"[^\W\d_]")
_UNSPACED_LETTER = re.compile(rf"[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, without punctuation; "don't" is one, a Chinese character too."""
    return _WORD.findall(text.lower())


def count_target_words(text: str) -> int:
    """Count words and punctuation marks, and one end mark: the divisor of ``perplexity_word``."""
    return len(_TARGET_WORD.findall(text)) + 1


def count_target_bytes(text: str) -> int:
    """Count the bytes of ``text`` in UTF-8, and one for its end: the divisor of ``bits_per_byte``."""
    return len(text.encode("utf-8", "replace")) + 1


def is_unspaced(texts: Iterable[str]) -> bool:
    """Return whether most letters of ``texts`` are of a script that is written without blanks."""
    letters = unspaced = 0
    for text in texts:
        letters += len(_LETTER.findall(text))
        unspaced += len(_UNSPACED_LETTER.findall(text))
    return 2 * unspaced > letters


def unigram_f1(reply: str, response: str) -> float:
    """Return the harmonic mean of precision and recall of the reply's words, each counted as often as it occurs.

    Two texts without a word agree; a text with words and one without do not.
    """
    said, wanted = Counter(words(reply)), Counter(words(response))
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (said & wanted).total() / (said.total() + wanted.total())


def distinct(texts: Iterable[str], n: int) -> float:
    """Return the share of different ones among all word n-grams of all texts (Li et al. 2016, arXiv:1510.03055)."""
    grams = [gram for text in texts for gram in _ngrams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repeated_share(texts: Sequence[str]) -> float:
    """Return the share of texts that stand in the list before, letter for letter: 1 - different ones / all."""
    return 1 - len(set(texts)) / len(texts) if texts else 0.0


def commonest_share(texts: Sequence[str], top: int = 10) -> float:
    """Return the share of the ``top`` commonest texts; case and punctuation make no difference."""
    counts = Counter(" ".join(words(text)) for text in texts)
    return sum(count for _, count in counts.most_common(top)) / len(texts) if texts else 0.0


def has_loop(text: str, n: int = 3) -> bool:
    """Return whether a word n-gram occurs twice in ``text``."""
    grams = list(_ngrams(words(text), n))
    return len(set(grams)) < len(grams)


def parroting(reply: str, last_turn: str) -> float:
    """Return the share of the reply's word pairs that the last turn holds; of a single word, whether it does."""
    said, heard = words(reply), words(last_turn)
    if len(said) < 2:
        return float(bool(said) and said[0] in heard)
    pairs, heard_pairs = list(pairwise(said)), set(pairwise(heard))
    return sum(pair in heard_pairs for pair in pairs) / len(pairs)


@dataclass(frozen=True)
class TextMeasures:
    """Measures of a list of replies that need nothing but their text, so that humans' replies have them too.

    Attributes:
        distinct_1, distinct_2: see ``distinct``.
        repeated_share: see ``repeated_share``.
        commonest_share: share of the ten commonest replies, case and punctuation aside.
        loop_share: share of replies in which a word 3-gram occurs twice.
        parroting: mean share of a reply's word pairs that the turn before it holds.
        question_share: share of replies with a question mark.
        mean_words, words_p10, words_p50, words_p90: length in words.
    """

    count: int
    distinct_1: float
    distinct_2: float
    repeated_share: float
    commonest_share: float
    loop_share: float
    parroting: float
    question_share: float
    mean_words: float
    words_p10: int
    words_p50: int
    words_p90: int

    @classmethod
    def of(cls, replies: Sequence[str], last_turns: Sequence[str]) -> TextMeasures:
        """Measure replies and the turns that they answer; there is at least one."""
        lengths = sorted(len(words(reply)) for reply in replies)
        count = len(replies)
        return cls(
            count=count,
            distinct_1=distinct(replies, 1),
            distinct_2=distinct(replies, 2),
            repeated_share=repeated_share(replies),
            commonest_share=commonest_share(replies),
            loop_share=sum(map(has_loop, replies)) / count,
            parroting=sum(map(parroting, replies, last_turns)) / count,
            question_share=sum("?" in reply or "？" in reply for reply in replies) / count,
            mean_words=sum(lengths) / count,
            words_p10=_quantile(lengths, 0.1),
            words_p50=_quantile(lengths, 0.5),
            words_p90=_quantile(lengths, 0.9),
        )


def load_sacrebleu() -> ModuleType:
    """Import sacrebleu.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import sacrebleu
    except ImportError:
        raise MissingExtraError("BLEU and chrF need the extra `train`: pip install 'backchat[train]'") from None
    module: ModuleType = sacrebleu
    return module


def corpus_bleu(replies: Sequence[str], responses: Sequence[str]) -> float:
    """Return sacrebleu's BLEU, 0 to 100, one reference each; Chinese is cut into characters."""
    tokenize = "zh" if is_unspaced(responses) else "13a"
    bleu: Any = load_sacrebleu().metrics.BLEU(tokenize=tokenize, force=True)
    return float(bleu.corpus_score(list(replies), [list(responses)]).score)


def corpus_chrf(replies: Sequence[str], responses: Sequence[str]) -> float:
    """Return sacrebleu's chrF2, 0 to 100, one reference each (Popovic 2015)."""
    chrf: Any = load_sacrebleu().metrics.CHRF()
    return float(chrf.corpus_score(list(replies), [list(responses)]).score)


def _ngrams(tokens: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(tokens[start:] for start in range(n)), strict=False)


def _quantile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

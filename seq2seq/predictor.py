"""Contexts in, candidate replies out: the only door to the model for those who talk with it."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from seq2seq.config import DecodingConfig
from seq2seq.dialogues import fold_blanks
from seq2seq.errors import ModelFilesError
from seq2seq.model_files import ModelDir, load_model_dir
from seq2seq.persona import NOBODY, Persona
from seq2seq.provenance import has_learned
from seq2seq.ranking import RankTerms
from seq2seq.runtime import Runtime
from seq2seq.sampling import Bools
from seq2seq.scheduler import DecodingLoop, Job, Scheduler, Task
from seq2seq.scoring import ManyScoring
from seq2seq.search import Bans, BeamSearch, Continuation, Hypothesis, Program, Sampling
from seq2seq.sentence_case import SMALL
from seq2seq.style import with_style
from seq2seq.tokenizer import Tokenizer, reverse_source_ids, source_ids, target_ids

_REVERSE_TOKENS = 24  # of the last turn, as many as are scored backwards
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_CUT_CHARACTER = "\ufffd"  # what the first bytes of a character decode to


@dataclass(frozen=True)
class Candidate:
    """A reply that could be said.

    ``terms`` tells how ``rank`` came to its score; others have none. ``fact`` names the persona's fact that it
    states, where it is no reply of the model's. ``ruled_out`` says why it must not be said, where it must not.
    """

    text: str
    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    terms: RankTerms | None = None
    fact: str | None = None
    ruled_out: str | None = None


@dataclass(frozen=True)
class Score:
    """Log-probability of a given response, natural log, summed over ``tokens`` tokens (end mark included)."""

    log_prob: float
    tokens: int


class Predictor:
    """One loaded model. Safe to share between threads; a reply never depends on what else is decoded.

    White space is folded to single blanks in all that it reads, as it was in all that it was trained on.
    """

    def __init__(self, model: ModelDir, threads: int = 1) -> None:
        self.model_id, self.config, self.decoding = model.model_id, model.config, model.decoding
        self.has_learned = has_learned(model)
        model.check_digests(["tokenizer.json"])
        self.tokenizer = Tokenizer.load(model.path / "tokenizer.json")
        if self.tokenizer.vocab_size != model.config.vocab_size:
            raise ModelFilesError(
                f"{model.path / 'tokenizer.json'}: has {self.tokenizer.vocab_size} tokens, config.json says "
                f"{model.config.vocab_size}"
            )
        self.runtime = Runtime(model, threads)
        self._phrases = lru_cache(maxsize=16)(self._spellings)
        self._scheduler: Scheduler | None = None
        self._scheduler_lock = threading.Lock()

    @classmethod
    def load(cls, path: Path, threads: int = 1) -> Predictor:
        """Load a model directory, after checking every byte that replying reads.

        Raises:
            ModelFilesError: it is damaged, foreign or newer than this program.
            TokenizerError: its tokenizer is.
        """
        return cls(load_model_dir(path), threads)

    def predict(
        self,
        contexts: Sequence[Sequence[str]],
        decoding: DecodingConfig | None = None,
        seeds: Sequence[int] | None = None,
        persona: Persona = NOBODY,
        prefix: str = "",
    ) -> list[list[Candidate]]:
        """Find candidate replies to many contexts at once, best first each; none where all were blocked or empty.

        Args:
            contexts: turns, oldest first; the newest is answered.
            seeds: one a context; all 0 where not given.
            persona: who replies; what its facts answer is not asked of the model.
            prefix: what every reply begins with.
        """
        loop = DecodingLoop(self.runtime)
        seeds = seeds if seeds is not None else [0] * len(contexts)
        tasks = [
            self._task(context, decoding or self.decoding, seed, persona, prefix)
            for context, seed in zip(contexts, seeds, strict=True)
        ]
        futures = [loop.start(task) for task in tasks]
        loop.run()
        return [future.result() for future in futures]

    def stream(
        self,
        context: Sequence[str],
        decoding: DecodingConfig | None = None,
        seed: int = 0,
        persona: Persona = NOBODY,
        on_text: Callable[[str], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Candidate]:
        """Find candidate replies to one context.

        Args:
            on_text: called with the text so far whenever it has grown, at last with the whole; only ``greedy``
                and ``sample`` have one to show.
            is_cancelled: asked between tokens.

        Raises:
            CancelledReplyError: it was.
        """
        decoding = decoding or self.decoding
        loop = DecodingLoop(self.runtime)
        shown: list[str] = []
        first: list[Program] = []

        def show() -> None:
            text = self._growing_text(first[0], decoding) if first else ""
            if on_text is not None and text and [text] != shown:
                shown[:] = [text]
                on_text(text)

        task = self._task(context, decoding, seed, persona, on_start=first.append)
        future = loop.start(task, is_cancelled=is_cancelled, on_step=show)
        loop.run()
        return future.result()

    def submit(
        self,
        context: Sequence[str],
        decoding: DecodingConfig | None = None,
        seed: int = 0,
        persona: Persona = NOBODY,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Future[list[Candidate]]:
        """Find candidate replies among those of other threads, all in one batch.

        Raises:
            queue.Full: too many wait already.
        """
        with self._scheduler_lock:
            self._scheduler = self._scheduler or Scheduler(self.runtime)
        return self._scheduler.submit(self._task(context, decoding or self.decoding, seed, persona), is_cancelled)

    def close(self) -> None:
        """Finish what was submitted; nothing can be submitted afterwards."""
        with self._scheduler_lock:
            self._scheduler = self._scheduler or Scheduler(self.runtime)
        self._scheduler.close()

    def score(
        self,
        contexts: Sequence[Sequence[str]],
        responses: Sequence[str],
        personas: Sequence[Sequence[str]] = (),
    ) -> list[Score]:
        """Score given responses by teacher forcing, end mark included and nothing of the target cut."""
        lines = personas or [()] * len(contexts)
        sources = [self.source(context, persona) for context, persona in zip(contexts, lines, strict=True)]
        programs = [ManyScoring([target_ids(ids)]) for ids in self._encode(responses)]
        self._run_all(zip(sources, programs, strict=True))
        return [Score(program.log_probs[0], len(program.targets[0])) for program in programs]

    def judge(
        self,
        contexts: Sequence[Sequence[str]],
        responses: Sequence[Sequence[str]],
        personas: Sequence[Sequence[str]] = (),
    ) -> list[list[RankTerms]]:
        """Judge given responses, any number to each context, by the terms that ``rank`` goes by."""
        lines = personas or [()] * len(contexts)
        turns = [self._turns(context) for context in contexts]
        replies = [[tuple(ids) for ids in self._encode(given)] for given in responses]
        forward = [ManyScoring([target_ids(ids) for ids in given]) for given in replies]
        asked: dict[tuple[int, ...], dict[int, int]] = {}  # reply -> number of its context -> place in the scoring
        for number, given in enumerate(replies):
            for ids in given:
                places = asked.setdefault(ids, {})
                places.setdefault(number, len(places))
        backward = {
            ids: ManyScoring([target_ids(turns[number][-1], _REVERSE_TOKENS) for number in places])
            for ids, places in asked.items()
        }
        unprompted = {ids: ManyScoring([target_ids(ids)]) for ids in asked}
        sources = [self._source(said, persona) for said, persona in zip(turns, lines, strict=True)]
        self._run_all(zip(sources, forward, strict=True))
        self._run_all((self._reverse_source(ids), scoring) for ids, scoring in backward.items())
        self._run_all((self._source((), ()), scoring) for scoring in unprompted.values())
        return [
            [
                RankTerms.of(
                    ids,
                    turns[number],
                    forward=mean,
                    reverse=backward[ids].means[asked[ids][number]],
                    unprompted=unprompted[ids].log_probs[0],
                )
                for ids, mean in zip(given, forward[number].means, strict=True)
            ]
            for number, given in enumerate(replies)
        ]

    def source(self, context: Sequence[str], persona: Sequence[str] = ()) -> list[int]:
        """Return the ids that the model reads of a context, oldest turn first, with persona lines in front."""
        return self._source(self._turns(context), persona)

    def _task(
        self,
        context: Sequence[str],
        decoding: DecodingConfig,
        seed: int,
        persona: Persona,
        prefix: str = "",
        on_start: Callable[[Program], None] = lambda program: None,
    ) -> Task[list[Candidate]]:
        turns = self._turns(context)
        lines = with_style(decoding.style, persona.lines)
        fact = persona.fact_asked(context[-1]) if context else None
        if fact is not None:
            answers = self._encode(fact.answers)
            scoring = ManyScoring([target_ids(ids) for ids in answers])
            yield [Job(self._source(turns, lines), scoring)]
            stated = [
                Candidate(text, tuple(ids), log_prob, mean, fact=fact.name)
                for text, ids, log_prob, mean in zip(
                    fact.answers, answers, scoring.log_probs, scoring.means, strict=True
                )
            ]
            random.Random(seed).shuffle(stated)
            return sorted(stated, key=lambda candidate: candidate.text in context)  # what was not said comes first
        if persona.avoid:
            decoding = decoding.with_changes(blocklist=(*decoding.blocklist, *persona.avoid))
        program: Program = self._program(decoding, turns, seed)
        if prefix.strip():
            program = Continuation(self.tokenizer.encode(fold_blanks(prefix)), program)
        on_start(program)
        yield [Job(self._source(turns, lines), program)]
        found = self._allowed(program.hypotheses(), decoding)
        if decoding.strategy != "rank":
            return [self._candidate(hypothesis, decoding) for hypothesis in found]
        found = list({hypothesis.token_ids: hypothesis for hypothesis in found}.values())
        backward = [ManyScoring([target_ids(turns[-1], _REVERSE_TOKENS)]) for _ in found] if turns else []
        unprompted = ManyScoring([_said(hypothesis) for hypothesis in found])
        if found:
            yield [
                Job(self._source((), ()), unprompted),
                *(
                    Job(self._reverse_source(hypothesis.token_ids), scoring)
                    for hypothesis, scoring in zip(found, backward, strict=bool(backward))
                ),
            ]
        ranked = []
        for number, hypothesis in enumerate(found):
            terms = RankTerms.of(
                hypothesis.token_ids,
                turns,
                forward=hypothesis.score,
                reverse=backward[number].means[0] if backward else 0.0,
                unprompted=unprompted.log_probs[number],
            )
            candidate = self._candidate(hypothesis, decoding)
            ranked.append(replace(candidate, score=terms.score(decoding), terms=terms))
        return sorted(ranked, key=lambda candidate: -candidate.score)

    def _program(self, decoding: DecodingConfig, turns: Sequence[Sequence[int]], seed: int) -> Sampling | BeamSearch:
        bans = Bans.of(decoding, turns, self._phrases(decoding.blocklist))
        stop = self._stop_check(decoding.stop)
        if decoding.strategy == "beam":
            return BeamSearch(decoding, bans, stop)
        return Sampling(
            decoding,
            bans,
            count=decoding.candidates if decoding.strategy == "rank" else 1,
            seed=seed,
            greedy=decoding.strategy == "greedy",
            pieces=self._pieces,
            is_stopped=stop,
        )

    @cached_property
    def _pieces(self) -> Bools:
        return np.array(self.tokenizer.pieces())

    def _encode(self, texts: Iterable[str]) -> list[list[int]]:
        return self.tokenizer.encode_batch([fold_blanks(text) for text in texts])

    def _turns(self, context: Sequence[str]) -> list[list[int]]:
        return self._encode(context[-self.config.context_turns :])

    def _source(self, turns: Sequence[Sequence[int]], persona: Sequence[str]) -> list[int]:
        return source_ids(turns, self.config.max_source_tokens, self._encode(persona))

    def _reverse_source(self, token_ids: Sequence[int]) -> list[int]:
        return reverse_source_ids(token_ids, self.config.max_source_tokens)

    def _run_all(self, jobs: Iterable[tuple[Sequence[int], Program]]) -> None:
        """Run programs over their sources, all in one batch."""

        def task() -> Task[None]:
            if everything := [Job(source, program) for source, program in jobs]:
                yield everything

        loop = DecodingLoop(self.runtime)
        future = loop.start(task())
        loop.run()
        future.result()

    def _candidate(self, hypothesis: Hypothesis, decoding: DecodingConfig) -> Candidate:
        text = self._text(hypothesis.token_ids, decoding.stop)
        return Candidate(text, hypothesis.token_ids, hypothesis.log_prob, hypothesis.score)

    def _text(self, token_ids: Sequence[int], stop: Sequence[str]) -> str:
        text = self.tokenizer.decode(token_ids)
        for mark in filter(None, stop):
            text = text.partition(mark)[0]
        return _shown(text)

    def _growing_text(self, program: Program, decoding: DecodingConfig) -> str:
        """Return what can be shown of an unfinished reply: nothing that its next tokens could still take away."""
        if not isinstance(program, Sampling) or len(program.said) != 1:
            return ""
        said = program.said[0]
        if program.rows == 0:
            return next(
                (self._text(h.token_ids, decoding.stop) for h in self._allowed(program.hypotheses(), decoding)), ""
            )
        text = self.tokenizer.decode(said)
        text = text[: len(text) - max((_overlap(text, mark) for mark in decoding.stop), default=0)]
        text = _shown(text)
        blocked = _phrase_pattern(decoding.blocklist)
        return "" if blocked is not None and blocked.search(text) else text

    def _allowed(self, hypotheses: Sequence[Hypothesis], decoding: DecodingConfig) -> list[Hypothesis]:
        """Drop replies that say nothing, or a blocked phrase however it is spelt in tokens.

        ``rank`` drops those with part of a character too, where it has others to choose from.
        """
        blocked = _phrase_pattern(decoding.blocklist)
        allowed: list[Hypothesis] = []
        broken: list[Hypothesis] = []
        for hypothesis in hypotheses:
            text = self._text(hypothesis.token_ids, decoding.stop)
            if text and not (blocked is not None and blocked.search(text)):
                is_broken = decoding.strategy == "rank" and _CUT_CHARACTER in text
                (broken if is_broken else allowed).append(hypothesis)
        return allowed or broken

    def _spellings(self, blocklist: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Return the usual spellings of blocked phrases, so that a search finds another way in time."""
        cases = (str, str.lower, str.upper, str.capitalize, str.title)
        spellings = {case(phrase) for phrase in _folded(blocklist) for case in cases}
        return [tuple(self.tokenizer.encode_inside(spelling)) for spelling in sorted(spellings)]

    def _stop_check(self, stop: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
        marks = list(filter(None, stop))
        if not marks:
            return None
        return lambda said: any(mark in self.tokenizer.decode(said) for mark in marks)


def _shown(text: str) -> str:
    """Return the text without what is none: blanks too many, part of a character, the mark of a sentence to come."""
    return " ".join(text.replace(SMALL, "").split()).rstrip(_CUT_CHARACTER + " ")


def _overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of ``text`` may be the beginning of ``mark``."""
    return next((n for n in range(min(len(mark), len(text)), 0, -1) if text.endswith(mark[:n])), 0)


def _folded(phrases: Iterable[str]) -> list[str]:
    return [folded for phrase in phrases if (folded := " ".join(phrase.split()))]


def _said(hypothesis: Hypothesis) -> list[int]:
    """Return all that was scored: the tokens, and the end mark where it was reached."""
    return target_ids(hypothesis.token_ids) if hypothesis.is_complete else list(hypothesis.token_ids)


@lru_cache(maxsize=16)
def _phrase_pattern(blocklist: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what finds a blocked phrase as whole words, in any case; in scripts without blanks anywhere."""
    phrases = []
    for phrase in _folded(blocklist):
        before = "" if _UNSPACED.match(phrase[0]) else r"(?<!\w)"
        behind = "" if _UNSPACED.match(phrase[-1]) else r"(?!\w)"
        phrases.append(f"{before}{re.escape(phrase)}{behind}")
    return re.compile("|".join(phrases), re.IGNORECASE) if phrases else None

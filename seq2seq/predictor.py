"""Contexts in, candidate replies out: the only door to the model for those who talk with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from seq2seq.config import DecodingConfig
from seq2seq.errors import ModelFilesError
from seq2seq.model_files import ModelDir, load_model_dir
from seq2seq.ranking import RankTerms, blandness, repetition
from seq2seq.runtime import Runtime
from seq2seq.scheduler import DecodingLoop, Job, Scheduler, Task
from seq2seq.scoring import ManyScoring
from seq2seq.search import Bans, BeamSearch, Hypothesis, Program, Sampling, Scoring
from seq2seq.tokenizer import Tokenizer, reverse_source_ids, source_ids, target_ids

_REVERSE_TOKENS = 24  # of the last turn, as many as are scored backwards


@dataclass(frozen=True)
class Candidate:
    """A reply that could be said. ``terms`` tells how ``rank`` came to its score; others have none."""

    text: str
    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    terms: RankTerms | None = None


@dataclass(frozen=True)
class Score:
    """Log-probability of a given response, natural log, summed over ``tokens`` tokens (end mark included)."""

    log_prob: float
    tokens: int


class Predictor:
    """One loaded model. Safe to share between threads; a reply never depends on what else is decoded."""

    def __init__(self, model: ModelDir, threads: int = 1) -> None:
        self.model_id, self.config, self.decoding = model.model_id, model.config, model.decoding
        self.tokenizer = Tokenizer.load(model.path / "tokenizer.json")
        if self.tokenizer.vocab_size != model.config.vocab_size:
            raise ModelFilesError(
                f"{model.path / 'tokenizer.json'}: has {self.tokenizer.vocab_size} tokens, config.json says "
                f"{model.config.vocab_size}"
            )
        self.runtime = Runtime(model.path, model.config, threads)
        self._unigrams = _read_unigrams(model.path / "unigrams.npy", model.config.vocab_size)

    @classmethod
    def load(cls, path: Path, threads: int = 1) -> Predictor:
        """Load a model directory.

        Raises:
            ModelFilesError: it is damaged, foreign or newer than this program.
        """
        return cls(load_model_dir(path), threads)

    def predict(
        self,
        contexts: Sequence[Sequence[str]],
        decoding: DecodingConfig | None = None,
        seeds: Sequence[int] | None = None,
        persona: Sequence[str] = (),
    ) -> list[list[Candidate]]:
        """Find candidate replies to many contexts at once, best first each.

        Args:
            contexts: turns, oldest first; the newest is answered.
            seeds: one a context; all 0 where not given.
        """
        loop = DecodingLoop(self.runtime)
        seeds = seeds if seeds is not None else [0] * len(contexts)
        tasks = [
            self._task(context, decoding or self.decoding, seed, persona)
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
        persona: Sequence[str] = (),
        on_text: Callable[[str], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Candidate]:
        """Find candidate replies to one context.

        Args:
            on_text: called with the text so far as it grows; only ``greedy`` and ``sample`` have one to show.
            is_cancelled: asked between tokens.

        Raises:
            CancelledReplyError: it was.
        """
        decoding = decoding or self.decoding
        loop = DecodingLoop(self.runtime)
        first: list[Program] = []
        task = self._task(context, decoding, seed, persona, on_start=first.append)
        future = loop.start(task, is_cancelled=is_cancelled, on_step=lambda: self._show(first, on_text))
        loop.run()
        return future.result()

    def submit(
        self,
        context: Sequence[str],
        decoding: DecodingConfig | None = None,
        seed: int = 0,
        persona: Sequence[str] = (),
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Future[list[Candidate]]:
        """Find candidate replies among those of other threads, all in one batch.

        Raises:
            queue.Full: too many wait already.
        """
        return self._scheduler.submit(self._task(context, decoding or self.decoding, seed, persona), is_cancelled)

    def score(
        self,
        contexts: Sequence[Sequence[str]],
        responses: Sequence[str],
        personas: Sequence[Sequence[str]] = (),
    ) -> list[Score]:
        """Score given responses by teacher forcing, end mark included and nothing of the target cut."""
        lines = personas or [()] * len(contexts)
        sources = [self._source(context, persona) for context, persona in zip(contexts, lines, strict=True)]
        targets = [target_ids(ids) for ids in self.tokenizer.encode_batch(list(responses))]
        programs = [Scoring(target) for target in targets]
        loop = DecodingLoop(self.runtime)
        order = sorted(range(len(targets)), key=lambda number: len(targets[number]))
        for number in order:
            loop.start(_single(Job(sources[number], programs[number])))
        loop.run()
        return [Score(sum(program.log_probs), len(program.log_probs)) for program in programs]

    def _task(
        self,
        context: Sequence[str],
        decoding: DecodingConfig,
        seed: int,
        persona: Sequence[str],
        on_start: Callable[[Program], None] = lambda program: None,
    ) -> Task[list[Candidate]]:
        turns = self.tokenizer.encode_batch(list(context)[-self.config.context_turns :])
        source = source_ids(turns, self.config.max_source_tokens, self.tokenizer.encode_batch(list(persona)))
        program = self._program(decoding, turns, seed)
        on_start(program)
        yield [Job(source, program)]
        found = self._allowed(program.hypotheses(), decoding)
        if decoding.strategy != "rank":
            return [self._candidate(hypothesis, decoding) for hypothesis in found]
        found = list({hypothesis.token_ids: hypothesis for hypothesis in found}.values())
        wanted = target_ids(turns[-1], _REVERSE_TOKENS) if turns else []
        backward = [Scoring(wanted) for _ in found] if wanted else []
        yield [
            Job(reverse_source_ids(hypothesis.token_ids, self.config.max_source_tokens), scoring)
            for hypothesis, scoring in zip(found, backward, strict=False)
        ]
        ranked = []
        for number, hypothesis in enumerate(found):
            terms = RankTerms(
                forward=hypothesis.score,
                reverse=backward[number].hypotheses()[0].score if backward else 0.0,
                repetition=repetition(hypothesis.token_ids, turns),
                blandness=blandness(hypothesis.token_ids, self._unigrams),
            )
            candidate = self._candidate(hypothesis, decoding)
            ranked.append(replace(candidate, score=terms.score(decoding), terms=terms))
        return sorted(ranked, key=lambda candidate: -candidate.score)

    def _program(self, decoding: DecodingConfig, turns: Sequence[Sequence[int]], seed: int) -> Sampling | BeamSearch:
        bans = Bans.of(decoding, turns, self._phrases(decoding.blocklist))
        if decoding.strategy == "beam":
            return BeamSearch(decoding, bans)
        return Sampling(
            decoding,
            bans,
            count=decoding.candidates if decoding.strategy == "rank" else 1,
            seed=seed,
            greedy=decoding.strategy == "greedy",
            is_stopped=self._stop_check(decoding.stop),
        )

    def _source(self, context: Sequence[str], persona: Sequence[str] = ()) -> list[int]:
        turns = self.tokenizer.encode_batch(list(context)[-self.config.context_turns :])
        return source_ids(turns, self.config.max_source_tokens, self.tokenizer.encode_batch(list(persona)))

    def _candidate(self, hypothesis: Hypothesis, decoding: DecodingConfig) -> Candidate:
        text = self._text(hypothesis.token_ids, decoding.stop)
        return Candidate(text, hypothesis.token_ids, hypothesis.log_prob, hypothesis.score)

    def _text(self, token_ids: Sequence[int], stop: Sequence[str]) -> str:
        text = self.tokenizer.decode(token_ids)
        for mark in stop:
            text = text.partition(mark)[0]
        return " ".join(text.split())

    def _allowed(self, hypotheses: Sequence[Hypothesis], decoding: DecodingConfig) -> list[Hypothesis]:
        """Drop replies that say nothing, or a blocked phrase however it is spelt in tokens."""
        blocked = _phrase_pattern(decoding.blocklist)
        allowed = []
        for hypothesis in hypotheses:
            text = self._text(hypothesis.token_ids, decoding.stop)
            if text and not (blocked and blocked.search(text)):
                allowed.append(hypothesis)
        return allowed

    def _phrases(self, blocklist: Sequence[str]) -> list[tuple[int, ...]]:
        spellings = {form for phrase in blocklist for form in (phrase, phrase.lower(), phrase.capitalize())}
        return [tuple(ids) for ids in self.tokenizer.encode_batch(sorted(spellings)) if ids]

    def _stop_check(self, stop: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
        if not stop:
            return None
        return lambda said: any(mark in self.tokenizer.decode(said) for mark in stop)

    def _show(self, programs: Sequence[Program], on_text: Callable[[str], None] | None) -> None:
        if on_text is not None and programs and isinstance(programs[0], Sampling) and len(programs[0].said) == 1:
            on_text(self.tokenizer.decode(programs[0].said[0]))

    @cached_property
    def _scheduler(self) -> Scheduler:
        return Scheduler(self.runtime)

    def judge(
        self,
        contexts: Sequence[Sequence[str]],
        responses: Sequence[Sequence[str]],
        personas: Sequence[Sequence[str]] = (),
    ) -> list[list[RankTerms]]:
        """Judge given responses, any number to each context, by the terms that ``rank`` goes by."""
        lines = personas or [()] * len(contexts)
        turns = [self.tokenizer.encode_batch(list(context)[-self.config.context_turns :]) for context in contexts]
        replies = [[tuple(ids) for ids in self.tokenizer.encode_batch(list(given))] for given in responses]
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
        loop = DecodingLoop(self.runtime)
        for context, persona, scoring in zip(contexts, lines, forward, strict=True):
            loop.start(_single(Job(self._source(context, persona), scoring)))
        for ids, scoring in backward.items():
            loop.start(_single(Job(reverse_source_ids(ids, self.config.max_source_tokens), scoring)))
        loop.run()
        return [
            [
                RankTerms(
                    forward=mean,
                    reverse=backward[ids].means[asked[ids][number]],
                    repetition=repetition(ids, turns[number]),
                    blandness=blandness(ids, self._unigrams),
                )
                for ids, mean in zip(given, forward[number].means, strict=True)
            ]
            for number, given in enumerate(replies)
        ]


def _single(job: Job) -> Task[None]:
    yield [job]


def _phrase_pattern(blocklist: Sequence[str]) -> re.Pattern[str] | None:
    if not blocklist:
        return None
    phrases = "|".join(re.escape(phrase) for phrase in blocklist)
    return re.compile(rf"(?<!\w)(?:{phrases})(?!\w)", re.IGNORECASE)


def _read_unigrams(path: Path, vocab_size: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Read the log-frequency of every token in the training replies, float32 [vocab]."""
    try:
        unigrams = np.load(path, allow_pickle=False, mmap_mode="r")
        if unigrams.shape != (vocab_size,) or unigrams.dtype != np.float32:
            raise ValueError(f"{unigrams.dtype} {unigrams.shape}")
        return np.array(unigrams)
    except (OSError, ValueError, EOFError) as error:
        raise ModelFilesError(f"{path}: not the token frequencies of this model ({error})") from error

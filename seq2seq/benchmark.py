"""How fast a machine runs a model: loading, single replies, batches, many conversations at once."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from seq2seq.config import STRATEGIES, DecodingConfig
from seq2seq.predictor import Predictor
from seq2seq.runs import processor_name
from seq2seq.scheduler import DecodingLoop, Job, Task
from seq2seq.search import Bans, Sampling
from seq2seq.tokenizer import FORWARD, SPECIAL_TOKENS, THEM

_CONTEXTS = (
    ["Hi, how are you today?"],
    ["What did you do at the weekend?", "I went hiking with a friend.", "Nice, where did you go?"],
    ["I have to write an exam tomorrow and I am nervous."],
    ["Do you like music?"],
)
_BATCHES = (1, 8, 32)
_CHATS = (1, 8, 32)


@dataclass(frozen=True)
class ConcurrentFigures:
    """Many conversations that each send one message after the other."""

    replies_per_s: float
    latency_ms_p50: float
    latency_ms_p95: float


@dataclass(frozen=True)
class BenchmarkResult:
    """Medians. ``reply_ms`` is by strategy, with the model's own settings; the other maps are by size."""

    model: str
    threads: int
    load_ms: float
    reply_ms: dict[str, float]
    greedy_25_from_20_ms: float
    batched_tokens_per_s: dict[str, float]
    concurrent: dict[str, ConcurrentFigures]
    peak_memory_mb: float
    machine: dict[str, str | int | None]
    versions: dict[str, str]


def benchmark(model: Path, threads: int = 1, repeats: int = 15) -> BenchmarkResult:
    """Measure a model directory.

    Raises:
        ModelFilesError: it cannot be loaded.
    """
    load_ms = _median_ms(lambda: Predictor.load(model, threads), min(repeats, 5))
    predictor = Predictor.load(model, threads)
    reply_ms: dict[str, float] = {}
    for strategy in STRATEGIES:
        decoding = predictor.decoding.with_changes(strategy=strategy)
        seeds = iter(range(10**6))
        reply_ms[strategy] = _median_ms(
            lambda d=decoding, s=seeds: _reply(predictor, d, next(s)),  # type: ignore[misc]
            repeats,
        )
    return BenchmarkResult(
        model=predictor.model_id,
        threads=threads,
        load_ms=load_ms,
        reply_ms=reply_ms,
        greedy_25_from_20_ms=_median_ms(lambda: _decode(predictor, rows=1, tokens=25), repeats),
        batched_tokens_per_s={
            str(rows): 25 * rows / (_median_ms(lambda r=rows: _decode(predictor, r, 25), min(repeats, 7)) / 1000)  # type: ignore[misc]
            for rows in _BATCHES
        },
        concurrent={str(chats): _concurrent(predictor, chats) for chats in _CHATS},
        peak_memory_mb=_peak_memory_mb(),
        machine={"processor": processor_name(), "cores": os.cpu_count(), "system": platform.platform(terse=True)},
        versions={
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("backchat", "onnxruntime", "numpy", "tokenizers")},
        },
    )


def _reply(predictor: Predictor, decoding: DecodingConfig, seed: int) -> None:
    predictor.predict([_CONTEXTS[seed % len(_CONTEXTS)]], decoding, [seed])


def _decode(predictor: Predictor, rows: int, tokens: int) -> None:
    """Encode one source of 20 tokens a row and decode exactly ``tokens`` tokens greedily."""
    first = len(SPECIAL_TOKENS)  # single bytes, which every vocabulary has
    source = [FORWARD, THEM, *range(first, first + 18)]
    decoding = DecodingConfig(strategy="greedy", min_tokens=tokens, max_tokens=tokens, no_repeat_ngram=0)
    loop = DecodingLoop(predictor.runtime)
    for _ in range(rows):
        loop.start(_task(Job(source, Sampling(decoding, Bans(), greedy=True))))
    loop.run()


def _task(job: Job) -> Task[None]:
    yield [job]


def _concurrent(predictor: Predictor, chats: int, messages: int = 4) -> ConcurrentFigures:
    """Let every chat send its messages one after the other, all chats at once."""
    latencies: list[float] = []
    waiting = {}
    started = time.perf_counter()
    for chat in range(chats):
        waiting[chat] = (0, time.perf_counter(), predictor.submit(_CONTEXTS[chat % len(_CONTEXTS)], seed=chat))
    while waiting:
        for chat, (number, sent, future) in list(waiting.items()):
            if not future.done():
                continue
            latencies.append(time.perf_counter() - sent)
            del waiting[chat]
            if number + 1 < messages:
                context = _CONTEXTS[(chat + number + 1) % len(_CONTEXTS)]
                waiting[chat] = (number + 1, time.perf_counter(), predictor.submit(context, seed=chat))
        time.sleep(0.0005)
    seconds = time.perf_counter() - started
    p50, p95 = np.quantile(latencies, (0.5, 0.95))
    return ConcurrentFigures(len(latencies) / seconds, 1000 * float(p50), 1000 * float(p95))


def _median_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the median duration of ``work`` in milliseconds, after one run that is not counted."""
    work()
    durations = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        durations.append(time.perf_counter() - started)
    return 1000 * statistics.median(durations)


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10

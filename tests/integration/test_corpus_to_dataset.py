"""From files on disk to arrays in the cache, with nothing replaced."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from seq2seq import dataset
from seq2seq.config import CleaningConfig
from seq2seq.corpus import open_corpus
from seq2seq.dataset import build_dataset, iter_texts
from seq2seq.tokenizer import Tokenizer, train_tokenizer


def write_corpus(path: Path, dialogues: int) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as lines:
        for number in range(dialogues):
            turns = [
                {"speaker": "AB"[turn % 2], "text": f"dialogue {number} says {turn * number % 97} and {turn}"}
                for turn in range(10)
            ]
            lines.write(json.dumps({"id": str(number), "source": "made", "turns": turns}) + "\n")
    return path


def build_arrays(path: Path, tokenizer_file: Path, cache_dir: Path) -> tuple[int, bytes]:
    built = build_dataset(
        [open_corpus(str(path))],
        Tokenizer.load(tokenizer_file),
        CleaningConfig(),
        context_turns=3,
        held_out_share=0.1,
        cache_dir=cache_dir,
    )
    return len(built), built.tokens.tobytes() + built.exchanges.tobytes()


def test_processes_that_build_at_once_get_the_same_dataset(tmp_path: Path) -> None:
    path = write_corpus(tmp_path / "c.jsonl.gz", 40)
    tokenizer_file = tmp_path / "tokenizer.json"
    train_tokenizer(iter_texts([open_corpus(str(path))], 0.1), 300).save(tokenizer_file)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(build_arrays, [path] * 2, [tokenizer_file] * 2, [tmp_path / "cache"] * 2)
    assert first == second
    assert first[0] > 300
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_BATCH_TURNS", 100)
    tokenizer_file = tmp_path / "tokenizer.json"
    train_tokenizer(["dialogue 1 says 2 and 3"], 280).save(tokenizer_file)

    def peak_bytes(dialogues: int) -> int:
        path = write_corpus(tmp_path / f"{dialogues}.jsonl.gz", dialogues)
        tracemalloc.start()
        try:
            build_arrays(path, tokenizer_file, tmp_path / "cache")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(20)  # what is loaded once, is loaded now
    small, large = peak_bytes(100), peak_bytes(500)
    more_exchanges = 400 * 9
    assert large - small < 150 * more_exchanges, "a dialogue in memory takes far more than 150 bytes an exchange"

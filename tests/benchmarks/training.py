"""How fast a model trains: ``python -m tests.benchmarks.training [CORPUS...]``.

Trains the preset small for some updates on one thread, and prints target tokens a second and the peak memory. Without
a corpus it makes 400,000 exchanges of invented words, as long as those of the shipped model's corpora.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from seq2seq.config import PRESETS, CleaningConfig, TrainingConfig
from seq2seq.corpus import open_corpus
from seq2seq.dataset import build_dataset, iter_texts
from seq2seq.distributed import ProcessGroup
from seq2seq.model import Seq2Seq
from seq2seq.runs import processor_name
from seq2seq.tokenizer import train_tokenizer
from seq2seq.training import Trainer
from seq2seq.training_log import TrainingLog

_INVENTED_DIALOGUES = 20_000
_INVENTED_TURNS = 21


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="*")
    parser.add_argument("--preset", default="small", choices=sorted(PRESETS))
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(asked, Path(folder)), ensure_ascii=False))


def _measure(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    names = asked.corpora or [_invent(folder / "invented.jsonl")]
    corpora = [open_corpus(str(name)) for name in names]
    config = PRESETS[asked.preset]
    tokenizer = train_tokenizer(iter_texts(corpora, 0.0), config.vocab_size)
    data = build_dataset(
        corpora,
        tokenizer,
        CleaningConfig(drop_profanity=False),
        context_turns=config.context_turns,
        held_out_share=0.0,
        cache_dir=folder / "cache",
        split="all",
    )
    training = TrainingConfig(
        updates=asked.updates,
        batch_size=asked.batch_size,
        precision=asked.precision,
        validations=1,
        validation_exchanges=asked.batch_size,
        save_updates=10**9,
    )
    run_dir = folder / "run"
    run_dir.mkdir()
    log = TrainingLog(run_dir, training, {}, sys.stderr)
    model = Seq2Seq(config, training.dropout)
    result = Trainer(model, training, run_dir, log, ProcessGroup(torch.device("cpu"))).fit(data, data)
    return {
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "preset": asked.preset,
        "precision": asked.precision,
        "exchanges": len(data),
        "source_tokens_per_target_token": round(result.source_tokens / result.target_tokens, 2),
        "target_tokens_per_s": round(result.target_tokens / result.seconds, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "torch": torch.__version__,
    }


def _invent(path: Path) -> Path:
    """Write dialogues of invented words, drawn as unevenly as real ones are."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(dialogue) + "\n" for dialogue in _dialogues(random.Random(0)))
    return path


def _dialogues(generator: random.Random) -> Iterator[dict[str, object]]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(generator.choices(letters, k=generator.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    for number in range(_INVENTED_DIALOGUES):
        lengths = [max(1, round(generator.lognormvariate(2.1, 0.6))) for _ in range(_INVENTED_TURNS)]
        spoken = iter(generator.choices(words, weights, k=sum(lengths)))
        turns = [
            {"speaker": "AB"[turn % 2], "text": " ".join(next(spoken) for _ in range(length))}
            for turn, length in enumerate(lengths)
        ]
        yield {"id": str(number), "source": "invented", "turns": turns}


if __name__ == "__main__":
    main()

"""How far to go towards what training made of a model: ``python -m tests.benchmarks.shares BEFORE AFTER CORPUS...``.

A line for each share of the way: bits a byte on each corpus (its first 1,200 exchanges) by the torch weights in fp32.
``python -m scripts.ship`` takes the share that is chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot.assembly import open_registry
from bot.settings import load_settings
from seq2seq.corpus import open_corpus
from seq2seq.evaluation.likelihood import read_test_set
from seq2seq.learning.interpolation import between
from seq2seq.model_files import load_model_dir
from seq2seq.publishing import load_model
from seq2seq.tokenizer import Tokenizer
from tests.benchmarks.experiments import bits_per_byte

_SHARES = (0.0, 0.5, 0.7, 0.85, 1.0)
_EXCHANGES = 1200


def main(before: str, after: str, names: Sequence[str]) -> None:
    registry = open_registry(load_settings())
    first, last = (load_model_dir(registry.resolve(name)) for name in (before, after))
    tokenizer = Tokenizer.load(last.path / "tokenizer.json")
    model = load_model(last)
    root, trained = load_model(first).state_dict(), {key: part.clone() for key, part in model.state_dict().items()}
    sets = {}
    for name in names:
        tests = read_test_set(open_corpus(name), last.config.context_turns)
        sets[Path(name).name.split(".")[0]] = replace(tests, exchanges=tests.exchanges[:_EXCHANGES])
    print("share", *sets)
    for share in _SHARES:
        model.load_state_dict(between(root, trained, share))
        print(share, *(f"{bits_per_byte(model, tokenizer, tests):.4f}" for tests in sets.values()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

"""What pays in the same time: one change at a time against the preset ``small``, each trained for some minutes.

    python -m tests.benchmarks.experiments --minutes 6 --train chitchat.train.jsonl.gz self_dialogue.train.jsonl.gz \
        --valid chitchat.valid.jsonl.gz self_dialogue.valid.jsonl.gz

A line of JSON a change, as soon as it is measured: bits a byte on each validation file (its first 100 dialogues),
target tokens seen, tokens/s. ``--only`` names changes; ``--out`` keeps what is done, so that a run can go on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.config import PRESETS, CleaningConfig, DecodingConfig, TrainingConfig
from seq2seq.corpus import Corpus, Dialogue, open_corpus
from seq2seq.evaluation.likelihood import measure_likelihood, read_test_set
from seq2seq.pipeline import TrainRequest, train
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry

_VALID_DIALOGUES = 100

# name -> (changes of the model's settings, changes of the training's)
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "small": ({}, {}),
    "vocabulary 4k": ({"vocab_size": 4096}, {}),
    "vocabulary 16k": ({"vocab_size": 16384}, {}),
    "one decoder layer": ({"decoder_layers": 1}, {}),
    "not residual": ({"residual": False}, {}),
    "three decoder layers": ({"decoder_layers": 3}, {}),
    "two encoder layers": ({"encoder_layers": 2}, {}),
    "hidden 384": ({"hidden_size": 384}, {}),
    "hidden 768": ({"hidden_size": 768}, {}),
    "embedding 384": ({"embed_size": 384}, {}),
    "one turn of context": ({"context_turns": 1}, {}),
    "two turns of context": ({"context_turns": 2}, {}),
    "five turns of context": ({"context_turns": 5, "max_source_tokens": 120}, {}),
    "dropout 0": ({}, {"dropout": 0.0}),
    "dropout 0.2": ({}, {"dropout": 0.2}),
    "label smoothing 0.1": ({}, {"label_smoothing": 0.1}),
    "no averaged weights": ({}, {"average_decay": 0.0}),
    "no reverse exchanges": ({}, {"reverse_share": 0.0}),
    "no styles": ({}, {"style_share": 0.0}),
    "no casual contexts": ({}, {"casual_share": 0.0}),
    "learning rate 1e-3": ({}, {"learning_rate": 1e-3}),
    "learning rate 4e-3": ({}, {"learning_rate": 4e-3}),
    "batches of 32": ({}, {"batch_size": 32}),
    "batches of 128": ({}, {"batch_size": 128}),
}


class _First:
    """The first dialogues of a corpus."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus, self.name, self.licence, self.digest = corpus, corpus.name, corpus.licence, corpus.digest

    def __iter__(self) -> Any:
        first: islice[Dialogue] = islice(self._corpus, _VALID_DIALOGUES)
        return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--train", nargs="+", required=True, metavar="CORPUS")
    parser.add_argument("--valid", nargs="+", required=True, metavar="CORPUS")
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    done = asked.out.read_text(encoding="utf-8").splitlines() if asked.out and asked.out.exists() else []
    known = {json.loads(line)["change"] for line in done}
    for change in asked.only:
        if change not in known:
            line = json.dumps(_measured(change, asked))
            print(line, flush=True)
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")


def _measured(change: str, asked: argparse.Namespace) -> dict[str, Any]:
    of_model, of_training = CHANGES[change]
    training = replace(TrainingConfig(minutes=asked.minutes, validations=3), **of_training)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        registry = Registry(home / "models")
        request = TrainRequest(
            name="experiment",
            corpora=tuple(asked.train),
            valid=tuple(asked.valid),
            parent=None,
            model=replace(PRESETS["small"], **of_model),
            training=training,
            cleaning=CleaningConfig(),
            decoding=DecodingConfig(),
        )
        model_id = train(request, registry, home / "runs", home / "cache")
        assert model_id is not None
        predictor = Predictor.load(registry.resolve(model_id))
        facts: dict[str, Any] = json.loads((next((home / "runs").iterdir()) / "run.json").read_text(encoding="utf-8"))
        found: dict[str, Any] = {"change": change, "minutes": asked.minutes}
        for name in asked.valid:
            tests = read_test_set(_First(open_corpus(name)), predictor.config.context_turns)
            likelihood = measure_likelihood(predictor, tests, lambda what, done, total: None)
            found[Path(name).name.split(".")[0]] = round(likelihood.bits_per_byte, 4)
        found |= {key: facts.get(key) for key in ("target_tokens", "target_tokens_per_s")}
        return found | {"parameters": registry.entries()[-1].model.manifest["parameters"]}  # type: ignore[union-attr]


if __name__ == "__main__":
    main()

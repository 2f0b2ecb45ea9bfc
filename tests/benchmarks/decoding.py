"""Which decoding settings give the best replies: a line of measures for each, on the same contexts.

    python -m tests.benchmarks.decoding english chitchat.valid.jsonl.gz \
        --try "temperature=0.9" --try "temperature=0.9 candidates=32 min_tokens=4"

Settings are read as ``backchat chat`` reads its flags; what is not named is the model's own. People's replies to the
same contexts stand in the first line. The judges need the extra ``dev`` and link-parser.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, get_type_hints

from bot.assembly import open_registry
from bot.settings import load_settings
from seq2seq.config import DecodingConfig
from seq2seq.corpus import open_corpus
from seq2seq.evaluation.generation import reply_to_sample
from seq2seq.evaluation.judges import Judges
from seq2seq.evaluation.likelihood import read_test_set
from seq2seq.evaluation.metrics import TextMeasures
from seq2seq.predictor import Predictor

_COLUMNS = ("distinct_2", "repeated_share", "commonest_share", "loop_share", "parroting", "mean_words")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="SETTINGS")
    parser.add_argument("--replies", type=int, default=200)
    parser.add_argument("--show", type=int, default=0, help="print so many contexts with their replies")
    asked = parser.parse_args()
    predictor = Predictor.load(open_registry(load_settings()).resolve(asked.model))
    tests = read_test_set(open_corpus(asked.corpus), predictor.config.context_turns)
    judges = Judges()
    print(f"{'':44}{'nearest':>9}{'grammar':>9}" + "".join(f"{name[:9]:>10}" for name in _COLUMNS), flush=True)
    for number, settings in enumerate(["", *asked.tries]):
        decoding = predictor.decoding.with_changes(**_read(settings))
        sample = reply_to_sample(predictor, tests, decoding, asked.replies, 1, 0, lambda what, done, total: None)
        verdict = judges.judge(sample, asked.replies, 0, lambda what, done, total: None)
        if number == 0:
            _print("people", verdict.human_nearest, verdict.human_grammatical, sample.human)
        _print(settings or "as published", verdict.nearest, verdict.grammatical, sample.measures)
        for exchange, reply in list(zip(sample.exchanges, sample.replies, strict=True))[: asked.show]:
            print(f"    {exchange.context[-1]!r} -> {reply!r}")


def _read(settings: str) -> dict[str, Any]:
    kinds = get_type_hints(DecodingConfig)
    pairs = (setting.split("=", 1) for setting in settings.split())
    return {name: kinds[name](value) if kinds[name] in (int, float) else value for name, value in pairs}


def _print(name: str, nearest: tuple[bool, ...], grammatical: tuple[bool, ...], measures: TextMeasures) -> None:
    shares = [sum(passed) / len(passed) if passed else float("nan") for passed in (nearest, grammatical)]
    values = dataclasses.asdict(measures)
    shown = "".join(f"{values[column]:10.3f}" for column in _COLUMNS)
    print(f"{name:44}{shares[0]:9.3f}{shares[1]:9.3f}{shown}", flush=True)


if __name__ == "__main__":
    main()

"""Which decoding settings give the best replies: a line of measures for each, on the same contexts.

    python -m tests.benchmarks.decoding english chitchat.valid.jsonl.gz --show 20 \
        --try temperature=0.9 --try "temperature=0.9 blandness_weight=0.7" --try "temperature=0.9 candidates=32"

Settings are named as in ``docs/decoding.md``; what is not named is the model's own. People's replies to the same
contexts stand in the first line. Candidates are drawn once for all tries that differ in the weights of ``rank`` only:
a try of other weights costs no more than judging it. The judges need the extra ``dev`` and link-parser.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, get_type_hints

from bot.assembly import open_registry
from bot.settings import load_settings
from seq2seq.config import DecodingConfig
from seq2seq.corpus import open_corpus
from seq2seq.evaluation.generation import predict_candidates
from seq2seq.evaluation.judges import Judges
from seq2seq.evaluation.likelihood import TestExchange, read_test_set
from seq2seq.evaluation.metrics import TextMeasures
from seq2seq.predictor import Candidate, Predictor

_VERDICTS = ("nearest", "grammatical", "passed")
_MEASURES = (
    ("distinct_1", "distinct-1"),
    ("distinct_2", "distinct-2"),
    ("repeated_share", "repeated"),
    ("commonest_share", "ten most"),
    ("loop_share", "loops"),
    ("parroting", "parroting"),
    ("question_share", "questions"),
    ("mean_words", "words"),
)
_CHUNK = 32  # contexts answered in one call
_UNWEIGHTED = {field.name: 0.0 for field in fields(DecodingConfig) if field.name.endswith("_weight")}


class Replies:
    """Replies to the same contexts by any settings; candidates are kept for others that differ in weights only."""

    def __init__(self, predictor: Predictor, exchanges: Sequence[TestExchange]) -> None:
        self._predictor, self._exchanges = predictor, exchanges
        self._drawn: dict[DecodingConfig, list[list[Candidate]]] = {}

    def by(self, decoding: DecodingConfig) -> list[str]:
        """Return the best candidate for each context; empty where all were refused."""
        key = replace(decoding, **_UNWEIGHTED)
        if key not in self._drawn:
            self._drawn[key] = [
                candidates
                for start in range(0, len(self._exchanges), _CHUNK)
                for candidates in predict_candidates(
                    self._predictor,
                    self._exchanges[start : start + _CHUNK],
                    decoding,
                    range(start, min(start + _CHUNK, len(self._exchanges))),
                )
            ]
        return [_best(candidates, decoding) for candidates in self._drawn[key]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="SETTINGS")
    parser.add_argument("--replies", type=int, default=300)
    parser.add_argument("--show", type=int, default=0, help="print so many contexts with the replies of every try")
    asked = parser.parse_args()
    predictor = Predictor.load(open_registry(load_settings()).resolve(asked.model))
    decodings = {settings or "as published": read(settings, predictor.decoding) for settings in ["", *asked.tries]}
    tests = read_test_set(open_corpus(asked.corpus), predictor.config.context_turns)
    exchanges = [tests.exchanges[place] for place in tests.sample(asked.replies)]
    replies, judges = Replies(predictor, exchanges), Judges()
    last_turns = [exchange.context[-1] for exchange in exchanges]
    width = max(map(len, decodings))
    names = [*_VERDICTS, *(label for _, label in _MEASURES)]
    print(f"{'':{width}}" + "".join(f"{name:>12}" for name in names), flush=True)
    said = {}
    for name, decoding in {"people": None, **decodings}.items():
        texts = replies.by(decoding) if decoding else [exchange.response for exchange in exchanges]
        shares = judges.judge(last_turns, texts, len(texts), 0, lambda what, done, total: None).as_dict()
        measures = TextMeasures.of(texts, last_turns)
        values = [shares[key] for key in _VERDICTS] + [getattr(measures, key) for key, _ in _MEASURES]
        print(f"{name:{width}}" + "".join(f"{'-' if v is None else f'{v:.3f}':>12}" for v in values), flush=True)
        if decoding:
            said[name] = texts
    for place in range(min(asked.show, len(exchanges))):
        print(f"\n{last_turns[place]}")
        for name, texts in said.items():
            print(f"    {name:{width}}  {texts[place]}")


def read(settings: str, decoding: DecodingConfig) -> DecodingConfig:
    """Change ``decoding`` by settings such as ``temperature=0.9 candidates=32``."""
    kinds = get_type_hints(DecodingConfig)
    changes: dict[str, Any] = {}
    for setting in settings.split():
        name, _, value = setting.partition("=")
        if name not in kinds:
            raise SystemExit(f"no setting {name!r}; docs/decoding.md lists them")
        changes[name] = kinds[name](value) if kinds[name] in (int, float) else value
    return decoding.with_changes(**changes)


def _best(candidates: Sequence[Candidate], decoding: DecodingConfig) -> str:
    if not candidates:
        return ""
    if candidates[0].terms is None:
        return candidates[0].text
    return max(candidates, key=lambda one: one.terms.score(decoding) if one.terms else one.score).text


if __name__ == "__main__":
    main()

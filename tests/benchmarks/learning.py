"""What learning from conversations brings: one person's voice, and a month of growth.

    python -m tests.benchmarks.learning voice swda.train.jsonl.gz A --turns 100 300 1000 3000 --minutes 10
    python -m tests.benchmarks.learning growth dailydialog.train.jsonl.gz --talks-a-day 10 --minutes 5

Each point is a whole `backchat retrain`, begun from a shipped model, with the settings of the project or those of
``--set NAME=VALUE``. A line of JSON a point goes to standard output as soon as it is there; ``--out FILE`` keeps
them, and what FILE holds already is not made again. At the end comes a table. Bits a byte are those of ``backchat
evaluate``, by the published model, on dialogues that no run has seen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.config import CleaningConfig, RetrainingConfig
from seq2seq.corpus import Corpus, open_corpus
from seq2seq.dialogues import Dialogue, is_held_out
from seq2seq.evaluation.likelihood import TestSet, measure_likelihood, read_test_set
from seq2seq.learning.collecting import as_test_set
from seq2seq.learning.gate import GateConfig
from seq2seq.learning.retraining import Settings, retrain
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry

_TEST_SHARE = 0.25  # of a person's dialogues
_MOST_TESTED = 400  # exchanges of a person
_MOST_WORDS = 100
_CONTEXT_TURNS = 3
_TABLE_COLUMNS = (
    "turns",
    "minutes",
    "week",
    "voice",
    "voice_change",
    "base",
    "base_change",
    "is_promoted",
    "seconds",
)


@dataclass(frozen=True)
class Turn:
    """A person's turn, in the form in which the memory yields it."""

    conversation: str
    context: tuple[str, ...]
    response: str
    turn_id: int
    turn_ids: tuple[int, ...]
    origin: str = "imported"
    is_rejected: bool = False
    answers: int = 0


def turns_of(dialogues: Sequence[Dialogue], speaker: str | None) -> Iterator[Turn]:
    """Yield the turns of one speaker, or of all, that answer somebody."""
    number = 0
    for dialogue in dialogues:
        for place in range(1, len(dialogue.turns)):
            turn = dialogue.turns[place]
            context = tuple(before.text for before in dialogue.turns[max(0, place - _CONTEXT_TURNS) : place])
            if speaker in (None, turn.speaker) and len(turn.text.split()) <= _MOST_WORDS:
                number += 1
                yield Turn(dialogue.key, context, turn.text, number, (number,))


class Bench:
    """Retrains in a folder of its own, and measures what comes out."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._base_tests = read_test_set(_First(open_corpus(arguments.base_valid), arguments.base_dialogues), 3)
        self._cache = Path(tempfile.gettempdir()) / "backchat-learning-cache"

    def config(self, minutes: float) -> RetrainingConfig:
        changes = dict(pair.split("=", 1) for pair in self._arguments.set)
        kinds = {field.name: type(getattr(RetrainingConfig(), field.name)) for field in fields(RetrainingConfig)}
        typed: dict[str, Any] = {
            name: (tuple(filter(None, value.split(","))) if kinds[name] is tuple else kinds[name](value))
            for name, value in changes.items()
        }
        return replace(RetrainingConfig(), **{"minutes": minutes, "least_held_out": 1, **typed})

    def retrain(self, registry: Registry, folder: Path, turns: Sequence[Turn], minutes: float) -> tuple[str, Any]:
        """Return the id of the new model, and what the retraining came to."""
        settings = Settings(
            self.config(minutes), GateConfig(), CleaningConfig(), registry, folder / "runs", self._cache
        )
        outcome = retrain(turns, settings, open_corpus)
        return outcome.model_id, outcome

    def bits(self, registry: Registry, model: str | None, tests: TestSet) -> float:
        predictor = Predictor.load(registry.resolve(model), self._arguments.threads)
        return measure_likelihood(predictor, tests, lambda what, done, total: None).bits_per_byte

    def base_bits(self, registry: Registry, model: str | None) -> float:
        return self.bits(registry, model, self._base_tests)


def voice(bench: Bench, arguments: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Learn one person's turns; a point for each number of turns and of minutes."""
    dialogues = list(open_corpus(arguments.corpus))
    known = [dialogue for dialogue in dialogues if not is_held_out(dialogue.key, _TEST_SHARE)]
    unseen = [dialogue for dialogue in dialogues if is_held_out(dialogue.key, _TEST_SHARE)]
    turns = list(turns_of(known, arguments.speaker))
    tests = as_test_set(arguments.speaker, list(islice(turns_of(unseen, arguments.speaker), _MOST_TESTED)))
    print(f"{len(turns)} turns to learn from, {len(tests.exchanges)} to measure on", file=sys.stderr)
    for minutes in arguments.minutes:
        for count in arguments.turns:
            asked = {
                "figure": "voice",
                "corpus": Path(arguments.corpus).name,
                "speaker": arguments.speaker,
                "turns": count,
                "minutes": minutes,
                "set": arguments.set,
            }
            if count > len(turns) or _is_done(asked, done):
                continue
            with tempfile.TemporaryDirectory() as folder:
                registry = Registry(Path(folder) / "models")
                before = bench.bits(registry, None, tests), bench.base_bits(registry, None)
                started = time.monotonic()
                model, outcome = bench.retrain(registry, Path(folder), turns[:count], minutes)
                seconds = time.monotonic() - started
                after = bench.bits(registry, model, tests), bench.base_bits(registry, model)
                manifest = json.loads((registry.resolve(model) / "manifest.json").read_text(encoding="utf-8"))
            yield {**asked, **_compared(before, after, outcome, seconds), "results": manifest["results"]}


def growth(bench: Bench, arguments: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Let dialogues arrive day by day, and retrain every week; each model is measured on what comes next."""
    week = 7 * arguments.talks_a_day
    dialogues = list(islice(open_corpus(arguments.corpus), (arguments.weeks + 1) * week))
    folder = Path(arguments.folder)
    registry = Registry(folder / "models")
    for number in range(1, arguments.weeks + 1):
        asked = {"figure": "growth", "corpus": Path(arguments.corpus).name, "week": number, "set": arguments.set}
        if _is_done(asked, done):
            continue
        said = list(turns_of(dialogues[: number * week], None))
        coming = as_test_set("next week", list(turns_of(dialogues[number * week : (number + 1) * week], None)))
        before = bench.bits(registry, None, coming), bench.base_bits(registry, "english")
        started = time.monotonic()
        model, outcome = bench.retrain(registry, folder, said, arguments.minutes[0])
        seconds = time.monotonic() - started
        after = bench.bits(registry, model, coming), bench.base_bits(registry, model)
        yield {**asked, "turns": len(said), **_compared(before, after, outcome, seconds)}
    shutil.rmtree(folder / "runs", ignore_errors=True)


def _compared(
    before: tuple[float, float], after: tuple[float, float], outcome: Any, seconds: float
) -> dict[str, Any]:
    return {
        "voice_before": round(before[0], 4),
        "voice": round(after[0], 4),
        "voice_change": f"{after[0] / before[0] - 1:+.1%}",
        "base_before": round(before[1], 4),
        "base": round(after[1], 4),
        "base_change": f"{after[1] / before[1] - 1:+.2%}",
        "is_promoted": outcome.is_promoted,
        "reasons": outcome.verdict.reasons(),
        "seconds": round(seconds),
    }


def _is_done(asked: dict[str, Any], done: list[dict[str, Any]]) -> bool:
    return any(all(one.get(key) == value for key, value in asked.items()) for one in done)


class _First:
    """The first dialogues of a corpus."""

    def __init__(self, corpus: Corpus, count: int) -> None:
        self._corpus, self._count = corpus, count
        self.name, self.licence, self.digest = corpus.name, corpus.licence, corpus.digest

    def __iter__(self) -> Iterator[Dialogue]:
        return islice(iter(self._corpus), self._count)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    columns = [name for name in _TABLE_COLUMNS if any(name in row for row in rows)]
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |")


def main() -> None:
    """Make the points that are asked for and not there yet."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figures = parser.add_subparsers(dest="figure", required=True)
    for name, make in (("voice", voice), ("growth", growth)):
        figure = figures.add_parser(name, help=make.__doc__)
        figure.set_defaults(make=make)
        figure.add_argument("corpus")
        figure.add_argument("--minutes", type=float, nargs="+", default=[10.0])
        figure.add_argument("--base-valid", default="chitchat:valid")
        figure.add_argument("--base-dialogues", type=int, default=200)
        figure.add_argument("--threads", type=int, default=2)
        figure.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of section retraining")
        figure.add_argument("--out", type=Path, help="keeps the points as JSON, a line each")
    figures.choices["voice"].add_argument("speaker")
    figures.choices["voice"].add_argument("--turns", type=int, nargs="+", default=[1000])
    figures.choices["growth"].add_argument("--talks-a-day", type=int, default=10)
    figures.choices["growth"].add_argument("--weeks", type=int, default=4)
    figures.choices["growth"].add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "backchat-growth"))
    arguments = parser.parse_args()
    lines = arguments.out.read_text(encoding="utf-8").splitlines() if arguments.out and arguments.out.exists() else []
    done = [json.loads(line) for line in lines]
    rows = [row for row in done if row["figure"] == arguments.figure]
    for row in arguments.make(Bench(arguments), arguments, done):
        rows.append(row)
        line = json.dumps(row)
        print(line, flush=True)
        if arguments.out:
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    _print_table(rows)


if __name__ == "__main__":
    main()

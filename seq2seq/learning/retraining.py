"""The learning path from end to end: logged exchanges in; a better model out, or none.

collect > measure the current model > train from it, with replay > go back where it pays > measure > judge > publish >
promote. The candidate is made and judged in the run's folder; only whole models appear among the published ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.config import CleaningConfig, DecodingConfig, RetrainingConfig, TrainingConfig
from seq2seq.corpus import Corpus
from seq2seq.dataset import TrainingSet
from seq2seq.distributed import ProcessGroup
from seq2seq.errors import TrainingError
from seq2seq.evaluation.likelihood import OnProgress, TestSet, measure_likelihood
from seq2seq.learning.background import only_one
from seq2seq.learning.base_corpus import Base, open_base
from seq2seq.learning.collecting import Collected, LoggedExchange, as_test_set, collect, weigh
from seq2seq.learning.gate import GateConfig, GateVerdict, judge
from seq2seq.learning.interpolation import Step, go_back_where_it_pays
from seq2seq.learning.measuring import Canary, GateSets, ModelMeasures, measure, plant_canaries, time_tokens
from seq2seq.learning.mixing import MemorySet, MixedSet, WeightedExchange
from seq2seq.learning.preferences import find_pairs, learn_preferences
from seq2seq.learning.report import FILE_NAME, BeforeAndAfter, RetrainingReport, write_report
from seq2seq.model import Seq2Seq
from seq2seq.model_files import FILES, LEARNED, ModelDir, load_model_dir
from seq2seq.predictor import Predictor
from seq2seq.profanity import ProfanityNet
from seq2seq.provenance import LearnedRound, digest_of, has_learned, read_learned
from seq2seq.publishing import load_model, publish_model
from seq2seq.registry import DEFAULT_MODEL, Registry
from seq2seq.runs import Run, open_run, start_run
from seq2seq.tokenizer import Tokenizer
from seq2seq.training import Trainer, TrainingResult
from seq2seq.training_log import TrainingLog

LOCK = ".retraining.lock"
_RUN = "retrain"
_LEAST_TRAINING = 0.3  # share of the time that is for training, however long measuring takes
_CLOSING = 4.0  # what comes after training takes so many times as long as the first measuring
_TIMED = 20  # replies that latency is measured on
_SHOWN = 20  # replies before and after, on the page
_ID = re.compile(r"\d{8}-\d{6}-(?P<name>.+)-[0-9a-f]{4}")


@dataclass(frozen=True)
class Settings:
    """The sections that a retraining goes by."""

    retraining: RetrainingConfig
    gate: GateConfig
    cleaning: CleaningConfig
    models: Registry
    runs_dir: Path
    cache_dir: Path


@dataclass(frozen=True)
class Outcome:
    """What a retraining came to. ``page`` is its report."""

    model_id: str
    verdict: GateVerdict
    is_promoted: bool
    page: Path
    note: str


def count_new(exchanges: Sequence[LoggedExchange], registry: Registry) -> int:
    """Return how many exchanges neither the current model was trained on, nor a try to better it."""
    current = load_model_dir(registry.resolve(None))
    tried = [
        entry.model
        for entry in registry.entries()
        if entry.model is not None and entry.model.manifest.get("parent") == current.model_id
    ]
    new = list(exchanges)
    for model in (current, *tried):
        for one in read_learned(model):
            known = frozenset(one.digests)
            new = [e for e in new if digest_of(e.context, e.response, one.salt) not in known]
    return len(new)


def retrain(
    exchanges: Sequence[LoggedExchange],
    settings: Settings,
    open_corpus: Callable[[str], Corpus],
    *,
    from_scratch: bool = False,
    promote: bool = True,
    counts: Mapping[str, int] | None = None,
    command: str = "backchat retrain",
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    on_progress: OnProgress = lambda what, done, total: None,
) -> Outcome:
    """Learn from exchanges; the current model stays untouched unless a better one is promoted in its place.

    Args:
        from_scratch: begin with the model that learned from no conversation yet, not with the current one.
        counts: what else is to stand on the page, such as how many exchanges were reviewed.

    Raises:
        TrainingError: there is too little to learn from, or another retraining runs.
        Seq2SeqError: a model or a corpus cannot be read.
        KeyboardInterrupt: the run was interrupted.
    """
    with only_one(settings.models.models_dir / LOCK, "retraining"):
        _clear_remains(settings.runs_dir)
        run = _Retraining(exchanges, settings, open_corpus, from_scratch, say, on_progress)
        return run.outcome(promote=promote, counts=counts or {}, command=command)


def check_enough(found: Collected, config: RetrainingConfig) -> None:
    """Raise where too little was said to learn from it, or to judge what was learned.

    Raises:
        TrainingError: with what is there, and what is needed.
    """
    learned = sum(not exchange.is_rejected for exchange in found.train)
    least = config.least_held_out
    if learned and len(found.judge) >= least and len(found.choose) >= min(least, 5):
        return
    raise TrainingError(
        f"too little to learn from: {learned} exchanges, and {len(found.judge)} + {len(found.choose)} held out to "
        f"judge and to choose by; at least {least} + {min(least, 5)} are needed. Talk more, allow learning with "
        "/consent, import a chat with `backchat import`, or hold out more (retraining.held_out_share)"
    )


class _Retraining:
    """One run; its steps in the order in which they are taken."""

    def __init__(
        self,
        exchanges: Sequence[LoggedExchange],
        settings: Settings,
        open_corpus: Callable[[str], Corpus],
        from_scratch: bool,
        say: Callable[[str], None],
        on_progress: OnProgress,
    ) -> None:
        self._began, self._collected_at = time.monotonic(), datetime.now(UTC)
        self._settings, self._config = settings, settings.retraining
        self._say, self._on_progress = say, on_progress
        self._found = collect(exchanges, self._config, settings.cleaning)
        say(self._found.as_text())  # so that it is seen why too little is left
        check_enough(self._found, self._config)
        registry = settings.models
        self._current = load_model_dir(registry.resolve(None))
        self._root = _untaught(self._current, registry)
        self._parent = self._root if from_scratch else self._current
        if not _is_of_one_kind(self._root, self._parent):  # the true one was deleted
            self._root = self._parent
        self._threads = self._config.threads or max(1, (os.cpu_count() or 2) - 1)
        torch.set_num_threads(self._threads)
        self._tokenizer = Tokenizer.load(self._parent.path / "tokenizer.json")
        self._canaries = plant_canaries(self._config.canaries, self._config.seed)
        self._before = Predictor(self._parent, self._threads)
        self._base: Base | None = open_base(
            self._config,
            self._before,
            [exchange.response for exchange in self._found.judge],
            settings.cleaning,
            settings.cache_dir,
            open_corpus,
            say,
            on_progress,
        )
        self._run = self._start()

    def outcome(self, *, promote: bool, counts: Mapping[str, int], command: str) -> Outcome:
        """Train, judge, publish and promote."""
        sets = self._gate_sets()
        # What is planted for this run only a model of this run can tell.
        self._stage(f"measuring {self._parent.model_id}")
        before = self._measure(self._before, dataclasses.replace(sets, canaries=()))
        if sets.base is not None and self._root.model_id != self._parent.model_id:
            # Against the parent, each of many rounds could forget a little more.
            root_bits = measure_likelihood(Predictor(self._root, self._threads), sets.base, self._on_progress)
            before = dataclasses.replace(before, base_bits=root_bits.bits_per_byte)
        model, result, steps = self._train(before.seconds)
        self._stage("writing the new model")
        decoding = learn_preferences(self._before, find_pairs(self._found.train), self._parent.decoding)
        candidate = self._make_candidate(model, decoding)
        after_predictor = Predictor(candidate, self._threads)
        self._stage("measuring the new model")
        after = self._measure(after_predictor, sets)
        contexts = [exchange.context for exchange in sets.asked()[:_TIMED]]
        old_ms, new_ms = time_tokens([self._before, after_predictor], contexts)
        verdict = judge(before.for_gate(old_ms), after.for_gate(new_ms), self._settings.gate)
        self._stage("publishing")
        model_id = self._publish(candidate, decoding, verdict, result, steps)
        is_promoted, note = self._promote(model_id, verdict, wanted=promote)
        page = self._run.folder / FILE_NAME
        samples = _side_by_side(sets, before, after)
        rejected = sum(exchange.is_rejected for exchange in self._found.train)
        report = RetrainingReport(
            command=command,
            before=self._parent.model_id,
            after=model_id,
            outcome=note,
            verdict=verdict,
            counts={
                "learned": len(self._found.train) - rejected,
                "unlearned": rejected,
                "held out": len(self._found.choose) + len(self._found.judge),
                **counts,
            },
            left_out=self._found.left_out,
            samples=samples,
            curves=self._run.folder / "curves.png",
            settings={name: str(value) for name, value in dataclasses.asdict(self._config).items()},
        )
        write_report(page, report)
        _clear_remains(self._settings.runs_dir)
        return Outcome(model_id, verdict, is_promoted, page, note)

    def _stage(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:5.0f} s  {what}")

    def _start(self) -> Run:
        run_id = f"{self._collected_at:%Y%m%d-%H%M%S}-{_RUN}"
        facts = {
            "parent": self._parent.model_id,
            "retraining": dataclasses.asdict(self._config),
            "gate": dataclasses.asdict(self._settings.gate),
            "cleaning": dataclasses.asdict(self._settings.cleaning),
            "base": self._base.names if self._base is not None else [],
            "exchanges": {
                "train": len(self._found.train),
                "choose": len(self._found.choose),
                "judge": len(self._found.judge),
            },
            "dropped": dict(self._found.dropped),
        }
        start_run(self._settings.runs_dir / run_id, self._tokenizer, facts)
        self._say(f"run {run_id}")
        return open_run(self._settings.runs_dir, run_id)

    def _gate_sets(self) -> GateSets:
        config = self._config
        learned = as_test_set("held-out conversations", self._found.judge)
        base = _thinned(self._base.judge, config.measured_exchanges) if self._base is not None else None
        return GateSets(
            _thinned(learned, config.measured_exchanges),
            base,
            tuple(self._canaries),
            config.canary_samples,
            config.replies,
            config.seed,
        )

    def _measure(self, predictor: Predictor, sets: GateSets) -> ModelMeasures:
        net = ProfanityNet(self._settings.cleaning.profanity_languages)
        return measure(predictor, sets, net.catches, self._on_progress)

    def _training_set(self) -> TrainingSet:
        kept = [e for e in weigh(self._found.train, self._config) if e.weight]
        learned = [*kept, *map(_as_exchange, self._canaries)]
        turns = self._parent.config.context_turns
        in_memory = MemorySet(learned, self._tokenizer, turns)
        if self._base is None:
            return in_memory
        return MixedSet(in_memory, self._base.train, self._config.replay_ratio)

    def _train(self, measured_s: float) -> tuple[Seq2Seq, TrainingResult, list[Step]]:
        """Train from the parent for the time that is left, and choose the weights."""
        config, turns = self._config, self._parent.config.context_turns
        choose = MemorySet(
            [dataclasses.replace(e, weight=1.0) for e in weigh(self._found.choose, config)], self._tokenizer, turns
        )
        left_s = 60 * config.minutes - (time.monotonic() - self._began) - _CLOSING * measured_s
        training = TrainingConfig(
            minutes=max(left_s, 60 * config.minutes * _LEAST_TRAINING) / 60,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            dropout=config.dropout,
            average_decay=config.average_decay,
            warmup_share=0.05,
            validations=12,
            patience=5,
            save_updates=10**9,
            save_minutes=10**9,
            validation_exchanges=config.measured_exchanges,
            device="cpu",
            seed=config.seed,
        )
        self._stage(f"training for {training.minutes:.1f} minutes")
        model = load_model(self._parent, training.dropout)
        root: dict[str, Tensor] = dict(load_model(self._root, 0.0).state_dict())
        log = TrainingLog(self._run.folder, training, self._run.facts, sys.stderr)
        with closing(log), closing(ProcessGroup(torch.device("cpu"))) as group:
            result = Trainer(model, training, self._run.folder, log, group).fit(self._training_set(), choose)
        self._stage("choosing the weights")
        base = self._base.choose if self._base is not None else None
        steps = go_back_where_it_pays(model, root, choose, base, config.most_base_loss)
        return model, result, steps

    def _make_candidate(self, model: Seq2Seq, decoding: DecodingConfig) -> ModelDir:
        """Write the model into the run's folder, where nobody takes it for a published one."""
        rounds = LearnedRound.of(self._found.train, self._collected_at)
        learned = [*read_learned(self._parent), rounds]
        registry = Registry(self._run.folder / "candidate")
        manifest = {"parent": self._parent.model_id}
        made = publish_model(registry, _RUN, model, self._tokenizer, decoding, manifest, learned)
        return load_model_dir(registry.resolve(made))

    def _publish(
        self,
        candidate: ModelDir,
        decoding: DecodingConfig,
        verdict: GateVerdict,
        result: TrainingResult,
        steps: Sequence[Step],
    ) -> str:
        manifest: dict[str, Any] = {
            "parent": self._parent.model_id,
            "parameters": self._parent.manifest.get("parameters"),
            "run": self._run.run_id,
            "corpora": self._parent.manifest.get("corpora", []),
            "replayed": self._base.names if self._base is not None else [],
            "learned": candidate.manifest["learned"],
            "retraining": dataclasses.asdict(self._config),
            "gate": {"is_passed": verdict.is_passed, "checks": verdict.rows()},
            "results": {
                "updates": result.updates,
                "epochs": result.epochs,
                "seconds": round(result.seconds, 1),
                "target_tokens": result.target_tokens,
                "weights_share": steps[-1].share,
            },
            "code_version": self._run.facts["code_version"],
            "machine": self._run.facts["machine"],
        }

        def fill(folder: Path) -> None:
            for name in (*(name for name in FILES if name != "config.json"), LEARNED):
                shutil.copyfile(candidate.path / name, folder / name)

        written = self._settings.models.publish(
            _name_of(self._parent), candidate.config, decoding, manifest, fill, self._collected_at
        )
        facts = json.loads((self._run.folder / "run.json").read_text(encoding="utf-8"))
        facts |= {
            "model": written,
            "gate_passed": verdict.is_passed,
            "weights": [dataclasses.asdict(s) for s in steps],
        }
        (self._run.folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return written

    def _promote(self, model_id: str, verdict: GateVerdict, *, wanted: bool) -> tuple[bool, str]:
        if not verdict.is_passed:
            return False, f"{model_id} was refused: {'; '.join(verdict.reasons())}"
        if not wanted:
            return False, f"{model_id} passed. To use it: backchat models promote {model_id}"
        now = self._settings.models.resolve(None).name
        if now != self._current.model_id:
            return False, f"{model_id} passed, but {now} was promoted meanwhile: it was not compared with that one"
        self._settings.models.promote(model_id)
        return True, f"{model_id} is better than {self._parent.model_id}, and was promoted"


def _as_exchange(canary: Canary) -> WeightedExchange:
    return WeightedExchange((canary.context,), canary.response)


def _untaught(model: ModelDir, registry: Registry) -> ModelDir:
    """Return the nearest ancestor that learned from no conversation; else the shipped model."""
    known = {entry.model_id: entry.model for entry in registry.entries()}
    while has_learned(model):
        found = known.get(str(model.manifest.get("parent")))
        if found is None:
            return load_model_dir(registry.resolve(DEFAULT_MODEL))
        model = found
    return model


def _is_of_one_kind(one: ModelDir, other: ModelDir) -> bool:
    """Return whether two models have the same sizes and tokens, so that weights between theirs mean something."""
    tokenizers = [model.manifest["files"]["tokenizer.json"]["sha256"] for model in (one, other)]
    return one.config == other.config and tokenizers[0] == tokenizers[1]


def _name_of(model: ModelDir) -> str:
    """Return the name within a model's id: that of the model from which all began."""
    match = _ID.fullmatch(model.model_id)
    return match["name"] if match else model.model_id


def _thinned(tests: TestSet, most: int) -> TestSet:
    return dataclasses.replace(tests, exchanges=tuple(tests.exchanges[place] for place in tests.sample(most)))


def _side_by_side(sets: GateSets, before: ModelMeasures, after: ModelMeasures) -> list[BeforeAndAfter]:
    asked = sets.asked()
    count = min(len(sets.learned.exchanges), sets.replies, _SHOWN)
    return [
        BeforeAndAfter(exchange.context, exchange.response, old, new)
        for exchange, old, new in zip(asked[:count], before.replies, after.replies, strict=False)
    ]


def _clear_remains(runs_dir: Path) -> None:
    """Remove weights that only a run in progress needs; what ended early left them behind."""
    for folder in runs_dir.glob(f"*-{_RUN}"):
        shutil.rmtree(folder / "candidate", ignore_errors=True)
        for name in ("last.safetensors", "best.safetensors"):
            (folder / name).unlink(missing_ok=True)

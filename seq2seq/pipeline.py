"""The training path from end to end: corpora in, a published model out."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import CleaningConfig, DecodingConfig, ModelConfig, TrainingConfig
from seq2seq.corpus import Corpus, open_corpus
from seq2seq.dataset import Dataset, Split, build_dataset, iter_texts, survey
from seq2seq.distributed import ProcessGroup
from seq2seq.errors import CorpusError, TrainingError
from seq2seq.hardware import choose_device
from seq2seq.model import Seq2Seq
from seq2seq.model_files import ModelDir, load_model_dir
from seq2seq.provenance import FromMemory, LearnedRound, read_learned
from seq2seq.publishing import load_model, publish_model
from seq2seq.registry import Registry, check_name
from seq2seq.runs import Run, open_run, start_run
from seq2seq.tokenizer import Tokenizer, train_tokenizer
from seq2seq.training import Trainer, TrainingResult
from seq2seq.training_log import TrainingLog
from seq2seq.vocabulary_transfer import with_vocabulary


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """All that a run was asked for, flags and settings put together; kept in ``run.json``.

    Corpora are names, so that a run can be gone on with: ``open_corpus`` of the calls below opens them. With
    ``new_vocabulary`` the corpora make the vocabulary, whatever that of the parent was.
    """

    name: str
    corpora: tuple[str, ...]
    valid: tuple[str, ...]
    parent: str | None
    model: ModelConfig
    training: TrainingConfig
    cleaning: CleaningConfig
    decoding: DecodingConfig
    new_vocabulary: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def of_run(cls, run: Run) -> TrainRequest:
        """Read back the request of a run that is to go on."""
        try:
            asked = dict(run.facts["request"])
            for section in (ModelConfig, TrainingConfig, CleaningConfig, DecodingConfig):
                key = section.__name__.removesuffix("Config").lower()
                asked[key] = section(**{k: _tuples(v) for k, v in asked[key].items()})
            return cls(**{key: _tuples(value) for key, value in asked.items()})
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{run.folder / 'run.json'}: not a readable run ({error})") from error


OpenCorpus = Callable[[str], Corpus]


def train(
    request: TrainRequest | str,
    registry: Registry,
    runs_dir: Path,
    cache_dir: Path,
    open_corpus: OpenCorpus = open_corpus,
) -> str | None:
    """Train and publish a model, or go on with the run of the given id; returns the model's id.

    None where this process is not the first of those under ``torchrun``.

    Raises:
        CorpusError: a corpus cannot be read, or nothing of it is left.
        TrainingError: the run cannot start, go on or be resumed.
        KeyboardInterrupt: the run was interrupted; its state was saved.
    """
    resumed = open_run(runs_dir, request) if isinstance(request, str) else None
    asked = TrainRequest.of_run(resumed) if resumed else request
    assert isinstance(asked, TrainRequest)
    with closing(ProcessGroup(choose_device(asked.training.device))) as group:
        corpora = [open_corpus(name) for name in asked.corpora]
        parent = load_model_dir(registry.resolve(asked.parent)) if asked.parent is not None else None
        (started,) = group.agree(datetime.now(UTC).timestamp())
        with group.first_before_others():
            tokenizer = _tokenizer(asked, corpora, parent, resumed)
            sizes = parent.config if parent is not None else asked.model
            config = dataclasses.replace(sizes, vocab_size=tokenizer.vocab_size)
            asked = dataclasses.replace(asked, model=config)
            data = _datasets(asked, corpora, tokenizer, cache_dir, open_corpus)
        facts = {
            "request": dataclasses.asdict(asked),
            "corpora": [{"name": c.name, "digest": c.digest, "licence": c.licence} for c in corpora],
            "exchanges": {"train": len(data["train"]), "valid": len(data["valid"])},
            "cleaning_report": data["train"].report.as_dict(),
        }
        run_id = f"{datetime.fromtimestamp(started, UTC):%Y%m%d-%H%M%S}-{asked.name}"
        if resumed is None and group.is_first:
            start_run(runs_dir / run_id, tokenizer, facts)
        group.agree(0)  # nobody opens the run before it is there
        run = resumed or open_run(runs_dir, run_id)
        if group.is_first:
            print(f"run {run.run_id}", file=sys.stderr, flush=True)
        model = _new_model(config, asked.training, parent, tokenizer)
        stream = sys.stderr if group.is_first else None
        log = TrainingLog(run.folder, asked.training, run.facts, stream, is_first=group.is_first)
        with closing(log):
            trainer = Trainer(model, asked.training, run.folder, log, group)
            result = trainer.fit(data["train"], data["valid"], resume=resumed is not None)
        if not group.is_first:
            return None
        collected = datetime.fromtimestamp(started, UTC)
        rounds = [corpus.learned_round(collected) for corpus in corpora if isinstance(corpus, FromMemory)]
        learned = (*(read_learned(parent) if parent is not None else ()), *rounds)
        return _publish(registry, asked, run, model, result, parent, learned)


def dry_run(request: TrainRequest, open_corpus: OpenCorpus = open_corpus) -> str:
    """Return what would be read, kept and dropped, and why."""
    share = request.training.held_out_share
    corpora = [open_corpus(name) for name in request.corpora]
    train = survey(corpora, request.cleaning, held_out_share=share, split="train")
    named = [open_corpus(name) for name in request.valid]
    with _advice_on_validation(request):
        valid = survey(named or corpora, request.cleaning, held_out_share=share, split="all" if named else "valid")
    return f"train:\n{train.as_text()}\nvalid:\n{valid.as_text()}"


@contextmanager
def _advice_on_validation(request: TrainRequest) -> Iterator[None]:
    """Say what to do where nothing is left to validate on."""
    try:
        yield
    except CorpusError as error:
        raise CorpusError(
            f"nothing to validate on: {error}\nName a corpus for it with --valid, or hold out more than "
            f"{request.training.held_out_share:.0%} with BACKCHAT_TRAINING__HELD_OUT_SHARE"
        ) from error


def _tokenizer(
    request: TrainRequest, corpora: Sequence[Corpus], parent: ModelDir | None, resumed: Run | None
) -> Tokenizer:
    if resumed is not None:
        return resumed.tokenizer()
    if parent is not None and not request.new_vocabulary:
        return Tokenizer.load(parent.path / "tokenizer.json")
    size = (parent.config if parent is not None else request.model).vocab_size
    return train_tokenizer(iter_texts(corpora, request.training.held_out_share), size)


def _datasets(
    request: TrainRequest,
    corpora: Sequence[Corpus],
    tokenizer: Tokenizer,
    cache_dir: Path,
    open_corpus: OpenCorpus,
) -> dict[str, Dataset]:
    """Build what is trained on, and what validates it: corpora named for it, or the held-out dialogues."""

    def build(named: Sequence[Corpus], split: Split) -> Dataset:
        return build_dataset(
            named,
            tokenizer,
            request.cleaning,
            context_turns=request.model.context_turns,
            held_out_share=request.training.held_out_share,
            cache_dir=cache_dir,
            split=split,
            casual_share=request.training.casual_share if split == "train" else 0.0,
        )

    train = build(corpora, "train")
    named = [open_corpus(name) for name in request.valid]
    with _advice_on_validation(request):
        valid = build(named, "all") if named else build(corpora, "valid")
    return {"train": train, "valid": valid}


def _new_model(
    config: ModelConfig, training: TrainingConfig, parent: ModelDir | None, tokenizer: Tokenizer
) -> Seq2Seq:
    """Make the model to train: from a seed, or with a parent's weights."""
    if parent is not None:
        model, read = load_model(parent, training.dropout), Tokenizer.load(parent.path / "tokenizer.json")
        return model if read.digest == tokenizer.digest else with_vocabulary(model, read, tokenizer)
    torch.manual_seed(training.seed)
    return Seq2Seq(config, training.dropout)


def _publish(
    registry: Registry,
    asked: TrainRequest,
    run: Run,
    model: Seq2Seq,
    result: TrainingResult,
    parent: ModelDir | None,
    learned: Sequence[LearnedRound],
) -> str:
    results = {
        "valid_nll_per_token": result.nll,
        "updates": result.updates,
        "epochs": result.epochs,
        "seconds": round(result.seconds, 1),
        "target_tokens": result.target_tokens,
        "skipped_updates": result.skipped_updates,
    }
    kept = ("corpora", "exchanges", "code_version", "machine")
    # What was named may be paths of this machine; file names and digests of corpora, and the parent's id, are enough.
    named = ("corpora", "valid", "parent")
    request = {name: value for name, value in run.facts["request"].items() if name not in named}
    return publish_model(
        registry,
        asked.name,
        model,
        run.tokenizer(),
        asked.decoding,
        {
            "parent": parent.model_id if parent is not None else None,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "run": run.run_id,
            "request": request,
            **{key: run.facts[key] for key in kept},
            "results": results,
        },
        learned,
    )


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

"""What pays in the same time: one change at a time against the preset ``small``, each trained for some minutes.

    python -m tests.benchmarks.experiments --minutes 6 --train chitchat.train.jsonl.gz self_dialogue.train.jsonl.gz \
        --valid chitchat.valid.jsonl.gz self_dialogue.valid.jsonl.gz

A line of JSON a change, as soon as it is measured: bits a byte on each validation file (its first 100 dialogues, by
the averaged weights in fp32), target tokens seen, tokens/s. ``--only`` names changes; ``--out`` keeps what is done,
so that a run can go on; ``--home`` keeps tokenizers and datasets for the next one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seq2seq.batching import pad_batch
from seq2seq.config import PRESETS, CleaningConfig, ModelConfig, TrainingConfig
from seq2seq.corpus import Corpus, Dialogue, open_corpus
from seq2seq.dataset import Dataset, Split, build_dataset, iter_texts
from seq2seq.distributed import ProcessGroup
from seq2seq.evaluation.likelihood import TestSet, read_test_set, to_bits_per_byte
from seq2seq.evaluation.metrics import count_target_bytes
from seq2seq.hardware import choose_device
from seq2seq.model import Seq2Seq
from seq2seq.model_files import ModelDir, load_model_dir
from seq2seq.publishing import load_model
from seq2seq.registry import Registry
from seq2seq.tokenizer import Tokenizer, source_ids, target_ids, train_tokenizer
from seq2seq.training_log import TrainingLog
from tests.benchmarks.variants import (
    AdditiveAttention,
    BlandResponses,
    DialogueTrainer,
    DistilledSeq2Seq,
    LayerNormSeq2Seq,
    MultiHeadAttention,
    TurnwiseSeq2Seq,
    Variant,
    with_attention,
    with_weight_dropout,
)

_VALID_DIALOGUES = 100
_VALID_ROWS = 64
_TEACHER = "english"  # the shipped model; an id or a folder of another will do


def _distilled(config: ModelConfig, dropout: float) -> Seq2Seq:
    return DistilledSeq2Seq(config, dropout, load_model(_published(_TEACHER)))


def _published(name: str) -> ModelDir:
    return load_model_dir(Registry(Path()).resolve(name))


class Change(NamedTuple):
    """Changed settings of the model and of the training, what no setting says, and whose tokenizer to take."""

    model: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}
    variant: Variant = Variant()
    tokenizer_of: str | None = None


_SHOWN_AS_THEY_ARE = {f"{share}_share": 0.0 for share in ("reverse", "last_turn", "no_context", "style", "casual")}

CHANGES: dict[str, Change] = {
    "small": Change(),
    "vocabulary 4k": Change({"vocab_size": 4096}),
    "vocabulary 16k": Change({"vocab_size": 16384}),
    "one decoder layer": Change({"decoder_layers": 1}),
    "not residual": Change({"residual": False}),
    "three decoder layers": Change({"decoder_layers": 3}),
    "two encoder layers": Change({"encoder_layers": 2}),
    "hidden 384": Change({"hidden_size": 384}),
    "hidden 768": Change({"hidden_size": 768}),
    "embedding 384": Change({"embed_size": 384}),
    "one turn of context": Change({"context_turns": 1}),
    "two turns of context": Change({"context_turns": 2}),
    "three turns of context": Change({"context_turns": 3, "max_source_tokens": 80}),
    "dropout 0": Change(training={"dropout": 0.0}),
    "dropout 0.2": Change(training={"dropout": 0.2}),
    "label smoothing 0.1": Change(training={"label_smoothing": 0.1}),
    "no averaged weights": Change(training={"average_decay": 0.0}),
    "no reverse exchanges": Change(training={"reverse_share": 0.0}),
    "no styles": Change(training={"style_share": 0.0}),
    "no casual contexts": Change(training={"casual_share": 0.0}),
    "learning rate 1e-3": Change(training={"learning_rate": 1e-3}),
    "learning rate 4e-3": Change(training={"learning_rate": 4e-3}),
    "batches of 32": Change(training={"batch_size": 32}),
    "batches of 128": Change(training={"batch_size": 128}),
    "multi-head attention": Change(
        variant=Variant(with_attention(lambda config: MultiHeadAttention(config, heads=4)))
    ),
    "additive attention": Change(variant=Variant(with_attention(AdditiveAttention))),
    "layer norm": Change(variant=Variant(LayerNormSeq2Seq)),
    "weight dropout 0.2": Change(variant=Variant(with_weight_dropout(0.2))),
    "flat, for turn-wise": Change(training=_SHOWN_AS_THEY_ARE),
    "turn-wise encoding": Change(
        {"context_turns": 20, "max_source_tokens": 400},
        _SHOWN_AS_THEY_ARE,
        Variant(TurnwiseSeq2Seq, DialogueTrainer),
    ),
    "unlikelihood against blandness": Change(variant=Variant(shown=BlandResponses)),
    "tokenizer of english": Change(tokenizer_of=_TEACHER),
    "distilled from english": Change(variant=Variant(_distilled), tokenizer_of=_TEACHER),
}


class _First:
    """The first dialogues of a corpus."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus, self.name, self.licence, self.digest = corpus, corpus.name, corpus.licence, corpus.digest

    def __iter__(self) -> Any:
        first: islice[Dialogue] = islice(self._corpus, _VALID_DIALOGUES)
        return first


class Home:
    """Corpora, and the tokenizers and datasets made of them, which changes share. ``valid`` is by name."""

    def __init__(self, folder: Path, train: Sequence[Corpus], valid: Mapping[str, Corpus]) -> None:
        self.folder, self._train, self.valid = folder, train, valid

    def tokenizer(self, vocab_size: int, held_out_share: float) -> Tokenizer:
        """Train a tokenizer, or take the one that was."""
        key = json.dumps([vocab_size, held_out_share, *(corpus.digest for corpus in self._train)])
        path = self.folder / f"tokenizer-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
        if not path.exists():
            train_tokenizer(iter_texts(self._train, held_out_share), vocab_size).save(path)
        return Tokenizer.load(path)

    def datasets(self, tokenizer: Tokenizer, model: ModelConfig, training: TrainingConfig) -> tuple[Dataset, Dataset]:
        """Return what is trained on, and what validates it."""

        def build(corpora: Sequence[Corpus], split: Split, casual_share: float) -> Dataset:
            return build_dataset(
                corpora,
                tokenizer,
                CleaningConfig(),
                context_turns=model.context_turns,
                held_out_share=training.held_out_share,
                cache_dir=self.folder / "cache",
                split=split,
                casual_share=casual_share,
            )

        return build(self._train, "train", training.casual_share), build(list(self.valid.values()), "all", 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--train", nargs="+", required=True, metavar="CORPUS")
    parser.add_argument("--valid", nargs="+", required=True, metavar="CORPUS")
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    done = asked.out.read_text(encoding="utf-8").splitlines() if asked.out and asked.out.exists() else []
    known = {json.loads(line)["change"] for line in done}
    with tempfile.TemporaryDirectory() as folder:
        valid = {Path(name).name.split(".")[0]: open_corpus(name) for name in asked.valid}
        home = Home(asked.home or Path(folder), [open_corpus(name) for name in asked.train], valid)
        home.folder.mkdir(parents=True, exist_ok=True)
        for name in asked.only:
            if name in known:
                continue
            print(name, file=sys.stderr, flush=True)
            found = measured(
                CHANGES[name], home, PRESETS["small"], TrainingConfig(minutes=asked.minutes, validations=3)
            )
            line = json.dumps({"change": name, "minutes": asked.minutes, **found})
            print(line, flush=True)
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")


def measured(change: Change, home: Home, model_config: ModelConfig, training: TrainingConfig) -> dict[str, Any]:
    """Train a model with a change, and measure it."""
    training = replace(training, **change.training)
    config = replace(model_config, **change.model)
    tokenizer = (
        Tokenizer.load(_published(change.tokenizer_of).path / "tokenizer.json")
        if change.tokenizer_of
        else home.tokenizer(config.vocab_size, training.held_out_share)
    )
    config = replace(config, vocab_size=tokenizer.vocab_size)
    train, valid = home.datasets(tokenizer, config, training)
    torch.manual_seed(training.seed)
    model = change.variant.build(config, training.dropout)
    with tempfile.TemporaryDirectory() as folder, closing(ProcessGroup(choose_device(training.device))) as group:
        log = TrainingLog(Path(folder), training, {}, sys.stderr)
        result = change.variant.trainer(model, training, Path(folder), log, group).fit(
            change.variant.shown(train), valid
        )
    found: dict[str, Any] = {
        name: round(bits_per_byte(model, tokenizer, read_test_set(_First(corpus), config.context_turns)), 4)
        for name, corpus in home.valid.items()
    }
    return found | {
        "target_tokens": result.target_tokens,
        "target_tokens_per_s": round(result.target_tokens / result.seconds, 1),
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }


@torch.no_grad()
def bits_per_byte(model: Seq2Seq, tokenizer: Tokenizer, tests: TestSet) -> float:
    """Return what the torch model needs for a byte, in the order of the dialogues: their turns may be shared."""
    config, device = model.config, model.output_bias.device
    model.eval()
    nll = []
    for start in range(0, len(tests.exchanges), _VALID_ROWS):
        part = tests.exchanges[start : start + _VALID_ROWS]
        contexts = [tokenizer.encode_batch(exchange.context[-config.context_turns :]) for exchange in part]
        personas = [tokenizer.encode_batch(exchange.persona) for exchange in part]
        sources = [
            source_ids(context, config.max_source_tokens, persona)
            for context, persona in zip(contexts, personas, strict=True)
        ]
        targets = [target_ids(tokenizer.encode(exchange.response)) for exchange in part]
        nll.append(float(model(pad_batch(sources, targets).to(device))[1]))
    return to_bits_per_byte(
        math.fsum(nll), sum(count_target_bytes(exchange.response) for exchange in tests.exchanges)
    )


if __name__ == "__main__":
    main()

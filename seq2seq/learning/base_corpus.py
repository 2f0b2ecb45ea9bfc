"""What a retrained model must not forget: a base corpus where one is at hand, else what the model says by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seq2seq.cleaning import CleaningReport
from seq2seq.config import CleaningConfig, RetrainingConfig, TrainingConfig
from seq2seq.corpus import Corpus
from seq2seq.dataset import TrainingSet, build_dataset, select_split
from seq2seq.dialogues import Dialogue
from seq2seq.errors import CorpusError, MissingExtraError
from seq2seq.evaluation.likelihood import OnProgress, TestExchange, TestSet, evenly_spaced, read_test_set
from seq2seq.learning.mixing import MemorySet, WeightedExchange
from seq2seq.learning.rehearsal import rehearse
from seq2seq.predictor import Predictor
from seq2seq.tokenizer import Tokenizer

_HELD_OUT_SHARE = 0.02  # as a training holds out, of corpora that have no held-out part of their own
_OWN_HELD_OUT = {"chitchat": "chitchat:valid"}
_LEAST_HELD_OUT = 10  # exchanges, half to choose weights by, half to judge by
_LOOKED_AT = 20  # dialogues whose language is looked at
_FAR_FEWER = 0.6  # tokens a byte; between languages of one script it is 0.5
_REHEARSED_TO_JUDGE = 0.2


@dataclass(frozen=True)
class Base:
    """Exchanges of the base: to replay, to choose weights by, and to judge by. The last two are never replayed."""

    names: list[str]
    train: TrainingSet
    choose: TrainingSet
    judge: TestSet


def open_base(
    config: RetrainingConfig,
    parent: Predictor,
    said: Sequence[str],
    cleaning: CleaningConfig,
    cache_dir: Path,
    open_corpus: Callable[[str], Corpus],
    say: Callable[[str], None],
    on_progress: OnProgress,
) -> Base | None:
    """Open the base corpora; rehearse where there are none in the language that is learned.

    Args:
        said: some of what is learned.

    Returns:
        None where nothing is replayed: ``replay_ratio`` is 0, or there are no corpora and no ``rehearsals``.
    """
    if not config.replay_ratio:
        return None
    try:
        corpora = [open_corpus(name) for name in config.base]
        foreign = [corpus.name for corpus in corpora if _is_foreign(parent.tokenizer, corpus, said)]
    except (MissingExtraError, CorpusError) as error:
        corpora, foreign = [], []
        say(f"no base corpus: {error}")
    if foreign:
        say(f"{', '.join(foreign)}: another language; {parent.model_id} rehearses what it says itself")
    if not corpora or foreign:
        return _rehearsed(config, parent, on_progress) if config.rehearsals else None
    turns = parent.config.context_turns
    held_out = _held_out(corpora, open_corpus, turns)
    if len(held_out) < _LEAST_HELD_OUT:
        say(
            f"{', '.join(config.base)}: {len(held_out)} held-out exchanges do not tell what is forgotten; "
            f"{parent.model_id} rehearses what it says itself"
        )
        return _rehearsed(config, parent, on_progress) if config.rehearsals else None
    train = build_dataset(
        corpora,
        parent.tokenizer,
        cleaning,
        context_turns=turns,
        held_out_share=_HELD_OUT_SHARE,
        cache_dir=cache_dir,
        casual_share=TrainingConfig.casual_share,
    )
    return _split(config, [corpus.name for corpus in corpora], train, held_out, parent)


def _held_out(corpora: Sequence[Corpus], open_corpus: Callable[[str], Corpus], turns: int) -> list[TestExchange]:
    """Return the exchanges of corpora that no model of this project was trained on, or will be."""
    found: list[TestExchange] = []
    for corpus in corpora:
        own = _OWN_HELD_OUT.get(corpus.name)
        try:
            found += read_test_set(open_corpus(own) if own else _HeldOut(corpus), turns).exchanges
        except CorpusError:  # none of its dialogues is held out
            continue
    return found


class _HeldOut:
    """The held-out dialogues of a corpus."""

    licence: str | None = None

    def __init__(self, corpus: Corpus) -> None:
        self._corpus, self.name, self.digest = corpus, corpus.name, corpus.digest

    def __iter__(self) -> Iterator[Dialogue]:
        return select_split(self._corpus, "valid", _HELD_OUT_SHARE, CleaningReport())


def _is_foreign(tokenizer: Tokenizer, corpus: Corpus, said: Sequence[str]) -> bool:
    """Tell whether a corpus is of another language than what is learned: it takes far more tokens a byte."""
    first: list[Dialogue] = list(islice(corpus, _LOOKED_AT))
    texts = [turn.text for dialogue in first for turn in dialogue.turns]
    return _tokens_a_byte(tokenizer, said) < _FAR_FEWER * _tokens_a_byte(tokenizer, texts)


def _tokens_a_byte(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    tokens = sum(map(len, tokenizer.encode_batch(list(texts))))
    return tokens / max(1, sum(len(text.encode("utf-8", "replace")) for text in texts))


def _rehearsed(config: RetrainingConfig, parent: Predictor, on_progress: OnProgress) -> Base:
    made = rehearse(parent, config.rehearsals, config.seed, on_progress)
    count = int(len(made) * _REHEARSED_TO_JUDGE)
    train = MemorySet(made[count:], parent.tokenizer, parent.config.context_turns)
    held_out = [
        TestExchange(e.context, e.response, (), number, len(e.context)) for number, e in enumerate(made[:count])
    ]
    return _split(config, ["its own samples"], train, held_out, parent)


def _split(
    config: RetrainingConfig,
    names: list[str],
    train: TrainingSet,
    held_out: Sequence[TestExchange],
    parent: Predictor,
) -> Base:
    """Take every other exchange to judge by, and as many of the rest to choose by as time allows."""
    judge, rest = held_out[::2], held_out[1::2]
    chosen = [rest[place] for place in evenly_spaced(len(rest), config.measured_exchanges)]
    choose = MemorySet(
        [WeightedExchange(e.context, e.response) for e in chosen], parent.tokenizer, parent.config.context_turns
    )
    return Base(names, train, choose, TestSet(", ".join(names), tuple(judge), left_out=0))

"""Corpora as flat token arrays on disk, memory-mapped, so that training needs little memory at any size.

A dataset is built once and kept in a cache under a key of everything that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seq2seq.casual import HABITS, typed_casually
from seq2seq.cleaning import Cleaner, CleaningReport, distinct_rows
from seq2seq.config import CleaningConfig
from seq2seq.corpus import Corpus, FileCorpus
from seq2seq.dialogues import Dialogue, DialogueTurn, is_held_out
from seq2seq.errors import CorpusError
from seq2seq.style import STYLE_LINES, style_bits
from seq2seq.tokenizer import SPECIAL_TOKENS, Tokenizer, train_tokenizer

Split = Literal["train", "valid", "all"]

_FORMAT = 5
_BATCH_TURNS = 8192  # turns encoded in one call
_BUCKET_ROWS = 4_000_000  # exchanges compared with one another at a time: about 300 MB
_Row = tuple[int, int, int, int, int, int]


class TrainingSet(Protocol):
    """What can be trained on: see ``Dataset`` for the arrays. ``key`` names the content."""

    key: str
    turns: NDArray[np.int64]
    exchanges: NDArray[np.int64]
    row_weights: NDArray[np.float32] | None

    def __len__(self) -> int: ...

    def turn(self, number: int) -> list[int]:
        """Return the token ids of one turn."""

    def rows_of_epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the exchanges that an epoch shows, by number."""


class Dataset:
    """The tokens of many dialogues, and where in them the exchanges lie. Memory-mapped and read-only.

    Attributes:
        tokens: uint16 or uint32 [n_tokens], all turns back to back, no control marks. The first of them are
            ``STYLE_LINES``.
        turns: int64 [n_turns + 1], offsets into ``tokens``.
        exchanges: int64 [n, 6]: first context turn, response turn, first persona turn, end of the persona
            turns (equal: none), number of the corpus in ``corpora``, styles of the response as bits. The
            context is every turn from the first to the one before the response.
        corpora: names of the corpora, each once.
        report: what the cleaning kept and dropped.
    """

    row_weights: NDArray[np.float32] | None = None  # every exchange counts the same

    def __init__(self, path: Path) -> None:
        """Open a built dataset.

        Raises:
            CorpusError: a file is missing or damaged.
        """
        self.path, self.key = path, path.name
        try:
            self._header = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
            arrays = {name: _mapped(path, name, described) for name, described in self._header["arrays"].items()}
            self.tokens: NDArray[Any] = arrays["tokens"]
            self.turns: NDArray[np.int64] = arrays["turns"]
            self.exchanges: NDArray[np.int64] = arrays["exchanges"].reshape(-1, 6)
            self.corpora: tuple[str, ...] = tuple(self._header["corpora"])
            self.report = CleaningReport.from_dict(self._header["report"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{path}: not a whole dataset ({error}); delete the folder") from error

    def __len__(self) -> int:
        return len(self.exchanges)

    def rows_of_epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return all exchanges: each epoch shows them once."""
        return np.arange(len(self))

    def turn(self, number: int) -> list[int]:
        """Return the token ids of one turn."""
        start, end = self.turns[number : number + 2]
        ids: list[int] = self.tokens[start:end].tolist()
        return ids


def build_dataset(
    corpora: Sequence[Corpus],
    tokenizer: Tokenizer,
    cleaning: CleaningConfig,
    *,
    context_turns: int,
    held_out_share: float,
    cache_dir: Path,
    split: Split = "train",
    casual_share: float = 0.0,
) -> Dataset:
    """Clean and encode a split of corpora, or open it from the cache.

    A corpus that is named twice weighs twice: its exchanges appear twice, though the filters count them once.

    Args:
        context_turns: the most turns before a response that an exchange keeps.
        held_out_share: share of the dialogues that is in "valid" and never in "train"; "all" has both.
        casual_share: share of the exchanges in whose context the others' turns are ``typed_casually``.

    Raises:
        CorpusError: a corpus cannot be read, or nothing is left.
    """
    weights = Counter(corpus.digest for corpus in corpora)
    distinct = _distinct(corpora)
    key = {
        "format": _FORMAT,
        "corpora": [(corpus.digest, weights[corpus.digest]) for corpus in distinct],
        "cleaning": asdict(cleaning),
        "tokenizer": tokenizer.digest,
        "context_turns": context_turns,
        "held_out_share": None if split == "all" else held_out_share,
        "split": split,
        "casual_share": casual_share,
    }
    path = cache_dir / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    if path.exists():
        try:
            return Dataset(path)
        except CorpusError:
            shutil.rmtree(path)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache_dir) as folder:
        work = Path(folder) / "dataset"
        work.mkdir()
        with _Builder(work, tokenizer, cleaning, context_turns, casual_share) as builder:
            report = builder.report
            for number, corpus in enumerate(distinct):
                for dialogue in select_split(corpus, split, held_out_share, report):
                    builder.add(dialogue, number)
                if isinstance(corpus, FileCorpus):
                    report.bad_lines += corpus.bad_lines.count
            names = [corpus.name for corpus in distinct]
            arrays = builder.finish(names, [weights[corpus.digest] for corpus in distinct])
        if not report.kept.total():
            raise CorpusError(f"no exchange is left of {', '.join(names)} ({split}):\n{report.as_text()}")
        header = {"key": key, "corpora": names, "report": report.as_dict(), "arrays": arrays}
        (work / "dataset.json").write_text(json.dumps(header, indent=1), encoding="utf-8")
        try:
            work.rename(path)
        except OSError:
            if not path.exists():  # else another process has built the same
                raise
    dataset = Dataset(path)
    dataset.report = report
    return dataset


def survey(
    corpora: Sequence[Corpus], cleaning: CleaningConfig, *, held_out_share: float, split: Split = "train"
) -> CleaningReport:
    """Tell what ``build_dataset`` would read, keep and drop, with an example for each filter.

    Raises:
        CorpusError: a corpus cannot be read, or nothing is left.
    """
    bytes_only = train_tokenizer((), len(SPECIAL_TOKENS) + 256)
    with tempfile.TemporaryDirectory(prefix="backchat-survey-") as folder:
        return build_dataset(
            corpora,
            bytes_only,
            cleaning,
            context_turns=1,
            held_out_share=held_out_share,
            cache_dir=Path(folder),
            split=split,
        ).report


def iter_texts(corpora: Sequence[Corpus], held_out_share: float) -> Iterator[str]:
    """Yield every turn of the train split, as often as its corpus is named, to train a tokenizer on."""
    for corpus in corpora:
        for dialogue in select_split(corpus, "train", held_out_share, CleaningReport()):
            for turn in dialogue.turns:
                yield turn.text


def select_split(
    corpus: Iterable[Dialogue], split: Split, held_out_share: float, report: CleaningReport
) -> Iterator[Dialogue]:
    """Yield the dialogues of a split, counting what is read into ``report``."""
    for dialogue in corpus:
        report.dialogues += 1
        held_out = is_held_out(dialogue.key, held_out_share)
        report.held_out += held_out
        if split == "all" or held_out == (split == "valid"):
            report.sources[dialogue.source] += 1
            yield dialogue


def _distinct(corpora: Sequence[Corpus]) -> list[Corpus]:
    """Return each corpus once, in the order in which they were first named."""
    found: dict[str, Corpus] = {}
    for corpus in corpora:
        found.setdefault(corpus.digest, corpus)
    return list(found.values())


class _Builder:
    """Streams turns and candidate exchanges to disk; ``finish`` compares the candidates and keeps the rest.

    Candidates are three arrays: ``rows`` int64 [n, 6], as in ``Dataset.exchanges``, and the ``text_key`` of
    their ``prompts`` and ``responses``, uint64 [n].
    """

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, cleaning: CleaningConfig, context_turns: int, casual_share: float
    ) -> None:
        self.report = CleaningReport()
        self._folder, self._tokenizer, self._context_turns = folder, tokenizer, context_turns
        self._casual_share = casual_share
        self._cleaning, self._cleaner = cleaning, Cleaner(cleaning)
        self._dtypes: dict[str, np.dtype[Any]] = {
            "tokens": np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32),
            "turns": np.dtype(np.int64),
            "rows": np.dtype(np.int64),
            "prompts": np.dtype(np.uint64),
            "responses": np.dtype(np.uint64),
            "exchanges": np.dtype(np.int64),
        }
        self._files = {name: (folder / f"{name}.bin").open("wb") for name in self._dtypes}
        self._texts: list[str] = []
        self._candidates: list[tuple[_Row, int, int]] = []
        self._n_turns = self._n_tokens = 0
        self._write("turns", [0])
        self._append(STYLE_LINES)

    def __enter__(self) -> _Builder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._files.values():
            stream.close()

    def add(self, dialogue: Dialogue, corpus: int) -> None:
        """Write a dialogue of which at least one exchange passes; count the others."""
        traits = [self._cleaner.traits(turn.text) for turn in dialogue.turns]
        kept = []
        responses = dialogue.responses()
        for number in responses:
            objection = self._cleaner.objection(traits[number - 1], traits[number])
            if objection is None:
                kept.append(number)
            else:
                self.report.drop(objection, dialogue.turns[number - 1].text, dialogue.turns[number].text)
        self.report.exchanges += len(responses)
        if not kept:
            return
        personas = {}
        for speaker in {dialogue.turns[number].speaker: None for number in kept}:
            personas[speaker] = self._append(dialogue.persona_of(speaker))
        first, _ = self._append([turn.text for turn in dialogue.turns])
        for number in kept:
            prompt, response = traits[number - 1].key, traits[number].key
            start = max(0, number - self._context_turns)
            context, end = first + start, first + number
            chance = (prompt + response) % 2**64  # the same in every run, and for the same pair everywhere
            if chance < self._casual_share * 2**64:
                context, end = self._append(_typed_casually(dialogue.turns[start : number + 1], chance % HABITS))
                end -= 1
            speaker, bits = dialogue.turns[number].speaker, style_bits(dialogue.turns[number].text)
            self._candidates.append(((context, end, *personas[speaker], corpus, bits), prompt, response))
        if len(self._texts) >= _BATCH_TURNS:
            self._flush()

    def finish(self, corpora: Sequence[str], weights: Sequence[int]) -> dict[str, _Array]:
        """Write ``exchanges``: the candidates that do not repeat others, each as often as its corpus weighs.

        Returns:
            How each array of the dataset lies on disk.
        """
        self._flush()
        rows = self._read_back("rows").reshape(-1, 6)
        keep = self._distinct_candidates(rows)
        for start in range(0, len(rows), _BUCKET_ROWS):
            part = slice(start, start + _BUCKET_ROWS)
            kept = rows[part][keep[part]]
            self._write("exchanges", np.repeat(kept, np.array(weights)[kept[:, 4]], axis=0))
            for name, count in zip(corpora, np.bincount(kept[:, 4], minlength=len(corpora)), strict=True):
                self.report.kept[name] += int(count)
        for name in ("rows", "prompts", "responses"):
            (self._folder / f"{name}.bin").unlink()
        return {name: self._described(name) for name in ("tokens", "turns", "exchanges")}

    def _distinct_candidates(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which candidates to keep; equal responses are compared within one bucket of them."""
        prompts, responses = self._read_back("prompts"), self._read_back("responses")
        keep = np.ones(len(rows), dtype=bool)
        n_buckets = -(-len(rows) // _BUCKET_ROWS)
        bucket = np.empty(len(rows), dtype=np.uint16)
        for start in range(0, len(rows), _BUCKET_ROWS):
            bucket[start : start + _BUCKET_ROWS] = responses[start : start + _BUCKET_ROWS] % n_buckets
        for number in range(n_buckets):
            members = np.flatnonzero(bucket == number)
            repeated, crowded = distinct_rows(prompts[members], responses[members], self._cleaning)
            for name, dropped in (("drop_repeated_pairs", repeated), ("max_pairs_per_response", crowded)):
                if not len(dropped):
                    continue
                keep[members[dropped]] = False
                self.report.dropped[name] += len(dropped)
                if name not in self.report.examples:
                    response = int(rows[members[dropped[0]], 1])
                    self.report.examples[name] = (self._text(response - 1), self._text(response))
        return keep

    def _append(self, texts: Sequence[str]) -> tuple[int, int]:
        """Take texts in as turns; return the number of the first, and the number after the last."""
        first = self._n_turns
        self._texts.extend(texts)
        self._n_turns += len(texts)
        return first, self._n_turns

    def _flush(self) -> None:
        """Encode and write what has come together."""
        encoded = self._tokenizer.encode_batch(self._texts)
        ends = self._n_tokens + np.cumsum([len(turn) for turn in encoded], dtype=np.int64)
        self._write("turns", ends)
        self._write("tokens", [token for turn in encoded for token in turn])
        self._n_tokens = int(ends[-1]) if len(ends) else self._n_tokens
        for name, column in zip(("rows", "prompts", "responses"), zip(*self._candidates, strict=True), strict=False):
            self._write(name, column)
        self._texts.clear()
        self._candidates.clear()

    def _text(self, turn: int) -> str:
        start, end = self._read_back("turns")[turn : turn + 2]
        return self._tokenizer.decode(self._read_back("tokens")[start:end].tolist())

    def _write(self, name: str, values: ArrayLike) -> None:
        np.asarray(values, self._dtypes[name]).tofile(self._files[name])

    def _read_back(self, name: str) -> NDArray[Any]:
        self._files[name].flush()
        path = self._folder / f"{name}.bin"
        if not path.stat().st_size:  # which cannot be mapped
            return np.empty(0, self._dtypes[name])
        return np.memmap(path, self._dtypes[name], mode="r")

    def _described(self, name: str) -> _Array:
        self._files[name].flush()
        path, dtype = self._folder / f"{name}.bin", self._dtypes[name]
        return _Array(dtype.str, path.stat().st_size // dtype.itemsize, _crc32(path))


def _typed_casually(turns: Sequence[DialogueTurn], habit: int) -> list[str]:
    """Return an exchange's texts, those of others than who says the last one typed casually."""
    responder = turns[-1].speaker
    return [turn.text if turn.speaker == responder else typed_casually(turn.text, habit) for turn in turns]


class _Array(NamedTuple):
    """How an array lies on disk."""

    dtype: str
    length: int
    crc32: int


def _mapped(folder: Path, name: str, described: Sequence[Any]) -> NDArray[Any]:
    """Map an array; ValueError where the file is not the one that was written."""
    expected = _Array(*described)
    path = folder / f"{name}.bin"
    array = np.memmap(path, dtype=np.dtype(expected.dtype), mode="r")
    if len(array) != expected.length or _crc32(path) != expected.crc32:
        raise ValueError(f"{path.name} is damaged")
    return array


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            value = zlib.crc32(block, value)
    return value

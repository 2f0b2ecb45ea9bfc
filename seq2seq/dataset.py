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
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2seq.cleaning import Cleaner, CleaningConfig, CleaningReport, distinct_rows
from seq2seq.corpus import Corpus, FileCorpus
from seq2seq.dialogues import Dialogue, is_held_out
from seq2seq.errors import CorpusError
from seq2seq.tokenizer import Tokenizer

Split = Literal["train", "valid", "all"]

_FORMAT = 1
_BATCH_TURNS = 8192  # turns encoded in one call
_BUCKET_ROWS = 4_000_000  # exchanges compared with one another at a time: about 300 MB
_CANDIDATE = np.dtype([("row", np.int64, 5), ("prompt", np.uint64), ("response", np.uint64)])


class Dataset:
    """The tokens of many dialogues, and where in them the exchanges lie. Memory-mapped and read-only.

    Attributes:
        tokens: uint16 or uint32 [n_tokens], all turns back to back, no control marks.
        turns: int64 [n_turns + 1], offsets into ``tokens``.
        exchanges: int64 [n, 5]: first context turn, response turn, first persona turn, end of the persona turns
            (equal: none), number of the corpus in ``corpora``. The context is every turn from the first to the
            one before the response.
        corpora: names of the corpora, each once.
        report: what the cleaning kept and dropped.
    """

    def __init__(self, path: Path) -> None:
        """Open a built dataset.

        Raises:
            CorpusError: a file is missing or damaged.
        """
        self.path = path
        try:
            header = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
            arrays = {name: _mapped(path, name, header["arrays"][name]) for name in _ARRAYS}
            self.corpora: tuple[str, ...] = tuple(header["corpora"])
            self.report = CleaningReport.from_dict(header["report"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{path}: not a whole dataset ({error}); delete the folder") from error
        self.tokens: NDArray[Any] = arrays["tokens"]
        self.turns: NDArray[np.int64] = arrays["turns"]
        self.exchanges: NDArray[np.int64] = arrays["exchanges"].reshape(-1, 5)

    def __len__(self) -> int:
        return len(self.exchanges)

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
) -> Dataset:
    """Clean and encode a split of corpora, or open it from the cache.

    A corpus that is named twice weighs twice: its exchanges appear twice, though the filters count them once.

    Args:
        context_turns: the most turns before a response that an exchange keeps.
        held_out_share: share of the dialogues that is in "valid" and never in "train"; "all" has both.

    Raises:
        CorpusError: a corpus cannot be read, or nothing is left.
    """
    weights = Counter(corpus.digest for corpus in corpora)
    distinct = list({corpus.digest: corpus for corpus in reversed(corpora)}.values())[::-1]
    key = {
        "format": _FORMAT,
        "corpora": [(corpus.digest, weights[corpus.digest]) for corpus in distinct],
        "cleaning": asdict(cleaning),
        "tokenizer": tokenizer.digest,
        "context_turns": context_turns,
        "held_out_share": held_out_share if split != "all" else None,
        "split": split,
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
        report = CleaningReport()
        with _Writer(work, tokenizer, Cleaner(cleaning), context_turns, report) as writer:
            for number, corpus in enumerate(distinct):
                for dialogue in select_split(corpus, split, held_out_share, report):
                    writer.add(dialogue, number)
                if isinstance(corpus, FileCorpus):
                    report.bad_lines += corpus.bad_lines.count
        _finish(work, writer, cleaning, [weights[corpus.digest] for corpus in distinct])
        if not report.kept:
            raise CorpusError(
                f"no exchange is left of {', '.join(c.name for c in distinct)} ({split}):\n{report.as_text()}"
            )
        header = {
            "format": _FORMAT,
            "key": key,
            "corpora": [corpus.name for corpus in distinct],
            "report": report.as_dict(),
            "arrays": {name: _described(work, name, writer.dtypes[name]) for name in _ARRAYS},
        }
        (work / "dataset.json").write_text(json.dumps(header, indent=1), encoding="utf-8")
        try:
            work.rename(path)
        except OSError:
            if not path.exists():  # else another process has built the same
                raise
    return Dataset(path)


def iter_texts(corpora: Sequence[Corpus], held_out_share: float) -> Iterator[str]:
    """Yield every turn of the train split, each corpus once, to train a tokenizer on."""
    for corpus in {corpus.digest: corpus for corpus in corpora}.values():
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


_ARRAYS = ("tokens", "turns", "exchanges")


class _Writer:
    """Streams turns and candidate exchanges to disk."""

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, cleaner: Cleaner, context_turns: int, report: CleaningReport
    ) -> None:
        self.tokenizer, self.report = tokenizer, report
        token_dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32
        self.dtypes = {"tokens": np.dtype(token_dtype), "turns": np.dtype(np.int64), "exchanges": np.dtype(np.int64)}
        self._cleaner, self._context_turns = cleaner, context_turns
        self._texts: list[str] = []
        self._rows: list[tuple[tuple[int, int, int, int, int], int, int]] = []
        self._n_turns = self._n_tokens = 0
        self._tokens, self._turns, self._candidates = (
            (folder / f"{name}.bin").open("wb") for name in ("tokens", "turns", "candidates")
        )
        np.zeros(1, np.int64).tofile(self._turns)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        for stream in (self._tokens, self._turns, self._candidates):
            stream.close()

    def add(self, dialogue: Dialogue, corpus: int) -> None:
        """Write a dialogue of which at least one exchange passes; count the others."""
        traits = [self._cleaner.traits(turn.text) for turn in dialogue.turns]
        kept = []
        for number in range(1, len(traits)):
            objection = self._cleaner.objection(traits[number - 1], traits[number])
            if objection is None:
                kept.append(number)
            else:
                self.report.drop(objection, dialogue.turns[number - 1].text, dialogue.turns[number].text)
        self.report.read += len(traits) - 1
        if not kept:
            return
        personas = {}
        for speaker in {dialogue.turns[number].speaker: None for number in kept}:
            lines = dialogue.persona_of(speaker)
            start = self._n_turns
            self._append(lines)
            personas[speaker] = (start, start + len(lines))
        first = self._n_turns
        self._append(turn.text for turn in dialogue.turns)
        for number in kept:
            context = first + max(0, number - self._context_turns)
            row = (context, first + number, *personas[dialogue.turns[number].speaker], corpus)
            self._rows.append((row, traits[number - 1].key, traits[number].key))
        if len(self._texts) >= _BATCH_TURNS:
            self._flush()

    def _append(self, texts: Iterable[str]) -> None:
        before = len(self._texts)
        self._texts.extend(texts)
        self._n_turns += len(self._texts) - before

    def _flush(self) -> None:
        encoded = self.tokenizer.encode_batch(self._texts)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ids = np.fromiter((i for turn in encoded for i in turn), self.dtypes["tokens"], int(lengths.sum()))
        ids.tofile(self._tokens)
        (self._n_tokens + np.cumsum(lengths)).tofile(self._turns)
        self._n_tokens += len(ids)
        np.array(self._rows, dtype=_CANDIDATE).tofile(self._candidates)
        self._texts.clear()
        self._rows.clear()


def _finish(folder: Path, writer: _Writer, cleaning: CleaningConfig, weights: Sequence[int]) -> None:
    """Drop candidates that repeat others, and write the rest, weighted, to ``exchanges``."""
    candidates = folder / "candidates.bin"
    report = writer.report
    n = candidates.stat().st_size // _CANDIDATE.itemsize
    with (folder / "exchanges.bin").open("wb") as out:
        if n:
            rows = np.memmap(candidates, dtype=_CANDIDATE, mode="r")
            keep = np.ones(n, dtype=bool)
            buckets = -(-n // _BUCKET_ROWS)
            for bucket in range(buckets):
                members = np.flatnonzero(rows["response"] % np.uint64(buckets) == bucket)
                repeated, crowded = distinct_rows(
                    rows["prompt"][members], rows["response"][members], cleaning
                )
                for name, dropped in (("drop_repeated_pairs", repeated), ("max_pairs_per_response", crowded)):
                    keep[members[dropped]] = False
                    report.dropped[name] += len(dropped)
            report.kept = int(keep.sum())
            for start in range(0, n, _BUCKET_ROWS):
                part = rows["row"][start : start + _BUCKET_ROWS][keep[start : start + _BUCKET_ROWS]]
                np.repeat(part, np.array(weights)[part[:, 4]], axis=0).tofile(out)
            del rows
    candidates.unlink()


class _Array(NamedTuple):
    """How an array lies on disk."""

    dtype: str
    length: int
    crc32: int


def _described(folder: Path, name: str, dtype: np.dtype[Any]) -> _Array:
    path = folder / f"{name}.bin"
    return _Array(dtype.str, path.stat().st_size // dtype.itemsize, _crc32(path))


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

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq import dataset as dataset_module
from seq2seq.casual import HABITS, typed_casually
from seq2seq.config import CleaningConfig
from seq2seq.corpus import FileCorpus
from seq2seq.dataset import Dataset, Split, build_dataset, iter_texts, survey
from seq2seq.dialogues import Dialogue, DialogueTurn, is_held_out
from seq2seq.errors import CorpusError
from seq2seq.style import STYLE_LINES
from seq2seq.tokenizer import Tokenizer, train_tokenizer

LENIENT = CleaningConfig(drop_profanity=False, drop_letterless=False)


class MadeCorpus:
    """Dialogues in memory; counts how often it is read."""

    licence = None

    def __init__(self, dialogues: Sequence[Dialogue], name: str = "made") -> None:
        self.name, self.digest = name, f"digest of {name}"
        self.readings = 0
        self._dialogues = dialogues

    def __iter__(self) -> Iterator[Dialogue]:
        self.readings += 1
        return iter(self._dialogues)


def talk(*texts: str, dialogue_id: str = "1", **personas: tuple[str, ...]) -> Dialogue:
    turns = tuple(DialogueTurn("AB"[number % 2], text) for number, text in enumerate(texts))
    return Dialogue(dialogue_id, "made", turns, personas)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["hello there, how are you?"], 270)


def build(
    corpora: Sequence[MadeCorpus | FileCorpus],
    tokenizer: Tokenizer,
    tmp_path: Path,
    cleaning: CleaningConfig = LENIENT,
    *,
    context_turns: int = 2,
    held_out_share: float = 0.0,
    split: Split = "train",
    casual_share: float = 0.0,
) -> Dataset:
    return build_dataset(
        corpora,
        tokenizer,
        cleaning,
        context_turns=context_turns,
        held_out_share=held_out_share,
        cache_dir=tmp_path / "cache",
        split=split,
        casual_share=casual_share,
    )


def pairs(dataset: Dataset, tokenizer: Tokenizer) -> list[tuple[list[str], str]]:
    """Return context and response of every exchange, as text."""
    return [
        (
            [tokenizer.decode(dataset.turn(t)) for t in range(first, response)],
            tokenizer.decode(dataset.turn(response)),
        )
        for first, response, *_ in dataset.exchanges.tolist()
    ]


def test_arrays_hold_every_turn_and_where_the_exchanges_lie(tokenizer: Tokenizer, tmp_path: Path) -> None:
    dataset = build([MadeCorpus([talk("a", "b", "c"), talk("d", "e!")])], tokenizer, tmp_path)
    brief, cheerful = 1 << STYLE_LINES.index("brief"), 1 << STYLE_LINES.index("cheerful")
    assert dataset.exchanges.tolist() == [
        [4, 5, 4, 4, 0, brief],
        [4, 6, 4, 4, 0, brief],
        [7, 8, 7, 7, 0, brief | cheerful],
    ]
    turns = tokenizer.encode_batch([*STYLE_LINES, "a", "b", "c", "d", "e!"])
    assert [dataset.turn(number) for number in range(9)] == turns
    assert dataset.turns.tolist()[0] == 0
    assert dataset.turns.tolist()[-1] == len(dataset.tokens)
    assert (dataset.tokens.dtype, dataset.turns.dtype) == (np.uint16, np.int64)
    assert len(dataset) == 3


def test_context_has_at_most_so_many_turns_of_the_same_dialogue(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk("a", "b", "c", "d"), talk("e", "f")])
    assert pairs(build([corpus], tokenizer, tmp_path, context_turns=2), tokenizer) == [
        (["a"], "b"),
        (["a", "b"], "c"),
        (["b", "c"], "d"),
        (["e"], "f"),
    ]


def test_a_share_of_the_contexts_is_typed_casually_and_no_response(tokenizer: Tokenizer, tmp_path: Path) -> None:
    talks = [talk(f"Hello A{n}!", f"Hi B{n}.", f"How are you, A{n}?", f"Fine, B{n}!") for n in range(100)]
    as_written = pairs(build([MadeCorpus(talks)], tokenizer, tmp_path), tokenizer)
    half = pairs(build([MadeCorpus(talks)], tokenizer, tmp_path, casual_share=0.5), tokenizer)
    assert [response for _, response in half] == [response for _, response in as_written]
    changed = [
        (found, written) for (found, _), (written, _) in zip(half, as_written, strict=True) if found != written
    ]
    assert 110 < len(changed) < 190
    for found, written in changed:
        assert found[-1] in {typed_casually(written[-1], habit) for habit in range(HABITS)}
        assert found[-2:-1] == written[-2:-1]  # what the one who responds had said before
    assert pairs(build([MadeCorpus(talks)], tokenizer, tmp_path, casual_share=0.5), tokenizer) == half


def test_arrays_cannot_be_changed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    dataset = build([MadeCorpus([talk("a", "b")])], tokenizer, tmp_path)
    for array in (dataset.tokens, dataset.turns, dataset.exchanges):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_persona_lines_are_those_of_whoever_responds(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk("hi", "hello", "so", "well", B=("i fish.", "i hunt."))])
    dataset = build([corpus], tokenizer, tmp_path)
    lines = [
        [tokenizer.decode(dataset.turn(number)) for number in range(first, end)]
        for _, _, first, end, *_ in dataset.exchanges.tolist()
    ]
    assert lines == [["i fish.", "i hunt."], [], ["i fish.", "i hunt."]]
    assert pairs(dataset, tokenizer)[0] == (["hi"], "hello")


def test_only_responders_are_learned_and_the_others_stay_context(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([replace(talk("a", "b", "c", "d"), responders=frozenset({"A"})), talk("e", "f")])
    dataset = build([corpus], tokenizer, tmp_path)
    assert pairs(dataset, tokenizer) == [(["a", "b"], "c"), (["e"], "f")]
    assert dataset.report.exchanges == 2


def test_dropped_response_stays_in_the_context_of_the_next(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk("a", "see http://example.org", "c", "d"), talk("http://example.org", "x")])
    dataset = build([corpus], tokenizer, tmp_path, context_turns=3)
    assert pairs(dataset, tokenizer) == [(["a", "see http://example.org", "c"], "d")]
    assert dataset.report.dropped == {"drop_links": 3}
    assert dataset.report.kept == {"made": 1}
    assert dataset.report.exchanges == 4


def test_pairs_are_compared_across_corpora(tokenizer: Tokenizer, tmp_path: Path) -> None:
    first = MadeCorpus([talk("Hi!", "Hello.")], "first")
    second = MadeCorpus([talk("hi", "hello"), talk("hey", "hello")], "second")
    dataset = build([first, second], tokenizer, tmp_path)
    assert pairs(dataset, tokenizer) == [(["Hi!"], "Hello."), (["hey"], "hello")]
    assert dataset.exchanges[:, 4].tolist() == [0, 1]
    assert dataset.corpora == ("first", "second")
    assert dataset.report.kept == {"first": 1, "second": 1}
    assert dataset.report.dropped == {"drop_repeated_pairs": 1}


def test_response_of_too_many_prompts_is_capped(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk(f"prompt {number}", "Yeah!" if number % 2 else "yeah") for number in range(10)])
    dataset = build([corpus], tokenizer, tmp_path, CleaningConfig(drop_profanity=False, max_pairs_per_response=4))
    assert len(dataset) == 4
    assert dataset.report.dropped == {"max_pairs_per_response": 6}


@pytest.mark.parametrize("bucket_rows", [1, 3, 1000])
def test_buckets_never_change_what_is_kept(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket_rows: int
) -> None:
    monkeypatch.setattr(dataset_module, "_BUCKET_ROWS", bucket_rows)
    corpus = MadeCorpus(
        [talk("p", "r"), talk("q", "r"), talk("P", "R!"), talk("p", "s"), talk("q", "r"), talk("s", "t")]
    )
    assert pairs(build([corpus], tokenizer, tmp_path), tokenizer) == [
        (["p"], "r"),
        (["q"], "r"),
        (["p"], "s"),
        (["s"], "t"),
    ]


def arrays_of(dataset: Dataset) -> list[list[Any]]:
    return [dataset.tokens.tolist(), dataset.turns.tolist(), dataset.exchanges.tolist()]


def test_batches_never_change_the_arrays(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = MadeCorpus([talk(f"a{number}", f"b{number}", f"c{number}") for number in range(20)])
    at_once = build([corpus], tokenizer, tmp_path / "at once")
    monkeypatch.setattr(dataset_module, "_BATCH_TURNS", 1)
    one_by_one = build([corpus], tokenizer, tmp_path / "one by one")
    assert arrays_of(one_by_one) == arrays_of(at_once)


def test_corpus_named_twice_weighs_twice_and_is_read_once(tokenizer: Tokenizer, tmp_path: Path) -> None:
    once, twice = MadeCorpus([talk("a", "b")], "once"), MadeCorpus([talk("c", "d"), talk("e", "f")], "twice")
    dataset = build([twice, once, twice], tokenizer, tmp_path)
    assert [response for _, response in pairs(dataset, tokenizer)] == ["d", "d", "f", "f", "b"]
    assert dataset.report.kept == {"twice": 2, "once": 1}
    assert twice.readings == 1


def test_splits_share_no_dialogue_and_lose_none(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk(f"p {n}", f"r {n}", dialogue_id=str(n)) for n in range(60)])
    responses = {
        split: {r for _, r in pairs(build([corpus], tokenizer, tmp_path, held_out_share=0.3, split=split), tokenizer)}
        for split in ("train", "valid", "all")
    }
    assert responses["valid"] == {f"r {n}" for n in range(60) if is_held_out(f"made/{n}", 0.3)}
    assert responses["train"] == responses["all"] - responses["valid"]
    assert len(responses["all"]) == 60


def test_tokenizer_never_sees_held_out_text() -> None:
    corpus = MadeCorpus([talk(f"p {n}", f"r {n}", dialogue_id=str(n)) for n in range(60)])
    expected = [text for n in range(60) if not is_held_out(f"made/{n}", 0.3) for text in (f"p {n}", f"r {n}")]
    assert list(iter_texts([corpus, corpus], 0.3)) == expected * 2


def test_second_build_comes_from_the_cache(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk("a", "b"), talk("A", "B")])
    built = build([corpus], tokenizer, tmp_path)
    cached = build([corpus], tokenizer, tmp_path)
    assert corpus.readings == 1
    assert arrays_of(cached) == arrays_of(built)
    assert cached.report.as_text() == built.report.as_text()
    assert built.report.examples == {"drop_repeated_pairs": ("A", "B")}
    assert cached.report.examples == {}


def test_cache_holds_one_dataset_for_each_setting(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk("a", "b", "c", dialogue_id="4"), talk("d", "e")])
    build([corpus], tokenizer, tmp_path)
    build([corpus, corpus], tokenizer, tmp_path)
    build([corpus], tokenizer, tmp_path, context_turns=1)
    build([corpus], tokenizer, tmp_path, CleaningConfig(drop_profanity=False))
    build([corpus], tokenizer, tmp_path, held_out_share=0.001)
    build([corpus], train_tokenizer(["abc"], 264), tmp_path)
    assert len(list((tmp_path / "cache").iterdir())) == 6


@pytest.mark.parametrize("name", ["tokens.bin", "turns.bin", "exchanges.bin", "dataset.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_cache_is_rebuilt(tokenizer: Tokenizer, tmp_path: Path, name: str, damage: str) -> None:
    corpus = MadeCorpus([talk("a", "b")])
    whole = build([corpus], tokenizer, tmp_path)
    content_before = arrays_of(whole)
    path = whole.path / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-2])
    elif damage == "flip":
        content[0] ^= 255
        path.write_bytes(content)
    with pytest.raises(CorpusError, match="not a whole dataset"):
        Dataset(whole.path)
    assert arrays_of(build([corpus], tokenizer, tmp_path)) == content_before
    assert corpus.readings == 2


def test_failed_build_leaves_nothing_behind(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("a\tb\nbroken\n")
    with pytest.raises(CorpusError, match="line 2"):
        build([FileCorpus(path)], tokenizer, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_skipped_bad_lines_stand_in_the_report(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("a\tb\nbroken\n")
    assert build([FileCorpus(path, skip_bad_lines=True)], tokenizer, tmp_path).report.bad_lines == 1


def test_nothing_left_is_an_error_that_says_why(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus([talk("http://example.org", "b")])
    with pytest.raises(CorpusError, match=r"(?s)no exchange is left of made \(train\):.*1 dropped: a link"):
        build([corpus], tokenizer, tmp_path)
    with pytest.raises(CorpusError, match=r"no exchange is left of made \(valid\)"):
        build([corpus], tokenizer, tmp_path, split="valid")


def test_large_vocabulary_takes_wider_tokens(tmp_path: Path) -> None:
    class WideTokenizer(Tokenizer):
        vocab_size = 70_000

        def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
            return [[65_536 + len(text)] for text in texts]

    wide = WideTokenizer.__new__(WideTokenizer)
    wide._bpe = train_tokenizer(["a"], 264)._bpe
    dataset = build([MadeCorpus([talk("a", "bb")])], wide, tmp_path)
    assert dataset.tokens.dtype == np.uint32
    assert dataset.tokens.tolist()[-2:] == [65_537, 65_538]


def test_survey_reports_as_the_build_does_with_examples(tokenizer: Tokenizer, tmp_path: Path) -> None:
    corpus = MadeCorpus(
        [talk("a", "b", "http://example.org"), talk("A", "B!"), talk("c", "b"), talk("d", "b", "e")],
    )
    cleaning = CleaningConfig(drop_profanity=False, max_pairs_per_response=2)
    report = survey([corpus], cleaning, held_out_share=0.0)
    assert report.as_dict() == build([corpus], tokenizer, tmp_path, cleaning).report.as_dict()
    assert report.dropped == {"drop_links": 1, "drop_repeated_pairs": 1, "max_pairs_per_response": 1}
    assert report.examples["drop_links"] == ("b", "http://example.org")
    assert report.examples["drop_repeated_pairs"] == ("A", "B!")
    assert report.examples["max_pairs_per_response"][1] == "b"


def test_header_says_how_the_dataset_was_made(tokenizer: Tokenizer, tmp_path: Path) -> None:
    dataset = build([MadeCorpus([talk("a", "b")])], tokenizer, tmp_path)
    key = json.loads((dataset.path / "dataset.json").read_text())["key"]
    assert key["corpora"] == [["digest of made", 1]]
    assert key["tokenizer"] == tokenizer.digest

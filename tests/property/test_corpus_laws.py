"""Laws of reading and cleaning that hold for any text at all."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seq2seq.cleaning import distinct_rows, text_key
from seq2seq.config import CleaningConfig
from seq2seq.dialogues import Dialogue, fold_blanks, is_held_out, make_dialogue
from seq2seq.errors import CorpusError
from seq2seq.lines import BadLines
from seq2seq.readers import (
    read_csv,
    read_gzipped,
    read_jsonl,
    read_tsv,
    read_txt,
    read_zip,
)
from seq2seq.words import count_words

READERS = (read_jsonl, read_tsv, read_csv, read_txt, read_zip, read_gzipped(read_jsonl))
messages = st.lists(st.tuples(st.sampled_from("AB"), st.text()), max_size=8)
unhurried = settings(deadline=None, max_examples=60)  # a busy machine is no failure
key_lists = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40)


def is_well_formed(dialogue: Dialogue) -> bool:
    turns = dialogue.turns
    alternate = all(a.speaker != b.speaker for a, b in pairwise(turns))
    return len(turns) >= 2 and alternate and all(turn.text and fold_blanks(turn.text) == turn.text for turn in turns)


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", content)
    return packed.getvalue()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["turns", "speaker", "text"]), inner),
    max_leaves=10,
)
hostile_bytes = st.one_of(
    st.binary(max_size=300),
    st.text(alphabet='",\t\n\r\\x{}[]:\x00', max_size=60).map(str.encode),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["id", "source", "turns", "persona"]), json_values).map(
        lambda value: json.dumps(value).encode()
    ),
)


@unhurried
@given(hostile_bytes)
@example(b'"' + b"x" * 200_000)
@example(b'{"turns": [{"speaker": "A", "text": "\\ud800"}, {"speaker": "B", "text": "b"}]}')
def test_any_bytes_give_dialogues_or_a_corpus_error(content: bytes) -> None:
    for read in READERS:
        for form in (content, gzip.compress(content), zipped(content)):
            for bad in (BadLines(), BadLines(skip=True)):
                try:
                    dialogues = list(read(io.BytesIO(form), "c", bad))
                except CorpusError:
                    continue
                assert all(map(is_well_formed, dialogues))
                for dialogue in dialogues:
                    is_held_out(dialogue.key, 0.5)


@unhurried
@given(messages)
def test_dialogue_keeps_every_word_in_order(said: list[tuple[str, str]]) -> None:
    dialogue = make_dialogue(said)
    if dialogue is None:
        assert len({speaker for speaker, text in said if text.strip()}) < 2
    else:
        assert is_well_formed(dialogue)
        words = [word for turn in dialogue.turns for word in turn.text.split()]
        assert words == [word for _, text in said for word in text.split()]


@unhurried
@given(messages)
def test_dialogue_survives_being_written_and_read(said: list[tuple[str, str]]) -> None:
    dialogue = make_dialogue(said, source="made", dialogue_id="1")
    if dialogue is not None:
        turns = [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns]
        line = json.dumps({"id": "1", "source": "made", "turns": turns}).encode()
        assert list(read_jsonl(io.BytesIO(line), "c", BadLines())) == [dialogue]


@unhurried
@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_larger_share_holds_out_the_same_and_more(key: str, share: float, other: float) -> None:
    smaller, larger = sorted((share, other))
    assert is_held_out(key, larger) or not is_held_out(key, smaller)


@unhurried
@given(st.text())
def test_words_are_no_more_than_characters(text: str) -> None:
    assert 0 <= count_words(text) <= len(text)


@unhurried
@given(st.text(alphabet=st.characters(codec="ascii")))
def test_case_and_blanks_never_change_the_key(text: str) -> None:
    assert text_key(text) == text_key(text.upper()) == text_key(f"  {text}! ")


@unhurried
@given(key_lists, st.integers(1, 5), st.booleans())
def test_distinct_rows_are_those_of_counting_by_hand(
    keys: list[tuple[int, int]], most: int, drop_repeated: bool
) -> None:
    config = CleaningConfig(max_pairs_per_response=most, drop_repeated_pairs=drop_repeated)
    prompts, responses = (np.array([key[side] for key in keys], dtype=np.uint64) for side in (0, 1))
    repeated, crowded = distinct_rows(prompts, responses, config)

    expected_repeated = [n for n, key in enumerate(keys) if key in keys[:n]] if drop_repeated else []
    assert repeated.tolist() == expected_repeated
    left = [n for n in range(len(keys)) if n not in expected_repeated]
    by_prompt = sorted(left, key=lambda n: (keys[n][0], n))
    said: Counter[int] = Counter()
    expected_crowded = []
    for n in by_prompt:
        said[keys[n][1]] += 1
        if said[keys[n][1]] > most:
            expected_crowded.append(n)
    assert crowded.tolist() == sorted(expected_crowded)

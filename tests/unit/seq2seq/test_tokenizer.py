from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import TokenizerError
from seq2seq.tokenizer import (
    BACKWARD,
    END,
    FORWARD,
    ME,
    PERSONA,
    SPECIAL_TOKENS,
    THEM,
    Tokenizer,
    reverse_source_ids,
    source_ids,
    target_ids,
    train_tokenizer,
)
from tests.builders import SMALL_TALK, tokenizer_for

TOKENIZER = tokenizer_for(SMALL_TALK)


@given(st.text())
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.lists(st.text(), max_size=5))
def test_a_batch_is_encoded_like_its_members(texts: list[str]) -> None:
    assert TOKENIZER.encode_batch(texts) == [TOKENIZER.encode(text) for text in texts]


@pytest.mark.parametrize("mark", SPECIAL_TOKENS)
def test_a_typed_mark_stays_text(mark: str) -> None:
    ids = TOKENIZER.encode(f"a {mark} b")
    assert min(ids) >= len(SPECIAL_TOKENS)
    assert TOKENIZER.decode(ids) == f"a {mark} b"


def test_a_lone_surrogate_is_replaced_not_refused() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("a\ud800b")) == "a?b"


def test_a_word_has_the_same_tokens_first_and_later() -> None:
    assert TOKENIZER.encode("Tea tea") == TOKENIZER.encode("Tea") * 2
    assert TOKENIZER.encode("Tea? Tea")[-2:] == TOKENIZER.encode("Tea")
    assert TOKENIZER.encode_inside("tea") == TOKENIZER.encode("Tea")


def test_pieces_are_what_goes_on_with_a_word_or_a_character() -> None:
    tokenizer = tokenizer_for(SMALL_TALK)
    pieces = tokenizer.pieces()
    assert len(pieces) == tokenizer.vocab_size
    assert not pieces[0]  # a control mark
    rest = tokenizer.encode("Qzx")[1:]
    assert [pieces[token] for token in rest] == [True] * len(rest)
    assert not pieces[tokenizer.encode("Tea")[0]]
    assert not any(pieces[token] for token in tokenizer.encode("? 1!"))
    assert pieces[tokenizer.encode("\u4f60")[-1]]


def test_a_saved_tokenizer_is_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    TOKENIZER.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.digest == TOKENIZER.digest
    assert loaded.encode("Hello there.") == TOKENIZER.encode("Hello there.")


@pytest.mark.parametrize("content", ["", "{}", "[1, 2", '{"model": 3}', "\x00"])
def test_a_damaged_file_is_refused_by_name(tmp_path, content: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer.load(path)


def test_a_vocabulary_too_small_for_all_bytes_is_refused() -> None:
    with pytest.raises(TokenizerError, match="at least 264"):
        train_tokenizer(["a"], 100)


def test_the_source_marks_who_spoke_with_the_newest_turn_last() -> None:
    assert source_ids([[20], [21, 22], [23]], 80) == [FORWARD, THEM, 20, ME, 21, 22, THEM, 23]


def test_persona_lines_stand_in_front() -> None:
    assert source_ids([[20]], 80, [[30, 31]]) == [FORWARD, PERSONA, 30, 31, THEM, 20]


def test_the_oldest_turns_are_dropped_first() -> None:
    assert source_ids([[20, 21, 22], [23]], 4) == [FORWARD, THEM, 23]


def test_of_a_turn_too_long_the_newest_tokens_stay() -> None:
    assert source_ids([[20, 21, 22, 23]], 4) == [FORWARD, THEM, 22, 23]


@given(
    st.lists(st.lists(st.integers(8, 300), min_size=1, max_size=30), min_size=1, max_size=5),
    st.lists(st.lists(st.integers(8, 300), max_size=10), max_size=3),
    st.integers(4, 60),
)
def test_the_source_never_outgrows_its_room(context: list[list[int]], persona: list[list[int]], room: int) -> None:
    ids = source_ids(context, room, persona)
    assert len(ids) <= room
    newest = ids[len(ids) - ids[::-1].index(THEM) :]
    assert newest == context[-1][len(context[-1]) - len(newest) :]


def test_the_reverse_source_asks_what_a_response_answers() -> None:
    assert reverse_source_ids([20, 21, 22], 4) == [BACKWARD, ME, 20, 21]


def test_a_target_ends_with_the_end_mark_unless_it_is_cut() -> None:
    assert target_ids([20, 21]) == [20, 21, END]
    assert target_ids([20, 21], 3) == [20, 21, END]
    assert target_ids([20, 21], 2) == [20, 21]

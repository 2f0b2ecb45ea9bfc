from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.sentence_case import SMALL, fold, unfold

TRICKY = st.sampled_from(list(f"aAiI.!? {SMALL}ßİıǅﬁ好"))


@given(st.text(st.one_of(TRICKY, st.characters())))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert unfold(fold(" " + text)) == " " + text


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Kitchen sinks leak. Do yours? No! I see.", "kitchen sinks leak. do yours? no! i see."),
        ("A cat met Ada.", "a cat met Ada."),
        ("Élodie came. Был дождь.", "élodie came. был дождь."),
        ("WHAT? TV is on.", "WHAT? TV is on."),
        ("3 cats. 好的", "3 cats. 好的"),
    ],
)
def test_a_sentence_begins_small_inside(text: str, folded: str) -> None:
    assert fold(" " + text) == " " + folded


def test_a_sentence_that_begins_small_is_marked() -> None:
    assert fold(" i know. why") == f"{SMALL} i know.{SMALL} why"


def test_a_mark_that_somebody_typed_stays() -> None:
    text = f" {SMALL} a.{SMALL} B.{SMALL}{SMALL} c"
    assert unfold(fold(text)) == text

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.screen import clean, clean_line, without_direction


@pytest.mark.parametrize(
    ("dirty", "shown"),
    [
        ("plain [red]text[/] :smile:", "plain [red]text[/] :smile:"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("a\x00b\x07c\x7fd", "abcd"),
        ("right\u202eto left\u2066x", "rightto leftx"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("\ud800 half", " half"),
        ("naïve 日本 🙂 שלום", "naïve 日本 🙂 שלום"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out_and_the_rest_stays(dirty: str, shown: str) -> None:
    assert clean(dirty) == shown


@given(st.text())
def test_nothing_that_moves_the_cursor_is_left_of_any_text(text: str) -> None:
    left = clean(text)
    assert not [c for c in left if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n"]
    assert clean(left) == left
    assert "\n" not in clean_line(text)


@given(st.text())
def test_a_line_being_typed_keeps_its_length_and_turns_no_direction(text: str) -> None:
    shown = without_direction(text + "\u202eevil\u200f")
    assert len(shown) == len(text) + 6
    assert not set(shown) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

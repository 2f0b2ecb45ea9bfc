from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.casual import HABITS, context_typed_casually, typed_casually


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        (
            "Hello, I'm fine. What's new?",
            ["hello, i'm fine. what's new", "hello im fine whats new", "Hello, I'm fine. What's new", None],
        ),
        ("It cost 3.50, wow!!", ["it cost 3.50, wow", "it cost 3.50 wow", "It cost 3.50, wow", None]),
        ("你好。吃了吗？", ["你好。吃了吗", "你好。吃了吗", "你好。吃了吗", None]),
        ("?!", ["?!", "?!", "?!", None]),
    ],
)
def test_each_habit_leaves_something_out(written: str, typed: list[str | None]) -> None:
    typed[3] = written.lower()
    assert [typed_casually(written, habit) for habit in range(HABITS)] == typed


@given(st.text(min_size=1).filter(str.strip), st.integers(0, HABITS - 1))
def test_letters_stay_and_something_is_always_left(written: str, habit: int) -> None:
    typed = typed_casually(written, habit)
    assert typed.strip()
    assert [c for c in typed.lower() if c.isalnum()] == [c for c in written.lower() if c.isalnum()]


def test_only_the_other_one_types_casually() -> None:
    context = ("Are you there?", "Yes, I am.", "Good!")
    assert context_typed_casually(context, 0) == ("are you there", "Yes, I am.", "good")
    assert context_typed_casually(context[1:], 0) == ("Yes, I am.", "good")
    assert context_typed_casually((), 0) == ()

"""Laws of scrubbing, for any text."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.scrubbing import Scrubber, ScrubbingConfig

SCRUBBER = Scrubber(ScrubbingConfig())
WORDS = st.lists(st.text(string.ascii_letters + "éüß你好", min_size=1, max_size=12), min_size=1, max_size=12).map(
    " ".join
)
DATA = st.sampled_from(
    [
        "ada@example.org",
        "+44 20 7946 0958",
        "4111 1111 1111 1111",
        "DE89370400440532013000",
        "10.20.30.40",
        "https://u:p@example.org/",
        "https://example.org/?token=abc",
        "@kim_b",
    ]
)
PIECES = st.one_of(WORDS, DATA, st.text("0123456789 +-.:@/()", max_size=30), st.text(max_size=20))
TEXTS = st.lists(PIECES, max_size=6).map(" ".join)


@given(TEXTS)
@settings(deadline=None, max_examples=200)
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    once = SCRUBBER.scrub(text)
    again = SCRUBBER.scrub(once.text)
    assert (again.text, again.found) == (once.text, {})


@given(WORDS)
@settings(deadline=None)
def test_words_alone_are_never_touched(text: str) -> None:
    assert SCRUBBER.scrub(text) == (text, {}, 0)


@given(WORDS, DATA, WORDS)
@settings(deadline=None)
def test_personal_data_between_words_is_always_found(before: str, data: str, after: str) -> None:
    result = SCRUBBER.scrub(f"{before}, {data} , {after}")
    assert data not in result.text
    assert result.found.total() == 1


@given(TEXTS, st.lists(TEXTS, max_size=4))
@settings(deadline=None, max_examples=100)
def test_what_may_be_learned_has_no_personal_data_and_no_placeholder(response: str, context: list[str]) -> None:
    result = SCRUBBER.scrub_exchange(context, response)
    if result.objection is None:
        for turn in (*result.context, result.response):
            assert SCRUBBER.scrub(turn).found == {}
    assert len(result.context) <= len(context)

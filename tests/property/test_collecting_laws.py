from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from seq2seq.config import RetrainingConfig
from seq2seq.learning.collecting import collect, parts_of
from tests.builders import KEEP_ALL
from tests.learners import Said

_said = st.builds(
    Said,
    conversation=st.sampled_from(["a", "b", "telegram:1"]),
    context=st.tuples(st.sampled_from(["hello", "how are you", "the long way home is the best one"])),
    response=st.sampled_from(["fine", "yes", "the long way home is the best one", "I walked all of the way back"]),
    turn_id=st.integers(1, 5000),
    is_rejected=st.booleans(),
)


@given(st.lists(_said, max_size=60), st.lists(_said, max_size=20))
def test_what_is_said_later_moves_nothing_that_was_said_before(before: list[Said], later: list[Said]) -> None:
    later = [replace(said, turn_id=said.turn_id + 5000) for said in later]
    assert parts_of([*before, *later], 0.4)[: len(before)] == parts_of(before, 0.4)


@given(st.lists(_said, max_size=60), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_a_larger_share_holds_out_the_same_and_more(said: list[Said], one: float, other: float) -> None:
    less, more = sorted((one, other))
    for small, large in zip(parts_of(said, less), parts_of(said, more), strict=True):
        assert small in ("train", large)


@given(st.lists(_said, max_size=60))
def test_nothing_that_trains_holds_a_long_response_that_is_held_out(said: list[Said]) -> None:
    found = collect(said, RetrainingConfig(held_out_share=0.4), KEEP_ALL)
    secret = {e.response for e in (*found.judge, *found.choose) if len(e.response.split()) >= 5}
    assert not any(text in secret for e in found.train for text in (*e.context, e.response))
    assert not any(e.is_rejected for e in (*found.judge, *found.choose))


def test_an_endless_chat_is_neither_held_out_whole_nor_not_at_all() -> None:
    said = [Said("telegram:1", ("hello",), "hello", turn) for turn in range(1, 8000, 2)]
    parts = parts_of(said, 0.2)
    assert {"train", "choose", "judge"} == set(parts)
    assert 0.05 < parts.count("train") / len(parts) < 0.95


def test_a_few_hundred_exchanges_of_one_chat_leave_some_to_judge_and_to_choose_by() -> None:
    chats = [
        [Said("telegram:1", ("hello",), "hello", first + turn) for turn in range(300)]
        for first in range(1, 9000, 300)
    ]
    parts = [parts_of(said, RetrainingConfig.held_out_share) for said in chats]
    assert [min(found.count("judge"), found.count("choose")) for found in parts if len(set(found)) < 3] == []
    held_out = sum(part != "train" for found in parts for part in found)
    assert 0.1 < held_out / 9000 < 0.2

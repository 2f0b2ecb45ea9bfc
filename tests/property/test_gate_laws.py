from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import TrainingError
from seq2seq.learning.gate import GateConfig, Measurements, judge

_bits = st.floats(0.5, 8.0)
_share = st.floats(0.0, 1.0)


@st.composite
def measurements(draw: st.DrawFn) -> Measurements:
    return Measurements(
        learned_bits=draw(_bits),
        base_bits=draw(_bits),
        loop_share=draw(_share),
        commonest_share=draw(_share),
        blocked_replies=draw(st.integers(0, 50)),
        mean_words=draw(st.floats(1.0, 30.0)),
        people_loops=draw(_share),
        people_commonest=draw(_share),
        people_words=draw(st.floats(1.0, 30.0)),
        canaries=0,
        ms_per_token=draw(st.floats(0.01, 10.0)),
    )


GOOD = Measurements(2.0, 1.8, 0.01, 0.2, 0, 8.0, 0.0, 0.1, 9.0, 0, 0.5)
BETTER = replace(GOOD, learned_bits=1.9)


@given(measurements())
def test_a_model_never_beats_itself(model: Measurements) -> None:
    verdict = judge(model, model, GateConfig())
    assert [reason.split(",")[0] for reason in verdict.reasons()] == ["held-out learned exchanges"]


@given(measurements(), measurements())
def test_a_looser_gate_lets_through_what_a_stricter_one_does(before: Measurements, after: Measurements) -> None:
    loose = GateConfig(0.0, 0.5, 0.5, 0.5, 10, 4.0, 10.0, 1)
    if judge(before, after, GateConfig()).is_passed:
        assert judge(before, after, loose).is_passed


@given(measurements(), measurements(), st.floats(0.0, 0.4))
def test_what_is_better_still_passes_where_the_worse_did(
    before: Measurements, after: Measurements, less: float
) -> None:
    better = replace(after, learned_bits=after.learned_bits - less, loop_share=after.loop_share * (1 - less))
    if judge(before, after, GateConfig()).is_passed:
        assert judge(before, better, GateConfig()).is_passed


@given(measurements(), measurements())
def test_there_is_a_reason_for_each_check_that_failed_and_for_no_other(
    before: Measurements, after: Measurements
) -> None:
    verdict = judge(before, after, GateConfig())
    assert verdict.is_passed == (not verdict.reasons())
    assert len(verdict.reasons()) == sum(row[-1] == "refused" for row in verdict.rows())


def test_a_better_model_passes() -> None:
    assert judge(GOOD, BETTER, GateConfig()).is_passed


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        (
            {"learned_bits": 1.99},
            "held-out learned exchanges, bits a byte: 1.9900, must be at most 1.9800 (was 2.0000)",
        ),
        ({"base_bits": 1.83}, "held-out base corpus, bits a byte: 1.8300, must be at most 1.8180 (was 1.8000)"),
        ({"loop_share": 0.05}, "replies with a loop: 5.0%, must be at most 4.0% (was 1.0%)"),
        ({"commonest_share": 0.5}, "replies among the ten commonest: 50.0%, must be at most 30.0% (was 20.0%)"),
        ({"blocked_replies": 1}, "replies with a blocked word: 1, must be at most 0 (was 0)"),
        ({"mean_words": 3.0}, "words a reply: 3.0, must be 5.0 to 14.4 (was 8.0)"),
        ({"canaries": 1}, "canaries drawn out: 1, must be at most 0 (was 0)"),
        ({"ms_per_token": 0.8}, "latency, ms a token: 0.80, must be at most 0.75 (was 0.50)"),
    ],
)
def test_each_measure_alone_can_refuse_a_model(worse: dict[str, float], reason: str) -> None:
    assert judge(GOOD, replace(BETTER, **worse), GateConfig()).reasons() == [reason]  # type: ignore[arg-type]


def test_who_talks_like_people_is_not_bland_however_often_they_say_the_same() -> None:
    said = replace(BETTER, commonest_share=0.5, loop_share=0.1)
    people = replace(GOOD, people_commonest=0.45, people_loops=0.08)
    assert judge(people, said, GateConfig()).is_passed
    assert not judge(people, replace(said, commonest_share=0.56), GateConfig()).is_passed
    assert not judge(people, replace(said, loop_share=0.12), GateConfig()).is_passed


def test_a_measure_that_is_no_number_is_refused() -> None:
    assert not judge(GOOD, replace(BETTER, learned_bits=float("nan")), GateConfig()).is_passed


def test_nothing_is_asked_of_a_base_corpus_that_is_not_there() -> None:
    verdict = judge(replace(GOOD, base_bits=None), replace(BETTER, base_bits=None), GateConfig())
    assert verdict.is_passed
    assert not any("base" in check.name for check in verdict.checks)


def test_a_bound_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"gate.length_ratio must be between 1 and 100, got 0.5"):
        GateConfig(length_ratio=0.5)

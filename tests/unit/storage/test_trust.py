"""Whom to learn from: what is capped, who waits, and that each verdict says why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import StorageError
from storage.records import LoggedExchange, Origin
from storage.trust import Trust, TrustConfig, Verdict

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = TrustConfig(new_exchanges=0, new_days=0, max_bad_share=1.0, max_slogan_share=1.0, max_share=1.0)
SLOGAN = "Buy the golden turnip today!"


TALK = (
    "I was at the lake this morning.",
    "Nobody answered the phone, so we left.",
    "It rained the whole way home.",
    "My sister bakes better bread than the shop.",
    "Could you bring the ladder back on Sunday?",
    "The train was late again, of course.",
    "We painted the fence green in the end.",
    "That film made me cry twice.",
    "Too much garlic, if you ask me.",
    "I start work at seven tomorrow.",
)


def said(
    person: str, *responses: str, hours: float = 24, origin: Origin = "person", first: int = 1
) -> list[LoggedExchange]:
    """Return responses of one person, some hours apart."""
    return [
        LoggedExchange(person, ("hello",), text, origin, first + n, person, NOON + timedelta(hours=n * hours))
        for n, text in enumerate(responses)
    ]


def different(count: int) -> list[str]:
    """Return sentences that have nothing in common."""
    pairs = [(first, second) for first in "bcdfghklmn" for second in "aeiou"][:count]
    return [f"{a}{e}lom {e}{a}mir {a}{e}tak suppers" for a, e in pairs]


def judge(
    exchanges: Iterable[LoggedExchange], config: TrustConfig = KNOWN, standings: dict[str, bool] | None = None
) -> list[Verdict]:
    everything = list(exchanges)
    trust = Trust(
        config,
        lambda person: person.startswith(("terminal:", "import:")),
        standings or {},
        lambda text: "damn" in text,
    )
    trust.survey(everything)
    return [verdict for _, verdict in trust.judge(everything)]


def reasons(verdicts: list[Verdict]) -> list[str]:
    return [verdict.reason for verdict in verdicts if not verdict.is_trusted]


def test_the_owner_and_what_they_imported_is_always_trusted() -> None:
    everything = [
        *said("terminal:ada", *[SLOGAN] * 50, hours=0),
        *said("import:telegram/Kim", *[SLOGAN] * 50, hours=0),
        *said("telegram:7", "hello"),
    ]
    verdicts = judge(everything, TrustConfig())
    assert set(verdicts[:100]) == {Verdict(True, "your own"), Verdict(True, "imported by you")}
    assert verdicts[100] == Verdict(False, "telegram:7 is new (1 exchange on 1 day); waits until you have looked")


def test_whoever_is_alone_with_the_bot_is_not_quarantined() -> None:
    assert reasons(judge(said("telegram:7", "hello"), TrustConfig())) == []


def test_people_are_new_until_they_have_said_enough_on_enough_days() -> None:
    config = TrustConfig(new_exchanges=5, new_days=3, max_share=1.0)
    ada = said("terminal:ada", "hello")
    assert len(reasons(judge([*ada, *said("telegram:7", *different(5), hours=24)], config))) == 0
    assert len(reasons(judge([*ada, *said("telegram:7", *different(5), hours=0)], config))) == 5
    assert len(reasons(judge([*ada, *said("telegram:7", *different(4), hours=24)], config))) == 4
    trusting = TrustConfig(quarantine=False, max_share=1.0)
    assert reasons(judge([*ada, *said("telegram:7", *different(4), hours=0)], trusting)) == []


def test_what_the_owner_decided_about_a_person_holds() -> None:
    everything = [*said("telegram:7", *[SLOGAN] * 9), *said("telegram:8", "good morning", "how was your day")]
    verdicts = judge(everything, TrustConfig(), {"telegram:7": True, "telegram:8": False})
    assert verdicts[:9] == [Verdict(True, "you trust telegram:7")] * 9
    assert verdicts[9:] == [Verdict(False, "you block telegram:8")] * 2


def test_the_same_sentence_of_one_person_is_capped_however_it_is_dressed_up() -> None:
    dressed = ["Buy the golden turnip today!", "buy the GOLDEN turnip today 17", "Buuuy the golden turnip today"]
    inside = [f"{text}. {SLOGAN}" for text in different(2)]
    verdicts = judge(said("telegram:7", *dressed, *inside, "something else entirely"))
    assert [verdict.is_trusted for verdict in verdicts] == [True, True, True, False, False, True]
    assert reasons(verdicts)[0] == "telegram:7 says the same 5 times; 3 are learned"


def test_short_replies_may_be_said_more_often() -> None:
    verdicts = judge(said("telegram:7", *["ok"] * 31))
    assert [verdict.is_trusted for verdict in verdicts] == [True] * 30 + [False]


def test_a_campaign_of_many_people_is_capped() -> None:
    everything = [exchange for n in range(20) for exchange in said(f"telegram:{n}", SLOGAN)]
    verdicts = judge(everything)
    assert sum(verdict.is_trusted for verdict in verdicts) == 10
    assert set(reasons(verdicts)) == {"said 20 times by 20 people; 10 are learned"}


def test_a_flood_is_capped() -> None:
    config = TrustConfig(new_exchanges=0, new_days=0, max_bad_share=1.0, max_share=1.0, max_per_hour=4)
    verdicts = judge(said("telegram:7", *different(10), hours=0), config)
    assert [verdict.is_trusted for verdict in verdicts] == [True] * 4 + [False] * 6
    assert set(reasons(verdicts)) == {"one of 10 of telegram:7 in one hour; 4 are learned"}
    assert reasons(judge(said("telegram:7", *different(10), hours=1), config)) == []


def test_nobody_is_most_of_what_is_learned_among_more_than_two() -> None:
    config = TrustConfig(new_exchanges=0, new_days=0, max_share=0.5)
    crowd = [*said("telegram:1", *different(5), first=100), *said("telegram:2", *different(5)[::-1], first=200)]
    loud = said("telegram:3", *[f"{text} {place}" for text in different(50) for place in ("rome", "oslo")])
    verdicts = judge([*crowd, *loud], config)
    assert all(verdict.is_trusted for verdict in verdicts[:10])
    assert 3 <= sum(verdict.is_trusted for verdict in verdicts[10:]) <= 20
    assert set(reasons(verdicts)) == {"telegram:3 has more than 50% of all exchanges; 10% of theirs are learned"}
    assert reasons(judge([*crowd[:5], *loud], config)) == []


@pytest.mark.parametrize("bad", ["damn you and all of yours, number {}", SLOGAN])
def test_who_mostly_swears_or_copies_waits_whatever_their_age(bad: str) -> None:
    kind = different(12)
    mixed = [text for pair in zip(kind, [bad.format(n) for n in "abcdefghijkl"], strict=True) for text in pair]
    config = TrustConfig(new_exchanges=0, new_days=0, max_share=1.0, max_same_of_person=1)
    verdicts = judge([*said("telegram:7", *mixed), *said("telegram:8", *kind[::-1])], config)
    assert not any(verdict.is_trusted for verdict in verdicts[:24])
    assert reasons(verdicts)[0].startswith("telegram:7 has low trust: 1")
    assert all(verdict.is_trusted for verdict in verdicts[24:])


def test_the_bots_own_words_do_not_count_as_copies_of_whoever_rated_them() -> None:
    verdicts = judge(said("telegram:7", *[SLOGAN] * 20, origin="rated"), TrustConfig(max_share=1.0))
    assert reasons(verdicts) == []


@pytest.mark.parametrize(
    ("name", "value"), [("max_share", 0.0), ("max_bad_share", 1.5), ("new_days", -1), ("max_same", 0)]
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(StorageError, match=f"trust.{name} must be"):
        TrustConfig(**{name: value})  # type: ignore[arg-type]


def test_who_says_one_thing_in_words_that_differ_waits() -> None:
    start = ("Hear me:", "Oh,", "Friends,", "Listen, you all:", "Believe me,")
    end = ("now", "at last", "please", "this week", "tomorrow", "or never")
    campaign = [f"{first} buy golden turnips {last}!" for first in start for last in end]
    verdicts = judge([*said("telegram:1", *campaign), *said("telegram:2", *TALK)], TrustConfig(new_exchanges=0))
    assert set(reasons(verdicts[: len(campaign)])) == {
        "telegram:1 has low trust: says the same in 100% of all messages; waits until you have looked"
    }
    assert reasons(verdicts[len(campaign) :]) == []


def test_a_slogan_now_and_then_is_no_campaign() -> None:
    seldom = [*TALK, *[f"{word} buy golden turnips" for word in ("Now", "Oh")]]
    assert reasons(judge(said("telegram:1", *seldom), TrustConfig(new_exchanges=0))) == []

"""Laws of trust, for any crowd."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from storage.records import LoggedExchange
from storage.trust import Trust, TrustConfig

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEOPLE = st.sampled_from(["terminal:ada", "telegram:1", "telegram:2", "telegram:3"])
TEXTS = st.sampled_from(["ok", "the kettle is on the stove", "rain again, bring an umbrella", "good morning"])
CROWDS = st.lists(st.tuples(PEOPLE, TEXTS, st.integers(0, 100)), max_size=60).map(
    lambda drawn: [
        LoggedExchange("c", ("hello",), text, "person", number, person, NOON + timedelta(hours=hour))
        for number, (person, text, hour) in enumerate(drawn)
    ]
)
CONFIGS = st.builds(
    TrustConfig,
    quarantine=st.booleans(),
    new_exchanges=st.integers(0, 10),
    new_days=st.integers(0, 3),
    max_bad_share=st.floats(0.1, 1.0),
    max_same_of_person=st.integers(1, 4),
    max_same=st.integers(1, 6),
    max_per_hour=st.integers(1, 5),
    max_share=st.floats(0.1, 1.0),
)
STANDINGS = st.dictionaries(PEOPLE, st.booleans())


def judge(crowd: list[LoggedExchange], config: TrustConfig, standings: dict[str, bool]) -> list[tuple[bool, str]]:
    trust = Trust(config, lambda person: person.startswith("terminal:"), standings, lambda _: False)
    trust.survey(crowd)
    return [tuple(verdict) for _, verdict in trust.judge(crowd)]


@given(CROWDS, CONFIGS, STANDINGS)
def test_no_cap_is_exceeded_and_every_verdict_has_a_reason(
    crowd: list[LoggedExchange], config: TrustConfig, standings: dict[str, bool]
) -> None:
    verdicts = judge(crowd, config, standings)
    assert len(verdicts) == len(crowd)
    assert all(reason for _, reason in verdicts)
    learned = [
        exchange
        for exchange, (is_trusted, _) in zip(crowd, verdicts, strict=True)
        if is_trusted and not standings.get(exchange.person, exchange.person == "terminal:ada")
    ]
    telling = [exchange for exchange in learned if len(exchange.response) > 20]
    assert max(Counter((e.person, e.response) for e in telling).values(), default=0) <= config.max_same_of_person
    assert max(Counter(e.response for e in telling).values(), default=0) <= config.max_same
    assert max(Counter((e.person, e.created) for e in learned).values(), default=0) <= config.max_per_hour


@given(CROWDS, CONFIGS, STANDINGS)
def test_whoever_is_trusted_is_in_and_whoever_is_blocked_is_out(
    crowd: list[LoggedExchange], config: TrustConfig, standings: dict[str, bool]
) -> None:
    for exchange, (is_trusted, _) in zip(crowd, judge(crowd, config, standings), strict=True):
        if exchange.person in standings:
            assert is_trusted is standings[exchange.person]
        elif exchange.person == "terminal:ada":
            assert is_trusted


@given(CROWDS, CONFIGS)
def test_the_same_memory_gets_the_same_verdicts(crowd: list[LoggedExchange], config: TrustConfig) -> None:
    assert judge(crowd, config, {}) == judge(crowd, config, {})

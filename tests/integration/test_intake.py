"""What would be learned: the memory through trust, scrubbing, cleaning and the owner's decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.intake import IntakeReport, Judged, exchanges_to_learn, judge_exchanges
from bot.settings import Settings
from scripts.corpora import open_corpus
from storage.store import ConversationStore, StorageConfig
from tests.talk import ADA, BOB, record, say

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def willing(store: ConversationStore) -> ConversationStore:
    for person in (ADA, BOB):
        store.people.set_consent(person, True)
    return store


def judged(store: ConversationStore, settings: Settings) -> dict[str, Judged]:
    return {one.exchange.response: one for one in judge_exchanges(store, settings)}


def reasons(store: ConversationStore, settings: Settings) -> dict[str, tuple[bool, str]]:
    return {response: (one.is_in, one.reason) for response, one in judged(store, settings).items()}


def test_each_exchange_is_in_or_out_for_a_reason(willing: ConversationStore, settings: Settings) -> None:
    say(willing, "hello", "hi", "good day to you", "yes", "mail me at ada@example.org", "sure", "well, shit")
    say(willing, "hi", "hello", "who are you", conversation="bob/1", person=BOB)
    assert reasons(willing, settings) == {
        "good day to you": (True, "your own"),
        "mail me at ada@example.org": (False, "the response has an e-mail address"),
        "well, shit": (False, "profanity (cleaning.drop_profanity)"),
        "who are you": (False, f"{BOB} is new (1 exchange on 1 day); waits until you have looked"),
    }


def test_admins_are_owners_and_so_is_whoever_is_linked_to_a_terminal(
    willing: ConversationStore, tmp_path: Path
) -> None:
    say(willing, "hi", "hello", "who are you", conversation="bob/1", person=BOB)
    say(willing, "hi", "hello", "it is me", conversation="admin/1", person="telegram:9")
    willing.people.set_consent("telegram:9", True)
    settings = Settings(home=tmp_path, telegram={"admins": (9,)})
    assert {response for response, one in judged(willing, settings).items() if one.is_in} == {"it is me"}
    willing.people.link(willing.people.new_link_code(BOB), ADA)
    assert {response for response, one in judged(willing, settings).items() if one.is_in} == {
        "it is me",
        "who are you",
    }


def test_what_the_owner_decided_comes_first_but_never_lets_personal_data_in(
    willing: ConversationStore, settings: Settings
) -> None:
    say(willing, "hello", "hi", "good day to you", "yes", "mail me at ada@example.org")
    say(willing, "hi", "hello", "who are you", "I", "what a day", conversation="bob/1", person=BOB)
    found = judged(willing, settings)
    willing.decisions.decide(found["good day to you"].exchange, False)
    willing.decisions.decide(found["mail me at ada@example.org"].exchange, True)
    willing.decisions.decide(found["who are you"].exchange, True)
    willing.decisions.decide(found["what a day"].exchange, True, "what a fine day")
    again = judged(willing, settings)
    assert {response: (one.is_in, one.reason) for response, one in again.items()} == {
        "good day to you": (False, "you rejected it"),
        "mail me at ada@example.org": (False, "the response has an e-mail address"),
        "who are you": (True, "you accepted it"),
        "what a day": (True, "you changed it"),
    }
    assert again["what a day"].learned.response == "what a fine day"
    assert all(one.is_reviewed for one in again.values())
    willing.decisions.decide(found["mail me at ada@example.org"].exchange, True, "mail me")
    assert judged(willing, settings)["mail me at ada@example.org"].learned.response == "mail me"


def test_trusting_a_person_lets_them_in_and_blocking_keeps_them_out(
    willing: ConversationStore, settings: Settings
) -> None:
    say(willing, "hello", "hi", "good day to you")
    say(willing, "hi", "hello", "who are you", conversation="bob/1", person=BOB)
    willing.decisions.set_standing(BOB, True)
    assert reasons(willing, settings)["who are you"] == (True, f"you trust {BOB}")
    willing.decisions.set_standing(BOB, False)
    assert reasons(willing, settings)["who are you"] == (False, f"you block {BOB}")


def test_a_context_is_scrubbed_and_the_words_of_those_who_are_spoken_to_go(
    willing: ConversationStore, settings: Settings
) -> None:
    say(willing, "ring +44 20 7946 0958", "I can't", "@helper so be it", "yes", "@helper good night")
    found = judged(willing, settings)["@helper good night"]
    assert found.is_in
    assert (found.learned.context, found.learned.response) == (("I can't", "so be it", "yes"), "good night")
    first = judged(willing, settings)["@helper so be it"]
    assert (first.is_in, first.learned.context, first.found) == (True, ("I can't",), {"phone": 1, "name": 1})


def test_a_rejected_reply_stays_a_rejected_example_whatever_its_words(
    willing: ConversationStore, settings: Settings
) -> None:
    _, reply = say(willing, "hello", "well, shit")
    willing.rate(reply.id, ADA, -1)
    (found,) = judge_exchanges(willing, settings)
    assert (found.is_in, found.exchange.is_rejected) == (True, True)


def test_a_campaign_of_a_crowd_is_not_learned(willing: ConversationStore, settings: Settings) -> None:
    """One troll in five, of ten people who have been here for a week."""
    for number in range(10):
        person = f"telegram:{100 + number}"
        willing.people.set_consent(person, True)
        for n in range(24):
            own = f"{chr(97 + n)}{chr(97 + number)}lom today"  # nothing that anybody says twice
            text = "the golden turnip is watching you" if number < 2 else own
            place, moment = f"{person}/1", NOON + timedelta(days=n % 7, minutes=n)
            asked = willing.add_turn(place, text, person=person, now=moment)
            willing.add_reply(asked, "I see", record(), now=moment)
    learned = [exchange.response for exchange in exchanges_to_learn(willing, settings, IntakeReport())]
    assert len(learned) == 8 * 23
    assert not any("turnip" in response for response in learned)


def test_the_report_counts_what_is_learned_reviewed_and_left_out(
    willing: ConversationStore, settings: Settings
) -> None:
    say(willing, "hello", "hi", "good day to you", "yes", "mail me at ada@example.org")
    say(willing, "hi", "hello", "who are you", conversation="bob/1", person=BOB)
    willing.decisions.decide(judged(willing, settings)["good day to you"].exchange, True)
    report = IntakeReport()
    assert len(list(exchanges_to_learn(willing, settings, report))) == 1
    assert report.as_text().splitlines() == [
        "       1 exchanges of 1 people would be learned",
        "       0 replies would be unlearned (rated bad, or retried)",
        "       1 of these were reviewed, one by one or by their person",
        "       1 are left out: they hold personal data",
        "       1 are left out: their person is not trusted, or said too much of it (`backchat review`)",
        "       1 times found: an e-mail address",
    ]


def test_a_memory_as_a_corpus_has_only_what_may_be_learned(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    store = ConversationStore(StorageConfig(sqlite_url))
    _, reply, *_ = say(store, "hello", "hi", "good day to you", "yes", "mail me at ada@example.org")
    store.rate(reply.id, ADA, -1)
    store.people.set_consent(ADA, True)
    store.close()
    corpus = open_corpus(sqlite_url)
    assert [[turn.text for turn in dialogue.turns] for dialogue in corpus] == [["hello", "hi", "good day to you"]]
    assert [dialogue.responses() for dialogue in corpus] == [[2]]

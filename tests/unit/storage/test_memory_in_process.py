"""The memory in one process's own memory: quick enough to run on every save. Both databases: tests/integration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import sqlite

from storage.database import as_json, storable
from storage.exports import as_markdown, turn_facts
from storage.records import Conversation, Turn
from storage.schema import UtcDateTime
from storage.search import _phrase, _spaced, _without_marks
from storage.store import ConversationStore, StorageConfig
from tests.talk import ADA, say, texts_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig("sqlite://"))
    yield opened
    opened.close()


def test_a_talk_off_the_record_is_a_talk(store: ConversationStore) -> None:
    turns = say(store, "green tea", "black tea", "coffee")
    assert store.recent_turns("ada/1", 9) == store.turns("ada/1") == turns
    assert texts_of(store.search("tea")) == ["black tea", "green tea"]
    store.rate(turns[1].id, ADA, 1)
    store.people.set_consent(ADA, True)
    assert [exchange.response for exchange in store.exchanges()] == ["coffee", "black tea"]
    assert store.delete_person(ADA) == 3
    assert store.counts().turns == 0
    assert store.has_traces() is False


def test_only_what_no_database_takes_is_replaced() -> None:
    assert storable("a\x00b \ud800 é 😀\n") == "a\ufffdb ? é 😀\n"


def test_json_has_no_infinities_and_only_text_for_keys() -> None:
    assert as_json({1: (math.inf, -math.inf, math.nan, 0.5), "t": "\x00", "n": None, "b": True}) == {
        "1": [None, None, None, 0.5],
        "t": "\ufffd",
        "n": None,
        "b": True,
    }


def test_a_moment_is_stored_in_utc_and_comes_back_in_utc() -> None:
    kind, dialect = UtcDateTime(), sqlite.dialect()
    tokyo = datetime(2026, 3, 1, 21, tzinfo=timezone(timedelta(hours=9)))
    assert kind.process_bind_param(tokyo, dialect) == NOON
    assert kind.process_result_value(NOON.replace(tzinfo=None), dialect) == NOON
    assert kind.process_bind_param(None, dialect) is kind.process_result_value(None, dialect) is None


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("green tea", "green tea"),
        ("绿茶", " 绿  茶 "),
        ("iPhone手机", "iPhone 手  机 "),
        ("한국", " 한  국 "),
        ("ok😀", "ok 😀 "),
        ("été чай नमस्ते", "été чай नमस्ते"),
    ],
)
def test_characters_of_scripts_without_blanks_are_words(text: str, spaced: str) -> None:
    assert _spaced(text) == spaced


@pytest.mark.parametrize(
    ("word", "bare"),
    [("(tea)", "tea"), ("tea*", "tea*"), ("*tea*", "tea*"), ("it's", "it's"), ("100%", "100"), ("?!", ""), ("*", "")],
)
def test_marks_around_a_word_are_not_looked_for(word: str, bare: str) -> None:
    assert _without_marks(word) == bare


def test_a_phrase_is_quoted_whatever_is_in_it() -> None:
    assert _phrase('a"b') == '"a b"'
    assert _phrase("te*") == '"te" *'
    assert _phrase("绿茶") == '" 绿  茶 "'


def test_facts_of_a_turn_leave_out_what_is_not_there() -> None:
    turn = Turn(1, "c", None, "person", "hello", NOON, person=ADA)
    assert turn_facts(turn) == {
        "id": 1,
        "parent": None,
        "speaker": "person",
        "person": ADA,
        "text": "hello",
        "created": "2026-03-01T12:00:00+00:00",
    }


def test_markdown_is_escaped() -> None:
    talk = Conversation("a_b", ADA, NOON, NOON, 1)
    turn = Turn(1, "a_b", None, "person", "1. *x*\n# y", NOON, person=ADA)
    assert "".join(as_markdown([(talk, [turn], [turn], {})])).splitlines()[0::4] == [
        "# a\\_b",
        "**You:** 1\\. \\*x\\*  ",
    ]

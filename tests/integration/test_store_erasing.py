"""Deleting: what goes, what stays, and that no byte of the words is left in SQLite's files."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from storage import search
from storage.records import Incoming, Outgoing
from storage.schema import TurnRow
from storage.store import ConversationStore, StorageConfig
from tests.talk import ADA, BOB, record, say, texts_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_turn_takes_its_replies_and_what_follows_moves_up(store: ConversationStore) -> None:
    first, _, third, _, fifth = say(store, "one", "two", "three", "four", "five")
    store.add_reply(third, "FOUR", record())
    store.set_head(fifth.id)
    assert store.delete_turn(third.id) == 3
    assert [(t.text, t.parent_id) for t in store.turns("ada/1")] == [("one", None), ("two", first.id), ("five", 2)]
    assert texts_of(store.recent_turns("ada/1", 9)) == ["one", "two", "five"]


def test_a_reply_goes_alone(store: ConversationStore) -> None:
    first, second, _ = say(store, "one", "two", "three")
    assert store.delete_turn(second.id) == 1
    assert [(t.text, t.parent_id) for t in store.turns("ada/1")] == [("one", None), ("three", first.id)]


def test_the_last_turn_leaves_the_one_before_as_head(store: ConversationStore) -> None:
    *_, second, third, fourth = say(store, "one", "two", "three", "four")
    store.delete_turn(third.id)
    assert store.turn(fourth.id) is None
    assert store.add_turn("ada/1", "five", person=ADA).parent_id == second.id


def test_the_first_turn_makes_the_next_the_first(store: ConversationStore) -> None:
    first, _, third = say(store, "one", "two", "three")
    store.delete_turn(first.id)
    assert [(t.id, t.parent_id) for t in store.turns("ada/1")] == [(third.id, None)]


def test_the_only_turn_takes_its_conversation_along(store: ConversationStore) -> None:
    (only,) = say(store, "one")
    assert store.delete_turn(only.id) == 1
    assert store.conversations() == []
    assert store.delete_turn(only.id) == 0


def test_a_conversation_of_thousands_of_turns_can_be_deleted(store: ConversationStore) -> None:
    """SQLite gives up where a deletion leads to more than a thousand others, one behind the other."""
    (first,) = say(store, "one")
    chain = [
        {
            "id": number,
            "conversation_id": 1,
            "parent_id": number - 1,
            "person_id": 1,
            "speaker": "person",
            "text": "x",
            "created": NOON,
        }
        for number in range(first.id + 1, first.id + 3000)
    ]
    with store._session(writes=True) as session:
        session.execute(insert(TurnRow), chain)
        search.add(session, [search.IndexedTurn(turn["id"], 1, "x") for turn in chain])
    assert store.counts().turns == 3000
    assert store.delete_conversation("ada/1") is True
    assert store.counts().turns == 0


def test_what_is_older_goes_and_the_rest_of_its_conversation_stays(store: ConversationStore) -> None:
    for day in range(4):
        store.add_turn("long", f"day {day}", person=ADA, now=NOON + timedelta(days=day))
    store.add_turn("old", "gone", person=ADA, now=NOON)
    store.add_turn("new", "kept", person=ADA, now=NOON + timedelta(days=3))
    assert store.delete_older_than(NOON + timedelta(days=2)) == 3
    assert texts_of(store.turns("long")) == ["day 2", "day 3"]
    assert texts_of(store.recent_turns("long", 9)) == ["day 2", "day 3"]
    assert sorted((c.key, c.created) for c in store.conversations()) == [
        ("long", NOON + timedelta(days=2)),
        ("new", NOON + timedelta(days=3)),
    ]
    assert store.delete_older_than(NOON) == 0


def test_a_person_goes_with_all_that_is_known_of_them(store: ConversationStore) -> None:
    mailbox = store.mailbox(1)
    question, reply = say(store, "mine", "yours", conversation="bob/1", person=BOB)
    _, adas = say(store, "ada's", "answer")
    store.rate(adas.id, BOB, -1)
    store.rate(reply.id, BOB, 1)
    store.teach(question.id, BOB, "lesson")
    store.people.set_consent(BOB, True)
    store.people.new_link_code(BOB)
    mailbox.receive([Incoming(1, "7", {"text": "waiting"}, person=BOB), Incoming(2, "8", {}, person="telegram:8")])
    mailbox.post(Outgoing(1, "7", ["on its way"], person=BOB))
    assert store.delete_person(BOB) == 2
    assert [c.key for c in store.conversations()] == ["ada/1"]
    assert store.feedback("ada/1") == {}
    assert store.people.identities(BOB) == []
    assert store.people.has_consent(BOB) is False
    assert [u.update_id for u in mailbox.waiting()] == [2]
    assert mailbox.unsent() == []
    assert store.delete_person(BOB) is None


def test_what_others_said_in_a_group_stays(store: ConversationStore) -> None:
    say(store, "bob begins", "reply to bob", conversation="group", person=BOB)
    say(store, "ada asks", "reply to ada", conversation="group")
    say(store, "bob again", "reply again", conversation="group", person=BOB)
    assert store.delete_person(BOB) == 4
    assert [(t.text, t.person) for t in store.turns("group")] == [("ada asks", ADA), ("reply to ada", ADA)]
    assert [c.person for c in store.conversations()] == [ADA]
    assert texts_of(store.recent_turns("group", 9)) == ["ada asks", "reply to ada"]


def test_a_person_is_forgotten_under_all_their_names(store: ConversationStore) -> None:
    say(store, "terminal")
    say(store, "phone", conversation="bob/1", person=BOB)
    store.people.link(store.people.new_link_code(ADA), BOB)
    assert store.delete_person(BOB) == 2
    counts = store.counts()
    assert (counts.people, counts.conversations, counts.turns) == (0, 0, 0)


# Bytes


def remains(folder: Path, *words: str) -> list[tuple[str, str]]:
    """Return which of the words are in which file of a folder, in UTF-8 or as JSON writes them."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for word in words:
            if word.encode() in content or word.encode("unicode_escape").lower() in content.lower():
                found.append((path.name, word))
    return found


@pytest.fixture
def on_disk(tmp_path: Path) -> ConversationStore:
    return ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'c.db'}"))


def test_no_word_of_a_deleted_conversation_is_left(tmp_path: Path, on_disk: ConversationStore) -> None:
    words = ("zanzibarquill", "龘靐齉", "candidateword", "settingword", "lessonword", "titleword", "updateword")
    say(on_disk, *(f"ordinary {number}" for number in range(50)), conversation="ada/2")
    turn = on_disk.add_turn("ada/1", "Zanzibarquill zanzibarquill 龘靐齉", person=ADA)
    made = record(settings={"stop": ["settingword"]}, candidates=({"text": "candidateword", "score": 1.0},))
    on_disk.add_reply(turn, "zanzibarquill!", made)
    on_disk.teach(turn.id, ADA, "lessonword")
    on_disk.rename("ada/1", "titleword")
    mailbox = on_disk.mailbox(1)
    mailbox.receive([Incoming(1, "7", {"text": "updateword"}, person=ADA)])
    mailbox.finish(1)
    assert {word for _, word in remains(tmp_path, *words)} >= {"zanzibarquill", "龘靐齉", "candidateword"}
    on_disk.delete_conversation("ada/1")
    assert remains(tmp_path, *words) == []  # while the program still has the file open
    assert on_disk.has_traces() is False
    on_disk.close()
    assert remains(tmp_path, *words) == []
    assert len(ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'c.db'}")).turns("ada/2")) == 50


@pytest.mark.parametrize("how", ["turn", "person", "older"])
def test_no_word_is_left_however_it_was_deleted(tmp_path: Path, on_disk: ConversationStore, how: str) -> None:
    turn = on_disk.add_turn("bob/1", "zanzibarquill 龘靐齉", person=BOB, now=NOON)
    on_disk.add_turn("bob/1", "ordinary", person=ADA, now=NOON + timedelta(days=2))
    if how == "turn":
        on_disk.delete_turn(turn.id)
    elif how == "person":
        on_disk.delete_person(BOB)
    else:
        on_disk.delete_older_than(NOON + timedelta(days=1))
    assert remains(tmp_path, "zanzibarquill", "龘靐齉", *([BOB] if how == "person" else [])) == []
    assert texts_of(on_disk.turns("bob/1")) == ["ordinary"]
    on_disk.close()


@pytest.mark.parametrize("seed", range(3))
def test_no_word_is_left_after_many_random_deletions(tmp_path: Path, on_disk: ConversationStore, seed: int) -> None:
    """Pages split and are filled again meanwhile, which leaves copies of rows in unused parts of pages."""
    chance = random.Random(seed)
    alive: dict[int, str] = {}
    gone: list[str] = []
    turns = 0
    for _ in range(200):
        if alive and chance.random() < 0.03:
            number = chance.choice(list(alive))
            on_disk.delete_turn(number)
            gone.append(alive.pop(number))
        else:
            turns += 1
            word = f"q{seed}w{turns:04d}z" + "x" * chance.choice([0, 5, 300, 5000])
            place = f"c{chance.randrange(9)}"
            alive[on_disk.add_turn(place, f"{word} {turns}", person=ADA, external_id=f"id-{word[:8]}").id] = word[:8]
    on_disk.delete_conversation("c1")
    here = {turn.id for conversation in on_disk.conversations() for turn in on_disk.turns(conversation.key)}
    gone += [word for number, word in alive.items() if number not in here]
    assert len(gone) > 15
    assert remains(tmp_path, *gone) == []
    on_disk.close()
    with sqlite3.connect(tmp_path / "c.db") as connection:
        connection.execute("INSERT INTO turn_words(turn_words) VALUES ('integrity-check')")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_reader_in_the_way_is_noted_and_the_next_opening_finishes(tmp_path: Path) -> None:
    config = StorageConfig(f"sqlite:///{tmp_path / 'c.db'}", busy_timeout_s=0.1)
    store = ConversationStore(config)
    say(store, "zanzibarquill", "ordinary")
    reader = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM turns").fetchone()
    assert store.delete_conversation("ada/1") is True
    assert store.turns("ada/1") == []
    assert store.has_traces() is True
    reader.execute("ROLLBACK")
    reader.close()
    another = ConversationStore(config)
    assert another.has_traces() is False
    assert remains(tmp_path, "zanzibarquill") == []
    another.close()
    store.close()

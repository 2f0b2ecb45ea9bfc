"""``backchat review`` in a pseudo-terminal: keys in, decisions in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import ConversationStore, StorageConfig
from tests.e2e.test_chat_terminal import Screen
from tests.talk import ADA, BOB, say


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'conversations.db'}"))
    say(opened, "Is the kettle on?", "It sings.", "Then [red]two[/red] cups.")
    say(opened, "hello there", "hi", "The bus was late.", conversation="bob/1", person=BOB)
    for person in (ADA, BOB):
        opened.people.set_consent(person, True)
    yield opened
    opened.close()


@pytest.fixture
def screen(store: ConversationStore, tmp_path: Path) -> Iterator[Screen]:
    opened = Screen(tmp_path, command="review")
    opened.wait_for("1 of 2 (all)")
    yield opened
    opened.process.close(force=True)


def test_keys_move_decide_and_leave(screen: Screen, store: ConversationStore) -> None:
    assert "> Then [red]two[/red] cups." in screen.text()
    screen.type("r")
    screen.wait_for("OUT: you rejected it")
    screen.type("\x1b[C")
    screen.wait_for("2 of 2 (all)")
    screen.wait_for(f"OUT: {BOB} is new")
    screen.type("a")
    screen.wait_for("IN: you accepted it")
    screen.type("q")
    assert screen.end() == 0
    assert sorted(decision.is_accepted for decision in store.decisions.all().values()) == [False, True]


def test_a_response_is_changed_in_place_and_escape_leaves_it(screen: Screen, store: ConversationStore) -> None:
    screen.type("e")
    screen.wait_for("learn instead: Then [red]two[/red] cups.")
    screen.type("\x1b")
    screen.wait_for(lambda text: "learn instead" not in text)
    screen.type("e")
    screen.wait_for("learn instead")
    screen.type("\x15Three cups.\r")
    screen.wait_for("IN: you changed it")
    screen.type("q")
    assert screen.end() == 0
    assert [decision.text for decision in store.decisions.all().values()] == ["Three cups."]


def test_search_kinds_and_people_narrow_down(screen: Screen, store: ConversationStore) -> None:
    screen.type("/")
    screen.wait_for("search:")
    screen.type("bus\r")
    screen.wait_for("1 of 1 (all), with bus")
    screen.type("t")
    screen.wait_for(f"IN: you trust {BOB}")
    screen.type("b")
    screen.wait_for(f"OUT: you block {BOB}")
    screen.type("f")
    screen.wait_for("There is nothing here.")
    screen.type("\x03")
    assert screen.end() == 0
    assert store.decisions.standings() == {BOB: False}

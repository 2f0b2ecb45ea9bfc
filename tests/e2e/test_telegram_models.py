"""A bot whose model is changed while people talk: no reply is dropped, and each is known by its model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from seq2seq.registry import Registry
from tests.e2e.bot_process import BotProcess
from tests.emulator.client import EmulatorClient, wait_for
from tests.published import publish_tiny

ADMIN, PEOPLE = 4001, list(range(5001, 5011))
SAID = "you you"  # so that the tiny models know the language, and no shipped one takes over


@pytest.fixture
def server() -> Iterator[EmulatorClient]:
    with EmulatorClient() as server:
        for person in (ADMIN, *PEOPLE):
            server.do("add_person", user=person)
        yield server


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    """Two models; the first is the current one."""
    first, second = (publish_tiny(tmp_path / "models", seed)[0] for seed in (1, 2))
    Registry(tmp_path / "models").promote(first)
    return first, second


def ask(server: EmulatorClient, text: str) -> str:
    before = len(server.texts(ADMIN))
    server.say(ADMIN, text)
    return server.wait_for_texts(before + 1, ADMIN)[before]


def models_by_conversation(path: Path) -> dict[int, list[str]]:
    """Return which models replied in each conversation, in order."""
    query = "SELECT conversation_id, model_id FROM replies JOIN turns ON turns.id = turn_id ORDER BY turn_id"
    found: dict[int, list[str]] = {}
    with closing(sqlite3.connect(path, timeout=30)) as database:
        for conversation, model in database.execute(query):
            found.setdefault(conversation, []).append(model)
    return found


def test_a_promoted_model_takes_over_and_no_reply_is_dropped(
    server: EmulatorClient, tmp_path: Path, models: tuple[str, str]
) -> None:
    first, second = models
    with BotProcess(server, tmp_path, model=None, admins=ADMIN) as bot:
        bot.start()
        server.do("say_many", said=[[person, SAID] for _ in range(4) for person in PEOPLE])
        server.wait_for_texts(5)
        Registry(tmp_path / "models").promote(second)  # as `backchat models promote` does, from another process
        wait_for(lambda: f"Model {second} replaces {first}" in bot.log(), "the other model")
        server.do("say_many", said=[[person, SAID] for _ in range(2) for person in PEOPLE])
        server.wait_for_texts(60)
        written = models_by_conversation(tmp_path / "conversations.db")
        assert [len(models) for models in written.values()] == [6] * len(PEOPLE)
        assert {model for models in written.values() for model in models} - {"policy"} == {first, second}
        for models_in_turn in written.values():
            known = [model for model in models_in_turn if model != "policy"]  # an untrained one may say nothing
            assert known == sorted(known, key=[first, second].index)
        assert ask(server, "/rollback") == f"{first} is current; {first} replies."
        assert ask(server, f"/promote {second}") == f"{second} is current; {second} replies."
        assert bot.terminate() == 0

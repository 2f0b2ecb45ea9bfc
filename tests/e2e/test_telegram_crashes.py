"""Nothing is lost and nothing recorded is doubled: kills, lost connections, a server that fails, limits."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.bot_process import BotProcess
from tests.emulator.client import EmulatorClient, wait_for

ADA = 1001
NOTED = """SELECT sent_messages.chat FROM sent_messages JOIN outbox ON outbox.id = outgoing_id
WHERE update_id IS NULL"""


@pytest.fixture
def server() -> Iterator[EmulatorClient]:
    with EmulatorClient() as server:
        server.do("add_person", user=ADA)
        yield server


def rows(bot: BotProcess, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(bot.home / "conversations.db", timeout=30)) as database:
        return database.execute(query).fetchall()


def execute(bot: BotProcess, statement: str) -> None:
    with closing(sqlite3.connect(bot.home / "conversations.db", timeout=30)) as database, database:
        database.execute(statement)


def assert_all_answered(server: EmulatorClient, bot: BotProcess, said: list[str], kills: int) -> None:
    """Every message has one turn and one reply; only a message on the wire at a kill was sent twice."""
    wait_for(
        lambda: set(server.texts(ADA)) >= set(said), f"all of {len(said)} answers, {len(set(server.texts(ADA)))}"
    )
    wait_for(lambda: rows(bot, "SELECT count(*) FROM outbox WHERE state = 'waiting'") == [(0,)], "an empty outbox")
    counts = Counter(server.texts(ADA))
    assert set(counts) == set(said)
    assert all(count <= 2 for count in counts.values())
    assert sum(count - 1 for count in counts.values()) <= kills
    first = list(dict.fromkeys(server.texts(ADA)))
    assert first == said
    turns = rows(bot, "SELECT speaker, text FROM turns ORDER BY id")
    assert [text for speaker, text in turns if speaker == "person"] == said
    assert sorted(str(text) for speaker, text in turns if speaker == "bot") == sorted(said)


def test_kills_in_the_middle_of_forty_messages_lose_nothing(server: EmulatorClient, tmp_path: Path) -> None:
    said = [f"message {number}" for number in range(40)]
    with BotProcess(server, tmp_path, "--echo-delay-ms", "40") as bot:
        bot.start()
        server.do("say_many", said=[[ADA, text] for text in said])
        for seen in (5, 15, 25):
            server.wait_for_texts(seen, ADA)
            bot.kill()
            bot.start(is_up=False)
        assert_all_answered(server, bot, said, kills=3)
        assert bot.terminate() == 0


def test_a_way_that_is_slow_drops_and_fails_loses_nothing(server: EmulatorClient, tmp_path: Path) -> None:
    said = [f"message {number}" for number in range(20)]
    with BotProcess(server, tmp_path) as bot:
        server.do("set_faults", seed=3, bad_gateway=0.2, dropped_before=0.15, delay_s=0.02)
        bot.start()
        server.do("say_many", said=[[ADA, text] for text in said])
        assert_all_answered(server, bot, said, kills=0)
        assert bot.terminate() == 0


def test_waits_that_the_server_asks_for_are_kept(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path, chat_interval_s=1) as bot:
        server.do("configure", limits=True)
        server.do("set_faults", flood_waits=[2, 1])
        bot.start()
        server.do("say_many", said=[[ADA, text] for text in "abc"])
        assert server.wait_for_texts(3, ADA) == ["a", "b", "c"]
        assert server.do("state")["early"] == 0
        refused = [call for call in server.calls("sendMessage") if call.get("error") == 429]
        assert len(refused) == 2
        assert bot.terminate() == 0


def test_a_message_longer_than_telegram_takes_comes_back_in_parts(server: EmulatorClient, tmp_path: Path) -> None:
    said = ["word " * 819 + "𝄞", "𝄞" * 4096]  # 4096 code points each, more UTF-16 units
    with BotProcess(server, tmp_path) as bot:
        bot.start()
        server.do("say_many", said=[[ADA, text] for text in said])
        texts = server.wait_for_texts(4, ADA)
        assert " ".join(texts[:2]) == said[0]
        assert texts[2:] == ["𝄞" * 2048] * 2
        assert bot.terminate() == 0


def test_a_slow_chat_delays_no_other_and_all_keep_their_order(server: EmulatorClient, tmp_path: Path) -> None:
    """200 messages of 50 people at once, while the answers to one of them are held up by the server."""
    people = list(range(2001, 2051))
    for person in people:
        server.do("add_person", user=person)
    with BotProcess(server, tmp_path, "--echo-delay-ms", "50") as bot:
        bot.start()
        server.do("set_faults", flood_waits=[20])
        server.say(people[0], "0")
        wait_for(lambda: [c for c in server.calls("sendMessage") if c.get("error") == 429], "a chat that must wait")
        server.do("say_many", said=[[person, str(number)] for number in range(1, 5) for person in people])
        for person in people[1:]:
            assert server.wait_for_texts(4, person) == ["1", "2", "3", "4"]
        assert server.wait_for_texts(5, people[0]) == ["0", "1", "2", "3", "4"]
        assert bot.terminate() == 0


def test_updates_that_come_again_are_known(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path) as bot:
        bot.start()
        for text in ("one", "two"):
            server.say(ADA, text)
        server.wait_for_texts(2, ADA)
        updates = [
            {"update_id": number, "message": {**message, "text": "again"}}
            for number, message in zip((100_000_000, 100_000_001), server.shown(ADA), strict=False)
        ]
        for update in updates:
            server.do("again", update=update)
        server.say(ADA, "three")
        assert server.wait_for_texts(3, ADA) == ["one", "two", "three"]
        assert bot.terminate() == 0


def test_a_kill_in_the_middle_of_a_broadcast_doubles_nothing_that_was_noted(
    server: EmulatorClient, tmp_path: Path
) -> None:
    people = list(range(8001, 8031))
    for person in people:
        server.do("add_person", user=person)
    with BotProcess(server, tmp_path, admins=ADA) as bot:
        bot.start()
        server.do("say_many", said=[[person, "hello"] for person in [*people, ADA]])
        server.wait_for_texts(len(people) + 1)
        server.do("set_faults", delay_s=0.2, methods=["sendMessage"])
        server.say(ADA, "/broadcast Hear, hear!")
        wait_for(lambda: server.texts().count("Hear, hear!") >= 5, "the first of a broadcast")
        bot.kill()
        server.do("set_faults")
        noted = {int(str(chat)) for (chat,) in rows(bot, NOTED)}
        bot.start()
        wait_for(lambda: all("Hear, hear!" in server.texts(person) for person in people), "the whole broadcast")
        wait_for(
            lambda: rows(bot, "SELECT count(*) FROM outbox WHERE state = 'waiting'") == [(0,)], "an empty outbox"
        )
        assert bot.terminate() == 0
        heard = Counter({person: server.texts(person).count("Hear, hear!") for person in [*people, ADA]})
        assert {person: heard[person] for person in noted} == dict.fromkeys(noted, 1)
        assert all(count <= 2 for count in heard.values())


def test_a_kill_between_an_undo_and_its_answer_does_not_take_back_twice(
    server: EmulatorClient, tmp_path: Path
) -> None:
    with BotProcess(server, tmp_path) as bot:
        bot.start()
        for number, text in enumerate(("one", "two", "three"), 1):
            server.say(ADA, text)
            server.wait_for_texts(number, ADA)
        (newest,) = rows(bot, "SELECT head_id FROM conversations")
        execute(bot, "CREATE TRIGGER jam BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'jammed'); END")
        server.say(ADA, "/undo")
        wait_for(lambda: rows(bot, "SELECT head_id FROM conversations") != [newest], "the undo")
        bot.kill()
        execute(bot, "DROP TRIGGER jam")
        bot.start()
        assert server.wait_for_texts(4, ADA)[3].startswith("I was stopped in the middle of that")
        server.say(ADA, "/history")
        assert server.wait_for_texts(5, ADA)[4] == "you: one\nbot: one\nyou: two\nbot: two"
        assert bot.terminate() == 0

"""Many writers at once, and writers that are killed."""

from __future__ import annotations

import json
import multiprocessing
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from storage.errors import StorageError
from storage.records import ReplyRecord
from storage.saying import append_turn, person_called, place_called
from storage.store import ConversationStore, StorageConfig
from tests.talk import say, texts_of

RECORD = ReplyRecord("m1", "rank", 1, 3, 1.0)
_TURNS = 20


def _talk(url: str, name: str) -> None:
    store = ConversationStore(StorageConfig(url))
    for number in range(_TURNS):
        turn = store.add_turn(name, f"{number}", person="terminal:ada")
        store.add_reply(turn, f"{number}!", RECORD)
    store.close()


def _read_all(url: str, name: str) -> None:
    store = ConversationStore(StorageConfig(url))
    for _ in range(10):
        list(store.exchanges())
        store.conversations()
    store.close()


def _say_the_same(url: str, name: str) -> None:
    store = ConversationStore(StorageConfig(url))
    for number in range(_TURNS):
        store.add_turn("shared", f"{number}", person="telegram:7", external_id=f"{number}")
    store.close()


def _run_together(*jobs: tuple[Callable[[str, str], None], str, str]) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["storage.store", "psycopg"])
    processes = [context.Process(target=job, args=(url, name)) for job, url, name in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(jobs)


def test_terminal_bot_and_retraining_work_at_once_from_the_first_opening_on(database_url: str) -> None:
    """No database is there yet: all five make it, and none may fail."""
    writers = [(_talk, database_url, name) for name in ("a", "b", "c")]
    readers = [(_read_all, database_url, "r")] * 2
    _run_together(*writers, *readers)
    store = ConversationStore(StorageConfig(database_url))
    for name in ("a", "b", "c"):
        texts = [turn.text for turn in store.recent_turns(name, 2 * _TURNS)]
        assert texts == [text for number in range(_TURNS) for text in (f"{number}", f"{number}!")]
    store.close()


def test_two_processes_that_store_the_same_messages_store_each_once(database_url: str) -> None:
    _run_together(*[(_say_the_same, database_url, "x")] * 3)
    store = ConversationStore(StorageConfig(database_url))
    assert sorted(int(turn.text) for turn in store.turns("shared")) == list(range(_TURNS))
    assert len(store.recent_turns("shared", 99)) == _TURNS
    store.close()


def _wait_for_waiting(store: ConversationStore, count: int) -> None:
    """Wait until so many wait for another in PostgreSQL."""
    deadline = time.monotonic() + 30
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    while time.monotonic() < deadline:
        with store._session() as session:
            if session.scalar(waits) == count:
                return
        time.sleep(0.01)
    raise AssertionError(f"{count} should wait")


@pytest.mark.parametrize("is_reply", [False, True])
def test_what_is_said_while_the_turn_before_it_is_deleted_keeps_its_place(postgres_url: str, is_reply: bool) -> None:
    """A reply goes with its message; what a person says moves up to the turn before."""
    store = ConversationStore(StorageConfig(postgres_url))
    *_, last = say(store, "one", "two", "three")
    now = datetime.now(UTC)
    deletion = threading.Thread(target=store.delete_turn, args=(last.id,))
    with store._session(writes=True) as session:
        speaker = person_called(session, "terminal:ada", now)
        place = place_called(session, "ada/1", speaker, now)
        deletion.start()
        _wait_for_waiting(store, 1)
        append_turn(session, place, speaker, "four", now, last.id, reply=RECORD if is_reply else None)
    deletion.join()
    expected = ["one", "two", *([] if is_reply else ["four"])]
    assert texts_of(store.recent_turns("ada/1", 9)) == texts_of(store.turns("ada/1")) == expected
    store.close()


def test_a_turn_that_two_delete_at_once_goes_once(postgres_url: str) -> None:
    store = ConversationStore(StorageConfig(postgres_url))
    first, *_ = say(store, "one", "two", "three")
    counts: list[int] = []
    deletions = [threading.Thread(target=lambda: counts.append(store.delete_turn(first.id))) for _ in range(2)]
    with store._session(writes=True) as session:
        place_called(session, "ada/1", person_called(session, "terminal:ada", first.created), first.created)
        for deletion in deletions:
            deletion.start()
        _wait_for_waiting(store, 2)
    for deletion in deletions:
        deletion.join()
    assert sorted(counts) == [0, 2]
    assert texts_of(store.turns("ada/1")) == ["three"]
    store.close()


def test_an_export_shows_one_state_whatever_is_deleted_beside_it(postgres_url: str) -> None:
    store, other = (ConversationStore(StorageConfig(postgres_url)) for _ in range(2))
    *_, last = say(store, "one", "two", "three")

    @event.listens_for(store._database.engine, "before_cursor_execute")
    def delete_the_last(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM turns JOIN" in statement.replace("\n", " "):
            other.delete_turn(last.id)

    assert [len(json.loads(line)["turns"]) for line in store.export("jsonl")] == [3]
    assert texts_of(other.turns("ada/1")) == ["one", "two"]
    store.close()
    other.close()


@pytest.mark.parametrize("url", ["file", "sqlite://"])
def test_threads_share_a_store(url: str, tmp_path: Path) -> None:
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'c.db'}" if url == "file" else url))
    failures: list[BaseException] = []

    def talk(name: str) -> None:
        try:
            for number in range(10):
                turn = store.add_turn(name, f"{number}", person="terminal:ada")
                store.add_reply(turn, "!", RECORD)
                assert store.recent_turns(name, 1)[0].text == "!"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(f"c{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [c.turns for c in store.conversations()] == [20] * 8
    store.close()


def test_a_lock_that_stays_is_an_error_in_bounded_time(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    store = ConversationStore(StorageConfig(f"sqlite:///{path}", busy_timeout_s=0.2))
    store.add_turn("a", "before", person="terminal:ada")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"c\.db: database is locked: another program holds it"):
        store.add_turn("a", "during", person="terminal:ada")
    assert [turn.text for turn in store.turns("a")] == ["before"]  # readers need not wait
    another = ConversationStore(StorageConfig(f"sqlite:///{path}", busy_timeout_s=0.2))
    assert [turn.text for turn in another.turns("a")] == ["before"]  # nor does opening
    another.close()
    holder.execute("ROLLBACK")
    holder.close()
    store.add_turn("a", "after", person="terminal:ada")
    assert [turn.text for turn in store.turns("a")] == ["before", "after"]
    store.close()


# A process that has loaded everything makes writers by fork, so that many kills take little time.
_CRASHER = """
import json, os, random, signal, sys, time
from storage.records import ReplyRecord
from storage.store import ConversationStore, StorageConfig

url, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
acknowledged = []
for number in range(rounds):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        store = ConversationStore(StorageConfig(url))
        count = 0
        while True:
            text = f"{number}.{count} " + "word " * (count % 50)
            turn = store.add_turn(f"c{number % 3}", text, person="terminal:ada")
            os.write(writer, f"{turn.id}\\n".encode())
            reply = store.add_reply(turn, "yes", ReplyRecord("m", "rank", 1, 1, 1.0))
            os.write(writer, f"{reply.id}\\n".encode())
            count += 1
    os.close(writer)
    pipe = os.fdopen(reader)
    first = pipe.readline()
    time.sleep(chance.random() * 0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    acknowledged += [int(line) for line in [first, *pipe] if line.endswith("\\n")]
    pipe.close()
print(json.dumps(acknowledged))
"""


def test_a_killed_writer_loses_no_turn_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    done = subprocess.run(
        [sys.executable, "-c", _CRASHER, f"sqlite:///{path}", "40", str(random.randrange(10**6))],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    acknowledged = json.loads(done.stdout)
    assert len(acknowledged) >= 40
    store = ConversationStore(StorageConfig(f"sqlite:///{path}"))
    stored = {turn.id for c in store.conversations() for turn in store.turns(c.key)}
    store.close()
    assert set(acknowledged) <= stored
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()

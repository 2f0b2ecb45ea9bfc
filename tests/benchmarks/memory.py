"""How fast the memory answers when it is large: ``python -m tests.benchmarks.memory``.

Makes a hundred thousand conversations with two million turns in SQLite, asks what ``backchat logs`` asks, and prints
the times as JSON lines. The text is made of invented words, drawn as unevenly as real ones are.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from storage import search
from storage.records import ReplyRecord
from storage.schema import ConversationRow, IdentityRow, PersonRow, ReplyRow, TurnRow
from storage.store import ConversationStore, StorageConfig

_TURNS = 20  # a conversation
_PEOPLE = 2000
_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_RECORD = ReplyRecord(
    "20260101-english",
    "rank",
    1,
    12,
    40.0,
    {"top_p": 0.9},
    tuple({"text": "x" * 40, "score": -1.0} for _ in range(8)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Keep the database here, and use the one that is there.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (arguments.folder or Path(temporary)) / "conversations.db"
        report(machine=platform.processor() or platform.machine(), python=platform.python_version(),
               sqlite=sqlite3.sqlite_version)  # fmt: skip
        if not path.exists():
            begun = time.perf_counter()
            fill(path, arguments.conversations)
            report(made_conversations=arguments.conversations, made_turns=arguments.conversations * _TURNS,
                   seconds=round(time.perf_counter() - begun, 1))  # fmt: skip
        report(size_mb=round(path.stat().st_size / 1e6))
        measure(path)


def measure(path: Path) -> None:
    """Time what the commands ask, writing, exporting and erasing."""
    url = f"sqlite:///{path}"
    report(open_ms=median_ms(lambda: ConversationStore(StorageConfig(url)).close()))
    with closing(ConversationStore(StorageConfig(url))) as store:
        questions: dict[str, Callable[[], Any]] = {
            "list": lambda: store.conversations(limit=20),
            "list, of one of many": lambda: store.conversations("telegram:77", limit=20),
            "list, of one with a tenth of all": lambda: store.conversations("terminal:ada", limit=20),
            "show": lambda: store.turns("c5000"),
            "context of a reply": lambda: store.recent_turns("c5000", 6),
            "search, a rare word": lambda: store.search("zzrare"),
            "search, a word in half of all turns": lambda: store.search("the"),
            "search, two frequent words": lambda: store.search("the of"),
            "search, a frequent and a rare word": lambda: store.search("the zzrare"),
            "search, no such word": lambda: store.search("absentword"),
            "search, beginnings": lambda: store.search("zzra*"),
            "search, one Chinese character": lambda: store.search("茶"),
            "search, a Chinese word": lambda: store.search("绿茶"),
            "search, a word of one letter": lambda: store.search("a"),
            "search, a frequent word of one person": lambda: store.search("the", "telegram:77"),
            "search, a rare word of one person": lambda: store.search("zzrare", "telegram:77"),
        }
        for name, ask in questions.items():
            first = milliseconds(ask)
            report(query=name, first_ms=first, median_ms=median_ms(ask), found=len(ask()))
        report(query="counts", first_ms=milliseconds(store.counts))
        report(**commit_times(store), **bare_commit(path.parent))
    report(**export_memory(url))
    with closing(ConversationStore(StorageConfig(url))) as store:
        turn = store.turns("c77")[0].id
        report(erase="a turn of a large file", seconds=round(milliseconds(lambda: store.delete_turn(turn)) / 1000, 1))


def commit_times(store: ConversationStore, count: int = 500) -> dict[str, float]:
    """Time single committed turns and replies."""
    times = []
    cpu_begun = time.process_time()
    for number in range(count):
        begun = time.perf_counter()
        turn = store.add_turn("bench", f"this is turn {number}", person="terminal:ada")
        between = time.perf_counter()
        store.add_reply(turn, "and this is the reply", _RECORD)
        times += [between - begun, time.perf_counter() - between]
    return {
        "commits": len(times),
        "commit_p50_ms": round(statistics.median(times) * 1000, 2),
        "commit_p95_ms": round(statistics.quantiles(times, n=100)[94] * 1000, 2),
        "commit_max_ms": round(max(times) * 1000, 2),
        "commit_cpu_ms": round((time.process_time() - cpu_begun) * 1000 / len(times), 2),
    }


def bare_commit(folder: Path, count: int = 300) -> dict[str, float]:
    """Time synced commits of one short row by sqlite3 alone: what of a commit is the disk's."""
    path = folder / "bare.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS rows (words TEXT)")
        times = [milliseconds(lambda: connection.execute("INSERT INTO rows VALUES ('x')")) for _ in range(count)]
    for file in folder.glob("bare.db*"):
        file.unlink()
    return {
        "bare_p50_ms": round(statistics.median(times), 2),
        "bare_p95_ms": round(statistics.quantiles(times, n=100)[94], 2),
    }


def export_memory(url: str) -> dict[str, Any]:
    """Export everything in a process of its own, and return how much memory that took."""
    script = (
        "import resource, sys, time\n"
        "from storage.store import ConversationStore, StorageConfig\n"
        "store = ConversationStore(StorageConfig(sys.argv[1]))\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "begun, size, tenth = time.perf_counter(), 0, 0\n"
        "for number, piece in enumerate(store.export('jsonl')):\n"
        "    size += len(piece)\n"
        "    if number == 1000: tenth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(base // 1024, tenth // 1024, peak // 1024, size, round(time.perf_counter() - begun, 1))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True)
    opened, early, peak, size, seconds = done.stdout.split()
    return {
        "export_characters": int(size),
        "export_seconds": float(seconds),
        "opened_mb": int(opened),
        "after_1000_mb": int(early),
        "peak_mb": int(peak),
    }


def fill(path: Path, conversations: int) -> None:
    """Write the conversations, a thousand a transaction."""
    chance = random.Random(0)
    say = sentences(chance)
    store = ConversationStore(StorageConfig(f"sqlite:///{path}"))
    with store._session(writes=True) as session:
        people = [{"id": 1, "key": "terminal:ada", "created": _BEGIN}]
        people += [{"id": n, "key": f"telegram:{n}", "created": _BEGIN} for n in range(2, _PEOPLE)]
        session.execute(insert(PersonRow), people)
        identities = [{"key": p["key"], "person_id": p["id"], "created": _BEGIN} for p in people]
        session.execute(insert(IdentityRow), identities)
    for chunk in range(0, conversations, 1000):
        places, turns, replies = [], [], []
        for number in range(chunk + 1, min(chunk + 1000, conversations) + 1):
            person = 1 if number % 10 == 0 else chance.randrange(2, _PEOPLE)
            moment = _BEGIN + timedelta(minutes=30 * number)
            last = number * _TURNS
            places.append({"id": number, "key": f"c{number}", "person_id": person, "head_id": last,
                           "created": moment, "updated": moment})  # fmt: skip
            for place in range(_TURNS):
                turn_id = (number - 1) * _TURNS + place + 1
                is_reply = place % 2 == 1
                text = "zzrare " + next(say) if chance.random() < 1e-4 else next(say)
                turns.append({"id": turn_id, "conversation_id": number, "parent_id": turn_id - 1 if place else None,
                              "person_id": person, "speaker": "bot" if is_reply else "person", "text": text,
                              "created": moment})  # fmt: skip
                if is_reply:
                    replies.append({"turn_id": turn_id, "model_id": "m1", "strategy": "rank", "seed": str(turn_id),
                                    "tokens": 12, "latency_ms": 40.0, "settings": _RECORD.settings,
                                    "candidates": list(_RECORD.candidates)})  # fmt: skip
        with store._session(writes=True) as session:
            for table, rows in ((ConversationRow, places), (TurnRow, turns), (ReplyRow, replies)):
                session.connection().execute(insert(table.__table__), rows)
            search.add(session, (search.IndexedTurn(t["id"], t["person_id"], t["text"]) for t in turns))
        if sys.stderr.isatty():
            print(f"\r{chunk + 1000:,}", end="", file=sys.stderr)
    store.close()


def sentences(chance: random.Random) -> Iterator[str]:
    """Yield sentences of invented words; the n-th most frequent word is drawn 1/n as often as the first."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in ("a", "e", "i", "o", "u", "ai", "an", "er", "in", "or")]
    vocabulary = ["the", "of", "a", "to"] + ["".join(chance.choices(syllables, k=1 + n % 4)) for n in range(30_000)]
    weights = [1 / (1 + n) for n in range(len(vocabulary))]
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
    while True:
        for words in _grouped(chance.choices(vocabulary, weights, k=12_000), chance):
            yield " ".join(words)
            if chance.random() < 0.05:
                yield "".join(chance.choices(characters, k=8)) + ("绿茶" if chance.random() < 0.1 else "")


def _grouped(words: list[str], chance: random.Random) -> Iterator[list[str]]:
    position = 0
    while position < len(words):
        size = chance.randint(2, 20)
        yield words[position : position + size]
        position += size


def milliseconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return round((time.perf_counter() - begun) * 1000, 2)


def median_ms(work: Callable[[], Any], times: int = 9) -> float:
    return round(statistics.median(milliseconds(work) for _ in range(times)), 2)


def report(**facts: Any) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB", file=sys.stderr)

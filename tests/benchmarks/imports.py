"""How fast a chat export is read and written, and in how much memory: ``python -m tests.benchmarks.imports``.

Makes an export of two people's made-up words in a temporary folder, as large as asked for, and imports it in
processes of their own: into a file, and into a memory. Prints one JSON object for each format.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

_WORDS = [chr(97 + a) + chr(97 + b) * c for a in range(26) for b in (0, 4, 8) for c in (1, 3)]  # aa, aaaa, ae ...
_IMPORT = "import sys; from scripts.imports import app; app(sys.argv[1:])"


class _Message(NamedTuple):
    number: int
    time_s: int
    sender: str
    text: str


def made_messages(count: int) -> Iterator[_Message]:
    """Yield messages of two people: bursts of seconds and minutes, with a night after every thirty or so."""
    draw = random.Random(1)
    time_s = 1_400_000_000
    for number in range(1, count + 1):
        time_s += draw.choice((5, 20, 60, 200)) if draw.random() < 0.97 else 40_000
        sender = draw.choice(("Robin", "Sam Lee"))
        yield _Message(number, time_s, sender, " ".join(draw.choices(_WORDS, k=draw.randint(2, 20))))


def write_telegram(path: Path, count: int) -> None:
    """Write a chat as Telegram Desktop does: indented, every text twice."""
    with path.open("w", encoding="utf-8") as out:
        out.write('{\n "name": "Robin",\n "type": "personal_chat",\n "id": 1,\n "messages": [\n')
        for message in made_messages(count):
            moment = datetime.fromtimestamp(message.time_s, UTC)
            value = {
                "id": message.number,
                "type": "message",
                "date": f"{moment:%Y-%m-%dT%H:%M:%S}",
                "date_unixtime": str(message.time_s),
                "from": message.sender,
                "from_id": f"user{len(message.sender)}",
                "text": message.text,
                "text_entities": [{"type": "plain", "text": message.text}],
            }
            lines = json.dumps(value, indent=1).replace("\n", "\n  ")
            out.write(f"  {lines}{',' if message.number < count else ''}\n")
        out.write(" ]\n}\n")


def write_whatsapp(path: Path, count: int) -> None:
    """Write a chat as an Android phone does."""
    with path.open("w", encoding="utf-8") as out:
        for message in made_messages(count):
            moment = datetime.fromtimestamp(message.time_s, UTC)
            out.write(f"{moment:%d/%m/%Y, %H:%M} - {message.sender}: {message.text}\n")


def measure(export: Path, count: int, *, is_remembered: bool) -> dict[str, object]:
    """Import a file in a process of its own, into a memory or another file.

    Its peak memory is the largest of all processes so far.
    """
    target = export.with_suffix(".db" if is_remembered else ".jsonl")
    to = [] if is_remembered else ["--to", str(target)]
    environment = {**os.environ, "BACKCHAT_DATABASE": f"sqlite:///{target}"}
    began, cpu_before = time.perf_counter(), _cpu_s()
    command = [sys.executable, "-c", _IMPORT, str(export), *to]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.perf_counter() - began
    return {
        "export": export.name,
        "messages": count,
        "export_bytes": export.stat().st_size,
        "into": "memory" if is_remembered else "file",
        "stored_bytes": target.stat().st_size,
        "seconds": round(seconds, 2),
        "messages_per_s": round(count / seconds),
        "cpu_seconds": round(cpu_s := _cpu_s() - cpu_before, 2),
        "messages_per_cpu_s": round(count / cpu_s),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def _cpu_s() -> float:
    """Return the processor seconds of all processes so far: what counts on a machine that does other work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=1_000_000)
    count: int = parser.parse_args().messages
    with tempfile.TemporaryDirectory(prefix="backchat-imports-") as folder:
        for name, write in (("result.json", write_telegram), ("chat.txt", write_whatsapp)):
            export = Path(folder) / name
            write(export, count)
            for is_remembered in (False, True):
                print(json.dumps(measure(export, count, is_remembered=is_remembered)), flush=True)
            export.unlink()


if __name__ == "__main__":
    main()

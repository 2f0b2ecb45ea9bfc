"""How quick the terminal chat is to the person in front of it: ``python -m tests.benchmarks.terminal [MODEL]``.

Opens ``backchat chat`` in a pseudo-terminal. Prints as JSON lines: from process start to the first prompt on the
screen; and from a key to its character on the screen, at rest and while a reply of 128 candidates is made.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time

import pexpect

_RUNS = 9
_KEYS = 60
_PROMPT = b"1m>"  # in bold
_REPLY_SETTINGS = ("/set candidates 128", "/set min_tokens 30")


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "english"
    with tempfile.TemporaryDirectory() as home:
        _close(_open(home, model))  # makes the database, warms the disk's cache
        starts = []
        for _ in range(_RUNS):
            began = time.perf_counter()
            chat = _open(home, model)
            starts.append(time.perf_counter() - began)
            _close(chat)
        print(json.dumps({"what": "first prompt", **_spread("s", starts)}), flush=True)
        chat = _open(home, model)
        _say(chat, "hello")
        print(json.dumps({"what": "a key at rest", **_spread("ms", _keys(chat, _KEYS))}), flush=True)
        chat.send("\x03")
        for line in _REPLY_SETTINGS:
            _say(chat, line)
        busy: list[float] = []
        while len(busy) < _KEYS:
            chat.send("tell me a long story\r")
            time.sleep(0.1)
            busy += _keys(chat, 8)
            chat.send("\x03" * 2)  # stop the reply, throw the line away
            time.sleep(1.0)
        print(json.dumps({"what": "a key while a reply is made", **_spread("ms", busy)}), flush=True)
        _close(chat)


def _open(home: str, model: str) -> pexpect.spawn:
    chat = pexpect.spawn(
        sys.executable,
        ["-m", "scripts", "chat", "--model", model],
        dimensions=(40, 100),
        env={**os.environ, "BACKCHAT_HOME": home, "TERM": "xterm-256color"},
    )
    chat.delaybeforesend = None
    _await(chat, _PROMPT)
    return chat


def _await(chat: pexpect.spawn, wanted: bytes, patience_s: float = 60.0) -> None:
    """Read until ``wanted`` comes; answers the terminal's question for the cursor's place on the way."""
    deadline, seen = time.monotonic() + patience_s, b""
    while time.monotonic() < deadline:
        try:
            new = chat.read_nonblocking(65536, timeout=0.5)
        except pexpect.TIMEOUT:
            continue
        if b"\x1b[6n" in new:
            chat.send("\x1b[1;1R")
        seen += new
        if wanted in seen:
            return
    raise SystemExit(f"{wanted!r} never came")


def _drain(chat: pexpect.spawn) -> None:
    try:
        while True:
            chat.read_nonblocking(65536, timeout=0.02)
    except pexpect.TIMEOUT:
        pass


def _say(chat: pexpect.spawn, line: str) -> None:
    chat.send(line + "\r")
    time.sleep(1.0)
    _drain(chat)


def _keys(chat: pexpect.spawn, count: int) -> list[float]:
    """Type letters one by one; returns the milliseconds from each key until its letter is written."""
    times = []
    for number in range(count):
        key = "QZVW"[number % 4]  # letters that nothing else that is written holds
        began = time.perf_counter()
        chat.send(key)
        _await(chat, key.encode(), 10.0)
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(0.02)
    return times


def _close(chat: pexpect.spawn) -> None:
    chat.close(force=True)


def _spread(unit: str, values: list[float]) -> dict[str, float]:
    digits = 3 if unit == "s" else 1
    spread = {"median": statistics.median(values), "fastest": min(values), "slowest": max(values)}
    return {f"{name}_{unit}": round(value, digits) for name, value in spread.items()}


if __name__ == "__main__":
    main()

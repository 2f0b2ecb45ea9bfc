"""How fast whole commands are, from process start to end: ``python -m tests.benchmarks.startup [MODEL]``.

Prints medians of several runs and the peak memory of each command as JSON lines.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

_RUNS = 7
_COMMANDS = (["--help"], ["chat", "--help"], ["train", "--help"], ["chat", "--model", "echo", "hello"])


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "english"
    with tempfile.TemporaryDirectory() as home:
        for arguments in (*_COMMANDS, ["chat", "--model", model, "hello"]):
            print(json.dumps(_measure(arguments, home)))


def _measure(arguments: list[str], home: str) -> dict[str, object]:
    durations, peaks = [], []
    for _ in range(_RUNS + 1):  # the first makes the database and warms the disk's cache; it is not counted
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts", *arguments],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "BACKCHAT_HOME": home},
        )
        _, status, usage = os.wait4(process.pid, 0)
        durations.append(time.perf_counter() - started)
        peaks.append(usage.ru_maxrss / 1024)
        if status:
            raise SystemExit(f"backchat {' '.join(arguments)} failed")
    return {
        "command": "backchat " + " ".join(arguments),
        "first_run_s": round(durations[0], 3),
        "median_s": round(statistics.median(durations[1:]), 3),
        "fastest_s": round(min(durations[1:]), 3),
        "peak_memory_mb": round(max(peaks)),
    }


if __name__ == "__main__":
    main()

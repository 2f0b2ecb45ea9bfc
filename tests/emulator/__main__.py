"""``python -m tests.emulator``: prints the port it took; ``--base-url`` of a bot is then ``http://127.0.0.1:PORT/bot``."""

from __future__ import annotations

import argparse

from tests.emulator.emulator import DEFAULT_TOKEN, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A strict Bot API server for tests, on loopback.")
    parser.add_argument("--token", default=DEFAULT_TOKEN)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reads-all", action="store_true", help="as if privacy mode were off")
    given = parser.parse_args()
    run(given.token, given.port, given.reads_all)

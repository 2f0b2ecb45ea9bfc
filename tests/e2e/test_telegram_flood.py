"""More than fits: a bot whose inbox is full lets the rest wait at the server, and still ends in order."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.bot_process import BotProcess
from tests.emulator.client import EmulatorClient, wait_for

PEOPLE = range(1, 51)
FITS = 2000  # updates in memory


def test_a_full_inbox_leaves_the_rest_at_the_server_and_stops_in_order(tmp_path: Path) -> None:
    with EmulatorClient() as server, BotProcess(server, tmp_path, "--echo-delay-ms", "60000") as bot:
        for person in PEOPLE:
            server.do("add_person", user=person)
        bot.start()
        server.do("say_many", said=[[person, "hello"] for _ in range(FITS // len(PEOPLE) + 4) for person in PEOPLE])
        last_poll = 100  # what the last poll brought is acknowledged by the next one, which does not come
        wait_for(lambda: server.do("state")["waiting"] <= 4 * len(PEOPLE) + last_poll, "a full inbox")
        assert server.do("state")["waiting"] >= 4 * len(PEOPLE)
        assert bot.terminate() == 0
        assert "Traceback" not in bot.log()
        assert "updates and 0 messages wait for the next start" in bot.log()

"""The bot's life: a refused token, a server that is down, a rival, signals under load, model swaps."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bot_process import BotProcess
from tests.emulator.client import EmulatorClient, wait_for

ADA = 1001


@pytest.fixture
def server() -> Iterator[EmulatorClient]:
    with EmulatorClient() as server:
        server.do("add_person", user=ADA)
        yield server


def test_a_refused_token_ends_the_bot_with_one_clear_line(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path, token="99:wrong-token-of-nobody") as bot:
        assert bot.start(is_up=False).wait() == 1
        lines = bot.log().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("backchat: Telegram refuses the bot's token")


@pytest.mark.parametrize(("token", "problem"), [("", "no token"), ("hello", "no bot token")])
def test_without_a_token_the_bot_says_where_to_get_one(
    server: EmulatorClient, tmp_path: Path, token: str, problem: str
) -> None:
    bot = BotProcess(server, tmp_path)
    bot._environment["TELEGRAM_BOT_TOKEN"] = token
    assert bot.start(is_up=False).wait() == 1
    assert problem in bot.log()
    assert "@BotFather" in bot.log()


def test_a_start_survives_a_server_that_is_down(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path) as bot:
        server.do("set_faults", is_down=True)
        bot.start(is_up=False)
        wait_for(lambda: "cannot be reached" in bot.log(), "a line about it")
        server.do("set_faults")
        server.say(ADA, "hello")
        server.wait_for_texts(1, ADA)
        assert bot.terminate() == 0


def test_a_second_bot_of_the_same_home_is_refused(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path) as bot, BotProcess(server, tmp_path) as second:
        bot.start()
        assert second.start(is_up=False).wait() == 1
        assert "runs already" in bot.log()
        assert bot.terminate() == 0


def test_a_rival_poller_is_noticed_and_nothing_is_lost(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path) as bot:
        bot.start()
        wait_for(lambda: server.do("state")["is_polled"], "a poll")
        server.call("getUpdates", timeout=0)
        wait_for(lambda: "Another program polls" in bot.log(), "a line about it")
        server.say(ADA, "hello")
        server.wait_for_texts(1, ADA)
        assert bot.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_takes_less_than_ten_seconds_and_loses_nothing(
    server: EmulatorClient, tmp_path: Path, number: signal.Signals
) -> None:
    people = list(range(3001, 3021))
    for person in people:
        server.do("add_person", user=person)
    with BotProcess(server, tmp_path, "--echo-delay-ms", "300") as bot:
        bot.start()
        server.do("say_many", said=[[person, str(at)] for at in range(3) for person in people])
        server.wait_for_texts(10)
        assert bot.terminate(number, patience_s=10) == 0
        assert len(server.texts()) < 60
        bot.start(is_up=False)
        server.wait_for_texts(60)
        for person in people:
            assert server.texts(person) == ["0", "1", "2"]
        assert bot.terminate() == 0


def test_a_reply_that_takes_for_ever_does_not_hold_up_the_end(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path, "--echo-delay-ms", "60000") as bot:
        bot.start()
        server.say(ADA, "hello")
        wait_for(lambda: server.calls("sendChatAction"), "typing")
        wait_for(lambda: server.calls("sendMessageDraft"), "a draft")
        assert bot.terminate(patience_s=10) == 0
        bot._flags = ("--model", "echo")
        bot.start(is_up=False)
        server.wait_for_texts(1, ADA)
        assert bot.terminate() == 0


def test_logs_are_json_and_hold_no_word_of_a_message(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path, "--json-logs") as bot:
        bot.start()
        server.say(ADA, "a secret thought")
        server.wait_for_texts(1, ADA)
        assert bot.terminate() == 0
        lines = [json.loads(line) for line in bot.log().splitlines()]
        assert {"time", "level", "logger", "message"} <= set(lines[0])
        assert "secret thought" not in bot.log()


def test_metrics_are_served_on_loopback_where_wanted(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path, "--metrics-port", "0") as bot:
        bot.start()
        server.say(ADA, "hello")
        server.wait_for_texts(1, ADA)
        address = bot.log().partition("Listening on ")[2].split()[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def counted() -> bool:
            with opener.open(f"http://{address}/metrics", timeout=10) as answer:
                return "backchat_messages_sent_total 1" in answer.read().decode()

        wait_for(counted, "a message that is counted")
        with opener.open(f"http://{address}/healthz", timeout=10) as answer:
            assert answer.read() == b"ok\n"
        assert bot.terminate() == 0


def test_an_idle_bot_stops_at_once(server: EmulatorClient, tmp_path: Path) -> None:
    with BotProcess(server, tmp_path) as bot:
        bot.start()
        started = time.monotonic()
        assert bot.terminate() == 0
        assert time.monotonic() - started < 8


def test_the_doctor_says_whether_privacy_mode_is_on(server: EmulatorClient, tmp_path: Path) -> None:
    bot = BotProcess(server, tmp_path)
    for token, said in ((server.token, "privacy mode is on"), ("9:wrong", "the token is refused")):
        environment = {**bot._environment, "TELEGRAM_BOT_TOKEN": token}
        doctor = subprocess.run(
            [sys.executable, "-m", "scripts", "doctor"], env=environment, capture_output=True, text=True, check=False
        )
        assert said in doctor.stdout
        assert token.partition(":")[2] not in doctor.stdout + doctor.stderr


def test_at_the_level_debug_neither_secrets_nor_words_are_logged(server: EmulatorClient, tmp_path: Path) -> None:
    """``BotProcess`` looks through every file for the secrets, the log among them."""
    with BotProcess(server, tmp_path, is_debugging=True) as bot:
        server.do("set_faults", seed=1, bad_gateway=0.3)
        bot.start()
        assert server.token.encode() not in bot.process_list_entry
        server.do("say_many", said=[[ADA, text] for text in ("a secret thought", "/export", "/privacy", "/nonsense")])
        server.wait_for_texts(3, ADA)
        assert bot.terminate() == 0
        assert " DEBUG " in bot.log()
        assert "secret thought" not in bot.log()


def test_postgresql_can_be_the_memory(server: EmulatorClient, tmp_path: Path, postgres_url: str) -> None:
    people = list(range(7001, 7006))
    for person in people:
        server.do("add_person", user=person)
    with BotProcess(server, tmp_path, "--echo-delay-ms", "40", variables={"BACKCHAT_DATABASE": postgres_url}) as bot:
        bot.start()
        server.do("say_many", said=[[person, str(number)] for number in range(4) for person in people])
        server.wait_for_texts(6)
        bot.kill()
        bot.start()
        for person in people:
            wait_for(lambda person=person: set(server.texts(person)) == set("0123"), "all answers")
            assert list(dict.fromkeys(server.texts(person))) == list("0123")
        assert bot.terminate() == 0
    assert not list(tmp_path.glob("*.db"))

"""What the doctor learns from Telegram, an emulated one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.checkup import Finding, check_up
from bot.messenger.lock import only_instance
from bot.settings import Settings
from tests.emulator.client import EmulatorClient

HOOK = "https://bot.example.org/a-path-that-nobody-knows"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorClient]:
    with EmulatorClient() as server:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", server.token)
        yield server


def findings(server: EmulatorClient, home: Path, **telegram: object) -> list[Finding]:
    urls = {"base_url": server.base_url, "base_file_url": server.base_file_url}
    settings = Settings(home=home, chat={"model": "nothing"}, telegram=urls | telegram)
    return [finding for finding in check_up(settings) if finding.subject == "telegram"]


def texts(server: EmulatorClient, home: Path, **telegram: object) -> str:
    return "\n".join(f"{finding.state} {finding.text}" for finding in findings(server, home, **telegram))


def test_it_says_who_the_bot_is_whether_it_runs_and_what_groups_it_hears(
    server: EmulatorClient, tmp_path: Path
) -> None:
    said = texts(server, tmp_path)
    assert "fine @emulated_bot answers; it does not run from this home" in said
    assert "privacy mode is on" in said
    server.do("configure", reads_all=True)
    with only_instance(tmp_path, int(server.token.partition(":")[0])):
        said = texts(server, tmp_path)
    assert "it runs from this home" in said
    assert "privacy mode is off" in said


def test_a_webhook_in_the_way_of_polling_is_told_without_its_path(server: EmulatorClient, tmp_path: Path) -> None:
    assert "webhook" not in texts(server, tmp_path)
    server.call("setWebhook", url=HOOK)
    said = texts(server, tmp_path)
    assert "note messages go to a webhook at bot.example.org" in said
    assert "nobody-knows" not in said
    assert "webhook" not in texts(server, tmp_path, webhook_url=HOOK).partition("could not deliver")[0]
    assert "note the webhook is at bot.example.org" in texts(server, tmp_path, webhook_url="https://other.example/x")


def test_a_token_that_others_can_read_is_told_also_where_its_file_is_named_from_the_home(
    server: EmulatorClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text(server.token)
    (tmp_path / "token").chmod(0o644)
    assert f"wrong others can read the token: chmod 600 {tmp_path / 'token'}" in texts(
        server, tmp_path, token_file=Path("~/token")
    )


def test_updates_that_wait_for_a_bot_that_does_not_run_are_counted(server: EmulatorClient, tmp_path: Path) -> None:
    server.do("say_many", said=[[7, "hello"], [7, "hello?"]])
    assert "note 2 updates wait there" in texts(server, tmp_path)


def test_a_token_that_others_can_read_is_wrong(server: EmulatorClient, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(server.token)
    file.chmod(0o644)
    assert f"wrong others can read the token: chmod 600 {file}" in texts(server, tmp_path, token_file=file)


def test_a_refused_token_is_wrong_and_not_shown(
    server: EmulatorClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "9:wrong")
    assert texts(server, tmp_path) == "wrong the token is refused; copy it anew from @BotFather"

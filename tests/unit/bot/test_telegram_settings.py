"""The Telegram bot's settings: ids in any form, and secrets that are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import explain_settings, load_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("text", "ids"), [("1,2, -3", (1, 2, -3)), ("7", (7,)), ("", ()), ("1 2", (1, 2))])
def test_ids_come_with_commas_between(monkeypatch: pytest.MonkeyPatch, text: str, ids: tuple[int, ...]) -> None:
    monkeypatch.setenv("BACKCHAT_TELEGRAM__ADMINS", text)
    assert load_settings().telegram.admins == ids


def test_ids_come_as_a_list_in_the_file(home: Path) -> None:
    (home / "backchat.toml").write_text("[telegram]\nallowed = [1, -2]\n")
    assert load_settings().telegram.allowed == (1, -2)


def test_an_id_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKCHAT_TELEGRAM__ALLOWED", "ada")
    with pytest.raises(SettingsError, match=r"telegram\.allowed"):
        load_settings()


def test_the_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKCHAT_TELEGRAM__WEBHOOK_SECRET", "hush-hush")
    settings = load_settings()
    assert "hush" not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()
    assert "hush" not in str(explain_settings(settings))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:hu:sh@host/talks", "postgresql://ada:***@host/talks"),
        ("postgresql:///talks?host=/run&password=hush", "postgresql:///talks?host=/run&password=***"),
        ("postgresql://ada@host/talks", "postgresql://ada@host/talks"),
        ("sqlite:////home/ada/a:b@c.db", "sqlite:////home/ada/a:b@c.db"),
    ],
)
def test_the_password_of_the_database_is_not_shown(monkeypatch: pytest.MonkeyPatch, url: str, shown: str) -> None:
    monkeypatch.setenv("BACKCHAT_DATABASE", url)
    settings = load_settings()
    assert settings.database == url
    assert {name: value for name, value, _ in explain_settings(settings)}["database"] == shown


def test_a_wrong_secret_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKCHAT_TELEGRAM__WEBHOOK_SECRET", "hush hush")
    with pytest.raises(SettingsError, match="Telegram takes") as refusal:
        load_settings()
    assert "hush" not in str(refusal.value)


def test_the_token_is_no_setting(home: Path) -> None:
    (home / "backchat.toml").write_text('[telegram]\ntoken = "123456:secret"\n')
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    assert "secret" not in str(refusal.value).replace("webhook_secret", "")

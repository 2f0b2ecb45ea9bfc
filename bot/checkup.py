"""What ``backchat doctor`` looks at: each check is a function that yields findings."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bot.assembly import open_registry, open_store
from bot.errors import BotError
from bot.settings import Settings, TelegramSettings
from seq2seq.errors import Seq2SeqError
from seq2seq.model_files import load_model_dir
from seq2seq.predictor import Predictor
from storage.errors import StorageError

_LEAST_FREE_BYTES = 200 * 2**20
_EXTRAS = {
    "train": ("torch", "onnx", "safetensors", "sacrebleu", "matplotlib", "glin_profanity"),
    "postgres": ("psycopg",),
    "hf": ("datasets",),
    "tensorboard": ("tensorboard",),
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's; ``wrong`` needs mending, and the text says how."""

    state: Literal["fine", "note", "wrong"]
    subject: str
    text: str


def check_up(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say of this set-up."""
    yield _python()
    yield from _home(settings.home)
    yield _model(settings)
    yield _memory(settings)
    yield from _extras()
    if os.environ.get("TELEGRAM_BOT_TOKEN") or settings.telegram.token_file is not None:
        yield from _telegram(settings.telegram, settings.home)


def _python() -> Finding:
    return Finding("fine", "python", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _home(home: Path) -> Iterator[Finding]:
    if not home.exists():
        yield Finding("note", "home", f"{home} is not there yet; the first chat makes it")
        return
    if not os.access(home, os.W_OK):
        yield Finding(
            "wrong", "home", f"{home} cannot be written: chown it, or set BACKCHAT_HOME to a folder of yours"
        )
        return
    yield Finding("fine", "home", str(home))
    free = shutil.disk_usage(home).free
    if free < _LEAST_FREE_BYTES:
        yield Finding("wrong", "disk", f"{free / 1e6:.0f} MB are free at {home}; make room, a model takes 40 MB")
    for name in ("conversations.db", "history", "backchat.toml"):
        path = home / name
        if sys.platform != "win32" and path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding("wrong", name, f"others can read it: chmod 600 {path}")


def _model(settings: Settings) -> Finding:
    name = settings.chat.model
    try:
        path = open_registry(settings).resolve(name)
        model = load_model_dir(path, verify_digests=True)
        started = time.perf_counter()
        predictor = Predictor.load(path, settings.chat.threads)
        loaded = time.perf_counter()
        predictor.predict([["Hello."]])
        replied = time.perf_counter()
    except Seq2SeqError as error:
        return Finding("wrong", "model", str(error))
    return Finding(
        "fine",
        "model",
        f"{model.model_id}: whole, loaded in {1000 * (loaded - started):.0f} ms, "
        f"replied in {1000 * (replied - loaded):.0f} ms",
    )


def _memory(settings: Settings) -> Finding:
    try:
        store = open_store(settings)
        count = len(store.conversations(limit=1))
        store.close()
    except StorageError as error:
        return Finding("wrong", "memory", str(error))
    return Finding("fine", "memory", "opens, " + ("and has conversations" if count else "and is empty"))


def _extras() -> Iterator[Finding]:
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if not missing:
            yield Finding("fine", f"extra {extra}", "installed")
        elif extra == "train":
            yield Finding("note", "extra train", "not installed; training needs it: pip install 'backchat[train]'")


def _telegram(settings: TelegramSettings, home: Path) -> Iterator[Finding]:
    """Ask Telegram what it knows of the bot; nothing is changed there."""
    import asyncio

    from telegram import User, WebhookInfo
    from telegram.error import InvalidToken, TelegramError

    from bot.messenger.token import read_token
    from bot.telegram_bot import make_bot

    async def ask(token: str) -> tuple[User, WebhookInfo]:
        async with asyncio.timeout(20), make_bot(token, settings) as bot:
            return await bot.get_me(), await bot.get_webhook_info()

    path = settings.token_file.expanduser() if settings.token_file is not None else None
    if path is not None and sys.platform != "win32" and path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("wrong", "telegram", f"others can read the token: chmod 600 {path}")
    try:
        token = read_token(settings)
        me, webhook = asyncio.run(ask(token))
    except BotError as error:
        yield Finding("wrong", "telegram", str(error))
        return
    except InvalidToken:
        yield Finding("wrong", "telegram", "the token is refused; copy it anew from @BotFather")
        return
    except (TelegramError, TimeoutError) as error:
        yield Finding("wrong", "telegram", f"cannot be reached ({type(error).__name__}); is the network up?")
        return
    is_up = _runs_already(home, int(token.partition(":")[0]))
    yield Finding(
        "fine", "telegram", f"@{me.username} answers; it {'runs' if is_up else 'does not run'} from this home"
    )
    privacy = "on: commands and replies arrive from groups, mentions do not; /setprivacy at @BotFather changes that"
    if me.can_read_all_group_messages:
        privacy = "off: every message of a group arrives; only what speaks to the bot is kept"
    yield Finding("fine", "telegram", f"privacy mode is {privacy}")
    yield from _webhook(webhook.url, settings.webhook_url)
    if webhook.url and webhook.last_error_message:
        yield Finding("wrong", "telegram", f"it could not deliver to the webhook: {webhook.last_error_message}")
    if webhook.pending_update_count and not is_up:
        yield Finding("note", "telegram", f"{webhook.pending_update_count} updates wait there for the bot to run")


def _runs_already(home: Path, bot: int) -> bool:
    from bot.messenger.lock import only_instance

    if not home.exists():
        return False
    try:
        with only_instance(home, bot):
            return False
    except BotError:
        return True


def _webhook(there: str, wanted: str | None) -> Iterator[Finding]:
    """Compare the webhook that Telegram knows with the one of the settings; of a path, perhaps a secret, no word."""
    if there and wanted is None:
        yield Finding(
            "note",
            "telegram",
            f"messages go to a webhook at {urlsplit(there).netloc}; if a program of yours gets them there, stop it: "
            "`backchat telegram` without --webhook-url takes the webhook away",
        )
    elif wanted is not None and there != wanted:
        found = f"at {urlsplit(there).netloc}" if there else "not set"
        yield Finding("note", "telegram", f"the webhook is {found}; `backchat telegram` sets telegram.webhook_url")

"""Put the parts together as the settings say: what every frontend begins with."""

from __future__ import annotations

import getpass
import secrets
from datetime import UTC, datetime

from bot.model_slot import ModelSlot
from bot.settings import Settings
from seq2seq.registry import Registry
from storage.store import ConversationStore, StorageConfig

IN_MEMORY = "sqlite://"  # a database that never touches the disk and is gone with the process


def open_registry(settings: Settings) -> Registry:
    return Registry(settings.models_dir)


def open_slot(settings: Settings) -> ModelSlot:
    """Load the model that the settings name, else the current one."""
    return ModelSlot(
        open_registry(settings),
        settings.chat.model,
        threads=settings.chat.threads,
        echo_delay_ms=settings.chat.echo_delay_ms,
    )


def open_store(settings: Settings, *, off_record: bool = False) -> ConversationStore:
    """Open the memory; off the record it lives in this process alone."""
    url = IN_MEMORY if off_record else settings.database_url
    return ConversationStore(StorageConfig(url, settings.busy_timeout_s))


def terminal_person() -> str:
    """Return the key of whoever sits at this terminal."""
    try:
        return f"terminal:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "terminal:someone"


def new_conversation() -> str:
    """Return a fresh conversation key: when it began, and four random digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

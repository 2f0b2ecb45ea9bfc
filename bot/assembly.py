"""Put the parts together as the settings say: what every frontend begins with."""

from __future__ import annotations

import getpass
import secrets
from datetime import UTC, datetime
from pathlib import Path

from bot.model_slot import ModelSlot
from bot.settings import Settings
from seq2seq.persona import DEFAULT_PERSONA, Persona, load_persona
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


def open_persona(settings: Settings) -> Persona:
    """Read who the bot is.

    Raises:
        PersonaError: the file cannot be read, or does not have the right form.
    """
    return load_persona(persona_file(settings))


def persona_file(settings: Settings) -> Path:
    """Return the file that the settings name, else ``persona.toml`` in the home, else the one that comes along."""
    own = settings.home / DEFAULT_PERSONA.name
    return settings.chat.persona or (own if own.exists() else DEFAULT_PERSONA)


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
    """Return a fresh conversation key: when it began, and eight random digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"

"""Every option, typed. Later wins: defaults, ``backchat.toml``, ``BACKCHAT_*`` variables, flags.

``backchat.toml`` is read from the home folder and then from the working folder. The sections from ``decoding`` on
hold only what differs from the model's own settings, the preset or the defaults; the dataclasses they override check
the values once more when they are put together.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from bot.errors import SettingsError
from seq2seq.config import CleaningConfig, DecodingConfig, ModelConfig, RetrainingConfig, TrainingConfig
from seq2seq.learning.gate import GateConfig
from seq2seq.scrubbing import ScrubbingConfig
from storage.trust import TrustConfig

PREFIX = "BACKCHAT_"
FILE_NAME = "backchat.toml"
Section = TypeVar(
    "Section",
    DecodingConfig,
    ModelConfig,
    TrainingConfig,
    CleaningConfig,
    RetrainingConfig,
    GateConfig,
    ScrubbingConfig,
    TrustConfig,
)


def _overrides_of(section: type[Any]) -> type[BaseModel]:
    """Make a model of the same fields as a dataclass, each of which may be left out."""
    fields: dict[str, Any] = {name: (kind | None, None) for name, kind in get_type_hints(section).items()}
    return create_model(section.__name__, __config__=ConfigDict(extra="forbid", frozen=True), **fields)


class ChatSettings(BaseModel):
    """Talking. None means: of ``model``, the current one; of ``persona``, ``persona.toml`` in the home, else the one
    that comes with Backchat; of ``seed``, a new one for every reply.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    persona: Path | None = None
    seed: int | None = None
    keep_history: bool = True
    echo_delay_ms: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1, le=64)


def _split_ids(value: Any) -> Any:
    """Take numbers as a list, as one number, or as text with commas between, which variables hold."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return (value,) if isinstance(value, int) else value


Ids = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_split_ids)]


class TelegramSettings(BaseModel):
    """The Telegram bot. Its token comes from ``TELEGRAM_BOT_TOKEN`` or ``token_file``, and is no setting.

    ``allowed`` empty lets everybody in; ids are of people or groups. Limits of 0 are lifted. ``max_waiting`` is how
    many messages of a chat wait for an answer before more are refused; ``workers`` how many chats are answered at
    once. ``webhook_secret`` is drawn at each start where it is not set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_file: Path | None = None
    base_url: str = "https://api.telegram.org/bot"
    base_file_url: str = "https://api.telegram.org/file/bot"
    admins: Ids = ()
    allowed: Ids = ()
    blocked: Ids = ()
    edits: Literal["remake", "ignore"] = "remake"
    buttons: bool = True
    drafts: bool = True
    max_waiting: int = Field(default=60, ge=1)
    workers: int = Field(default=64, ge=1, le=256)
    chat_interval_s: float = Field(default=1.0, ge=0)
    group_per_minute: int = Field(default=20, ge=0)
    per_second: int = Field(default=30, ge=0)
    poll_timeout_s: int = Field(default=50, ge=0, le=50)
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    listen: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65535)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    json_logs: bool = False

    @field_validator("webhook_secret")
    @classmethod
    def _is_sendable(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret.get_secret_value()):
            raise ValueError("Telegram takes 1 to 256 of A-Z a-z 0-9 _ -")
        return secret


_SECRETS = ("telegram.webhook_secret",)
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*(?=@)|([?&]password=)[^&]*")  # in the URL of a database
DecodingOverrides = _overrides_of(DecodingConfig)
ModelOverrides = _overrides_of(ModelConfig)
TrainingOverrides = _overrides_of(TrainingConfig)
CleaningOverrides = _overrides_of(CleaningConfig)
ScrubbingOverrides = _overrides_of(ScrubbingConfig)
TrustOverrides = _overrides_of(TrustConfig)
RetrainingOverrides = _overrides_of(RetrainingConfig)
GateOverrides = _overrides_of(GateConfig)


class Settings(BaseSettings):
    """All sections. ``home`` holds conversations, models, runs and caches."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Field(default_factory=lambda: user_data_path("backchat", appauthor=False))
    database: str | None = None
    busy_timeout_s: float = Field(30.0, ge=0, le=3600)
    chat: ChatSettings = ChatSettings()
    telegram: TelegramSettings = TelegramSettings()
    decoding: DecodingOverrides = DecodingOverrides()  # type: ignore[valid-type]
    model: ModelOverrides = ModelOverrides()  # type: ignore[valid-type]
    training: TrainingOverrides = TrainingOverrides()  # type: ignore[valid-type]
    cleaning: CleaningOverrides = CleaningOverrides()  # type: ignore[valid-type]
    scrubbing: ScrubbingOverrides = ScrubbingOverrides()  # type: ignore[valid-type]
    trust: TrustOverrides = TrustOverrides()  # type: ignore[valid-type]
    retraining: RetrainingOverrides = RetrainingOverrides()  # type: ignore[valid-type]
    gate: GateOverrides = GateOverrides()  # type: ignore[valid-type]

    @field_validator("home")
    @classmethod
    def _expand(cls, home: Path) -> Path:
        return home.expanduser()

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.home / 'conversations.db'}"

    @property
    def history_file(self) -> Path:
        return self.home / "history"

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def cache_dir(self) -> Path:
        return self.home / "cache"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = TomlConfigSettingsSource(settings_cls, toml_file=_files(), deep_merge=True)
        return init_settings, env_settings, files


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Put all sources together.

    Args:
        flags: nested values from the command line, None where a flag was not given.

    Raises:
        SettingsError: a name is unknown or a value is wrong; it offers the nearest known name.
    """
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX).lower().replace("__", ".") not in _names():
            raise SettingsError(f"{variable}: no such setting{_near(variable.removeprefix(PREFIX))}")
    try:
        return Settings(**_without_none(flags or {}))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{FILE_NAME}: not valid TOML ({error})") from error
    except SourceError as error:  # a value that should be JSON, such as a list, and is not
        problem = str(error).splitlines()[0]
        raise SettingsError(f'{problem}: a list is written as JSON, such as \'["a", "b"]\'') from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise SettingsError(f"{name}: no such setting{_near(name)}") from error
        value = "" if name in _SECRETS else f" = {first['input']!r}"
        raise SettingsError(f"{name}{value}: {first['msg']}") from None


def apply_overrides(section: Section, overrides: BaseModel) -> Section:
    """Return ``section`` with the values that are set in ``overrides``."""
    return dataclasses.replace(section, **set_values(overrides))


def set_values(overrides: BaseModel) -> dict[str, Any]:
    """Return the values that are set in ``overrides``, by name."""
    return overrides.model_dump(exclude_none=True)


def explain_settings(settings: Settings) -> list[tuple[str, Any, str]]:
    """Return name, value and source of every setting; a value of None means that the default of its place holds.

    Secrets, and the password of the database, are blotted out.
    """
    rows = []
    files = [(path, tomllib.loads(path.read_text(encoding="utf-8"))) for path in _files() if path.is_file()]
    values = settings.model_dump()
    for name in _names():
        value: Any = values
        for part in name.split("."):
            value = value[part]
        if name == "database" and value is not None:
            value = _PASSWORD.sub(r"\1\2***", value)
        source = "default"
        for path, content in files:
            if _has(content, name):
                source = str(path)
        variable = PREFIX + name.upper().replace(".", "__")
        if variable in {key.upper() for key in os.environ}:
            source = variable
        rows.append((name, value, source))
    return rows


def _files() -> list[Path]:
    home = Path(os.environ.get(f"{PREFIX}HOME") or user_data_path("backchat", appauthor=False)).expanduser()
    return [home / FILE_NAME, Path.cwd() / FILE_NAME]


def _names() -> list[str]:
    names = []
    for name, field in Settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += [f"{name}.{key}" for key in inner.model_fields]
        else:
            names.append(name)
    return names


def _near(name: str) -> str:
    wanted = name.lower().replace("__", ".")
    near = difflib.get_close_matches(wanted, _names(), n=1, cutoff=0.4)
    return f"; did you mean {near[0]}?" if near else ". `backchat config` lists all"


def _has(content: Mapping[str, Any], name: str) -> bool:
    inner: Any = content
    for part in name.split("."):
        if not isinstance(inner, dict) or part not in inner:
            return False
        inner = inner[part]
    return True


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = _without_none(value) or None
        if value is not None:
            kept[name] = value
    return kept

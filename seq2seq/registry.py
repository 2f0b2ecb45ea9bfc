"""Published models: immutable directories by id, of which one is current, or none."""

from __future__ import annotations

import difflib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seq2seq.config import DecodingConfig, ModelConfig
from seq2seq.errors import ModelFilesError, RegistryError
from seq2seq.model_files import ModelDir, load_model_dir, remove_model_dir, write_model_dir

SHIPPED_DIR = Path(__file__).parent / "pretrained"
DEFAULT_MODEL = "english"


@dataclass(frozen=True)
class RegistryEntry:
    """A line of ``models list``. ``problem`` says why a damaged model cannot be used."""

    model_id: str
    is_current: bool
    is_shipped: bool
    model: ModelDir | None
    problem: str | None = None


class Registry:
    """The models under ``models_dir``, and those that ship with the project.

    ``current`` is a text file with one model id, replaced in one step; ``history`` holds the ids that were
    current before, oldest first, one a line. Both change under a lock, so that two processes cannot mix.
    """

    def __init__(self, models_dir: Path, shipped_dir: Path = SHIPPED_DIR) -> None:
        self.models_dir, self._shipped_dir = models_dir, shipped_dir

    def publish(
        self,
        name: str,
        config: ModelConfig,
        decoding: DecodingConfig,
        manifest: Mapping[str, Any],
        fill: Callable[[Path], None],
        now: datetime | None = None,
    ) -> str:
        """Write a new model under a fresh id and return it: start time, name and four random digits.

        Args:
            fill: writes weights, tokenizer and graphs into the folder it is given.
        """
        created = (now or datetime.now(UTC)).astimezone(UTC)
        model_id = f"{created:%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"
        provenance = {"created": created.isoformat(timespec="seconds"), **manifest}
        write_model_dir(self.models_dir / model_id, config, decoding, provenance, fill)
        return model_id

    def promote(self, name: str) -> str:
        """Make a model current, after checking every byte of it; returns its id."""
        model = load_model_dir(self.resolve(name), verify_digests=True)
        with self._locked():
            before = self.current()
            if before == model.model_id:
                return before
            history = self._history()
            self._write("history", "".join(f"{line}\n" for line in [*history, before or DEFAULT_MODEL]))
            self._write("current", model.model_id + "\n")
        return model.model_id

    def rollback(self) -> str:
        """Make the model current that was so before the last promotion; returns its id.

        Raises:
            RegistryError: nothing was promoted, or the model is gone.
        """
        with self._locked():
            history = self._history()
            if not history:
                raise RegistryError("nothing to roll back to: no model was promoted over another")
            previous = history[-1]
            load_model_dir(self.resolve(previous))
            self._write("current", previous + "\n")
            self._write("history", "".join(f"{line}\n" for line in history[:-1]))
        return previous

    def current(self) -> str | None:
        """Return the id of the current model, or None where none was ever promoted."""
        try:
            return (self.models_dir / "current").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(f"{self.models_dir / 'current'}: not readable ({error})") from error

    def resolve(self, name: str | None) -> Path:
        """Return the directory of a model: an id, the unique start of one, a shipped name or a folder.

        None means the current model, else the shipped one.

        Raises:
            RegistryError: there is no such model, or several.
        """
        wanted = name or self.current() or DEFAULT_MODEL
        known = self._ids()
        if wanted in known:
            return known[wanted]
        if os.sep in wanted or wanted in (".", "..") or (Path(wanted) / "manifest.json").exists():
            return Path(wanted)
        matches = [model_id for model_id in known if model_id.startswith(wanted)]
        if len(matches) == 1:
            return known[matches[0]]
        if matches:
            raise RegistryError(f"{wanted}: several models start so: {', '.join(matches)}")
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise RegistryError(f"{wanted}: no such model{hint}. `backchat models list` shows all")

    def entries(self) -> list[RegistryEntry]:
        """Return every model, shipped ones first, then by age; damaged ones with their problem."""
        current = self.current() or DEFAULT_MODEL
        entries = []
        for model_id, path in self._ids().items():
            model, problem = None, None
            try:
                model = load_model_dir(path)
            except ModelFilesError as error:
                problem = str(error)
            shipped = path.parent == self._shipped_dir
            entries.append(RegistryEntry(model_id, model_id == current, shipped, model, problem))
        return entries

    def remove(self, name: str) -> str:
        """Remove a published model; returns its id.

        Raises:
            RegistryError: it is current, or ships with the project.
        """
        path = self.resolve(name)
        if path.parent.resolve() != self.models_dir.resolve():
            raise RegistryError(f"{name}: not a published model of {self.models_dir}; only those can be removed")
        with self._locked():
            if path.name == self.current():
                raise RegistryError(f"{path.name}: is the current model; promote another or roll back first")
            remove_model_dir(path)
            self._write("history", "".join(f"{line}\n" for line in self._history() if line != path.name))
        return path.name

    def _ids(self) -> dict[str, Path]:
        folders = [
            path
            for parent in (self._shipped_dir, self.models_dir)
            if parent.is_dir()
            for path in sorted(parent.iterdir())
            if path.is_dir() and not path.name.startswith(".")
        ]
        return {path.name: path for path in folders}

    def _history(self) -> list[str]:
        try:
            return (self.models_dir / "history").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def _write(self, name: str, text: str) -> None:
        temporary = self.models_dir / f".{name}.writing"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.models_dir / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.models_dir.mkdir(parents=True, exist_ok=True)
        with (self.models_dir / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

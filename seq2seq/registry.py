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
from seq2seq.model_files import MODEL_ID, ModelDir, load_model_dir, remove_model_dir, write_model_dir

SHIPPED_DIR = Path(__file__).parent / "pretrained"
DEFAULT_MODEL = "english"
_LONGEST_NAME = 64


def check_name(name: str) -> None:
    """Tell before hours of training where a model could not be published under a name.

    Raises:
        RegistryError: ``name`` cannot be part of an id.
    """
    if not MODEL_ID.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise RegistryError(
            f"{name!r:.100}: a model's name has letters, digits, '.', '-' and '_', {_LONGEST_NAME} at most"
        )


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

        Raises:
            RegistryError: ``name`` cannot be part of an id.
            ModelFilesError: the model cannot be written.
        """
        check_name(name)
        created = (now or datetime.now(UTC)).astimezone(UTC)
        model_id = f"{created:%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"
        provenance = {"created": created.isoformat(timespec="seconds"), **manifest}
        write_model_dir(self.models_dir / model_id, config, decoding, provenance, fill)
        return model_id

    def promote(self, name: str) -> str:
        """Make a model current, after checking every byte of it; returns its id.

        Raises:
            RegistryError: there is no such model.
            ModelFilesError: it is damaged.
        """
        with self._locked():
            path = self.resolve(name)
            known = self._ids().get(path.name)
            if known is None or known.resolve() != path.resolve():
                raise RegistryError(f"{name}: not a model of {self.models_dir}; only those can be promoted")
            load_model_dir(path, verify_digests=True)
            before = self.current()
            if before != path.name:
                self._write("history", [*self._history(), before or DEFAULT_MODEL])
                self._write("current", [path.name])
        return path.name

    def rollback(self) -> str:
        """Make the model current that was so before the last promotion; returns its id.

        Raises:
            RegistryError: nothing was promoted, or the model is gone.
            ModelFilesError: it is damaged.
        """
        with self._locked():
            history = self._history()
            current = self.current()
            while history and history[-1] == current:  # a promotion was cut short between its two files
                history.pop()
            if not history:
                raise RegistryError("nothing to roll back to: no model was promoted over another")
            previous = history.pop()
            load_model_dir(self.resolve(previous), verify_digests=True)
            self._write("current", [previous])
            self._write("history", history)
        return previous

    def current(self) -> str | None:
        """Return the id of the current model, or None where none was ever promoted.

        Raises:
            RegistryError: the file ``current`` holds anything but a model id.
        """
        lines = self._read("current")
        return lines[0] if lines else None

    def resolve(self, name: str | None) -> Path:
        """Return the directory of a model: an id, the unique start of one, a shipped name or a folder.

        None means the current model, else the shipped one.

        Raises:
            RegistryError: there is no such model, or several.
        """
        if not name:
            return self._current_path()
        known = self._ids()
        if name in known:
            return known[name]
        try:
            if (Path(name) / "manifest.json").exists() or os.sep in name or name in (".", ".."):
                return Path(name).resolve()
        except (OSError, ValueError) as error:  # too long for a path
            raise RegistryError(f"{name!r:.100}: neither a model id nor a folder ({error})") from error
        matches = [model_id for model_id in known if model_id.startswith(name)]
        if len(matches) == 1:
            return known[matches[0]]
        if matches:
            raise RegistryError(f"{name}: several models start so: {', '.join(matches)}")
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise RegistryError(f"{name}: no such model{hint}. `backchat models list` shows all")

    def shipped(self) -> list[str]:
        """Return the names of the models that ship with the project."""
        return [model_id for model_id, path in self._ids().items() if path.parent == self._shipped_dir]

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
        with self._locked():
            path = self.resolve(name)
            if path.parent.resolve() != self.models_dir.resolve():
                raise RegistryError(f"{name}: not a published model of {self.models_dir}; only those can be removed")
            if path.name == self.current():
                raise RegistryError(f"{path.name}: is the current model; promote another or roll back first")
            remove_model_dir(path)
            self._write("history", [line for line in self._history() if line != path.name])
        return path.name

    def _current_path(self) -> Path:
        while True:
            wanted = self.current() or DEFAULT_MODEL
            known = self._ids()
            if wanted in known:
                return known[wanted]
            if wanted == (
                self.current() or DEFAULT_MODEL
            ):  # else another was promoted meanwhile, and this one removed
                raise RegistryError(
                    f"{wanted}: the current model is gone; train one, or promote one of {', '.join(known) or 'none'}"
                )

    def _ids(self) -> dict[str, Path]:
        folders = [
            path
            for parent in (self._shipped_dir, self.models_dir)
            if parent.is_dir()
            for path in sorted(parent.iterdir())
            if MODEL_ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]
        return {path.name: path for path in folders}

    def _history(self) -> list[str]:
        return self._read("history")

    def _read(self, name: str) -> list[str]:
        """Return the model ids in a file of ours, one a line; none where there is no file."""
        path = self.models_dir / name
        try:
            ids = path.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(f"{path}: not readable ({error}); remove it, and promote a model") from error
        for model_id in ids:
            if not MODEL_ID.fullmatch(model_id):
                raise RegistryError(f"{path}: {model_id!r:.100} is no model id; remove it, and promote a model")
        return ids

    def _write(self, name: str, ids: list[str]) -> None:
        temporary = self.models_dir / f".{name}.writing"
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{model_id}\n" for model_id in ids)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.models_dir / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.models_dir.mkdir(parents=True, exist_ok=True)
            with (self.models_dir / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise RegistryError(f"{self.models_dir}: cannot be changed ({error.strerror or error})") from error

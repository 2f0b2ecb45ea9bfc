"""A model directory: written whole or not at all, and checked before anything in it is believed.

Nothing here needs torch or onnx, and nothing is ever unpickled. ``manifest.json`` holds the size and SHA-256
of every other file. Sizes are compared when a directory is opened; digests by whoever reads a file, before it
is parsed: a flipped bit in a graph makes ONNX Runtime end the process or, worse, answer nonsense.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seq2seq.config import DecodingConfig, ModelConfig
from seq2seq.errors import MissingExtraError, ModelFilesError, Seq2SeqError

if TYPE_CHECKING:  # the terminal chat looks for its model before it loads what replies need
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 2  # 1: sentences began with capitals inside
_REMEDY = "remove the model, and publish or install it again"
FILES = ("model.safetensors", "tokenizer.json", "config.json", "encoder.onnx", "step.onnx")
LEARNED = "learned.json"  # which turns of a memory it was trained on; only of models that were
_UNFINISHED, _GIVEN_UP_S = ".writing-", 3600.0  # folders that are being written, and how long that may take
MODEL_ID = re.compile(r"\w[\w.-]{0,99}")
_LARGEST_JSON_BYTES = 16 * 2**20
_MOST_PARAMETERS = 2**30
_MOST_MEMORY = 2**26  # source positions times their width: numbers a row holds while it is decoded
Section = TypeVar("Section", ModelConfig, DecodingConfig)


@dataclass(frozen=True)
class ModelDir:
    """A checked model directory. ``manifest`` tells its corpora, settings, results and parent."""

    path: Path
    model_id: str
    config: ModelConfig
    decoding: DecodingConfig
    manifest: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        return sum(int(file["bytes"]) for file in self.manifest["files"].values())

    def read_checked(self, name: str) -> bytes:
        """Return the bytes of one of its files, after comparing their digest.

        Raises:
            ModelFilesError: they are not those that were published.
        """
        return _read_checked(self.path / name, self.manifest["files"][name]["sha256"])

    def check_digests(self, names: Iterable[str] | None = None) -> None:
        """Compare the SHA-256 of files with the manifest's; of all where none is named.

        Raises:
            ModelFilesError: one differs.
        """
        for name in self.manifest["files"] if names is None else names:
            self.read_checked(name)


def write_model_dir(
    path: Path,
    config: ModelConfig,
    decoding: DecodingConfig,
    manifest: Mapping[str, Any],
    fill: Callable[[Path], None],
) -> None:
    """Write a model directory under a temporary name, sync it, and move it to ``path``.

    Args:
        manifest: provenance; ``model``, ``format`` and ``files`` are added here.
        fill: puts every file but ``config.json`` and the manifest into the folder that it is given.

    Raises:
        ModelFilesError: there is something at ``path`` already, or the disk refuses.
    """
    if path.exists() or path.is_symlink():
        raise ModelFilesError(f"{path}: is there already; a published model is never changed")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=path.parent) as folder:
            work = Path(folder) / "model"
            work.mkdir()
            fill(work)
            sections = {"model": dataclasses.asdict(config), "decoding": dataclasses.asdict(decoding)}
            _write_json(work / "config.json", {"format": FORMAT, **sections})
            names = [*FILES, *([LEARNED] if (work / LEARNED).exists() else [])]
            files = {name: {"bytes": (work / name).stat().st_size, "sha256": _sha256(work / name)} for name in names}
            _write_json(work / "manifest.json", {**manifest, "model": path.name, "format": FORMAT, "files": files})
            for name in (*names, "manifest.json"):
                _sync(work / name)
            _sync(work)
            work.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise ModelFilesError(f"{path}: cannot write the model ({error.strerror or error})") from error


def _sweep(folder: Path) -> None:
    """Remove what a writer left behind that was killed hours ago."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > _GIVEN_UP_S:
            shutil.rmtree(left, ignore_errors=True)


def load_model_dir(path: Path, *, verify_digests: bool = False) -> ModelDir:
    """Check a model directory and read its settings; the other files stay on disk.

    Args:
        verify_digests: read every file and compare its SHA-256 too; else only sizes.

    Raises:
        ModelFilesError: the directory is missing, damaged, foreign, or of another format.
    """
    if not path.is_dir():
        raise ModelFilesError(f"{path}: no model directory there; `backchat models list` shows those that are")
    manifest = _read_json(path / "manifest.json")
    version = manifest.get("format")
    if version != FORMAT:
        hint = "no Backchat wrote it"
        if isinstance(version, int):
            is_newer = version > FORMAT
            hint = "a newer Backchat wrote it: upgrade" if is_newer else "an older one wrote it: train it again"
        raise ModelFilesError(f"{path / 'manifest.json'}: format {version!r}, this version reads {FORMAT}; {hint}")
    model_id = manifest.get("model")
    if not isinstance(model_id, str) or not MODEL_ID.fullmatch(model_id):
        raise ModelFilesError(f"{path / 'manifest.json'}: {model_id!r:.100} is no model id; {_REMEDY}")
    _check_files(path, manifest)
    settings = path / "config.json"
    sections = _parse_json(settings, _read_checked(settings, manifest["files"][settings.name]["sha256"]))
    try:
        config = _section(ModelConfig, sections["model"])
        decoding = _section(DecodingConfig, sections["decoding"])
        _check_sizes(config)
    except (KeyError, TypeError, ValueError, Seq2SeqError) as error:
        raise ModelFilesError(f"{settings}: not a model's settings ({error}); {_REMEDY}") from error
    model = ModelDir(path, model_id, config, decoding, manifest)
    if verify_digests:
        model.check_digests()
    return model


def _section(kind: type[Section], values: object) -> Section:
    """Build a settings section from JSON, every value of the type of its default.

    Ways of decoding that came later have their defaults, parts of a model that came later are off; its sizes are all
    there.
    """
    if not isinstance(values, dict):
        raise TypeError(f"expected an object, found {type(values).__name__}")
    typed: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name not in values and (kind is DecodingConfig or field.default is False):
            continue
        value, default = values[field.name], field.default
        if isinstance(default, tuple):
            value = tuple(value) if isinstance(value, list) else value
        elif isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default) or (
            isinstance(value, tuple) and not all(isinstance(item, str) for item in value)
        ):
            raise ValueError(f"{field.name} is {value!r:.100}")
        typed[field.name] = value
    if odd := set(values) - set(typed):
        raise ValueError(f"unknown: {', '.join(sorted(odd))}")
    return kind(**typed)


def _check_sizes(config: ModelConfig) -> None:
    """Refuse sizes that no model of ours has, before anything is allocated by them."""
    width = max(config.embed_size, config.hidden_size, config.attention_size)
    parameters = config.vocab_size * width + 16 * width**2 * (config.encoder_layers + config.decoder_layers)
    memory = config.max_source_tokens * width
    if parameters > _MOST_PARAMETERS or memory > _MOST_MEMORY or config.max_target_tokens > _MOST_MEMORY:
        raise ValueError(f"larger than any model of ours: {config}")


def write_weights(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write weights as safetensors in half precision: below what 8-bit replies can tell, at half the size."""
    from safetensors.numpy import save_file

    save_file({name: array.astype("float16") for name, array in weights.items()}, path)
    path.chmod(0o644)  # as the model's other files are


def read_weights(model: ModelDir, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Read a model's weights as float32.

    Args:
        shapes: name and shape of every weight that the model's settings imply; compared before any is read.

    Raises:
        ModelFilesError: the file is damaged, or holds other tensors.
        MissingExtraError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtraError("reading weights needs the extra: pip install 'backchat[train]'") from error
    path = model.path / "model.safetensors"
    model.check_digests([path.name])
    try:
        with safe_open(path, framework="np") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != dict(shapes):
                odd = sorted(set(found.items()) ^ set(shapes.items()))[0]
                raise ModelFilesError(f"{path}: does not hold the weights of its config.json: {odd[0]} {odd[1]}")
            return {name: file.get_tensor(name).astype("float32") for name in shapes}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelFilesError(f"{path}: not a readable weights file ({error})") from error


def _check_files(path: Path, manifest: Mapping[str, Any]) -> None:
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) - {LEARNED} != set(FILES):
        raise ModelFilesError(f"{path / 'manifest.json'}: does not list the files of a model ({', '.join(FILES)})")
    for name in listed:
        file, entry = path / name, listed[name]
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise ModelFilesError(f"{path / 'manifest.json'}: the entry of {name} is damaged; {_REMEDY}")
        size = _size_of(file)
        if type(entry.get("bytes")) is not int or size != entry["bytes"]:
            raise ModelFilesError(
                f"{file}: has {size} bytes, the manifest says {entry.get('bytes')!r:.100}; it is damaged: {_REMEDY}"
            )


def _size_of(file: Path) -> int:
    """Return the size of a file of the directory; what points elsewhere could change behind our back."""
    try:
        found = file.lstat()
    except OSError as error:
        raise ModelFilesError(f"{file}: missing ({error.strerror}); {_REMEDY}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ModelFilesError(f"{file}: not a plain file; {_REMEDY}")
    return found.st_size


def _read_json(path: Path) -> dict[str, Any]:
    if _size_of(path) > _LARGEST_JSON_BYTES:
        raise ModelFilesError(f"{path}: larger than any file of this name can be; {_REMEDY}")
    return _parse_json(path, _read_bytes(path))


def _parse_json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{path}: not readable ({error}); {_REMEDY}") from error
    if not isinstance(value, dict):
        raise ModelFilesError(f"{path}: expected an object, found {type(value).__name__}; {_REMEDY}")
    return value


def _read_checked(path: Path, sha256: str) -> bytes:
    content = _read_bytes(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFilesError(f"{path}: its SHA-256 is not the manifest's; it is damaged: {_REMEDY}")
    return content


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFilesError(f"{path}: not readable ({error.strerror})") from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_model_dir(path: Path) -> None:
    """Remove a model directory: gone in one step for readers, then from the disk.

    Raises:
        ModelFilesError: the disk refuses.
    """
    doomed = path.with_name(f".removing-{path.name}")
    try:
        path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise ModelFilesError(f"{path}: cannot remove the model ({error.strerror or error})") from error

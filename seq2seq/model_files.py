"""A model directory: written whole or not at all, and checked before anything in it is believed.

Nothing here needs torch or onnx, and nothing is ever unpickled. ``manifest.json`` holds the size and SHA-256
of every other file; sizes are compared at every load, digests where there is time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import DecodingConfig, ModelConfig
from seq2seq.errors import MissingExtraError, ModelFilesError, Seq2SeqError

FORMAT = 1
FILES = ("model.safetensors", "tokenizer.json", "config.json", "encoder.onnx", "step.onnx", "unigrams.npy")
_LARGEST_JSON_BYTES = 16 * 2**20
_MOST_PARAMETERS = 2**30


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
    if path.exists():
        raise ModelFilesError(f"{path}: is there already; a published model is never changed")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            work = Path(folder) / "model"
            work.mkdir()
            fill(work)
            sections = {"model": dataclasses.asdict(config), "decoding": dataclasses.asdict(decoding)}
            _write_json(work / "config.json", {"format": FORMAT, **sections})
            files = {name: {"bytes": (work / name).stat().st_size, "sha256": _sha256(work / name)} for name in FILES}
            _write_json(work / "manifest.json", {**manifest, "model": path.name, "format": FORMAT, "files": files})
            for name in (*FILES, "manifest.json"):
                _sync(work / name)
            work.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise ModelFilesError(f"{path}: cannot write the model ({error.strerror or error})") from error


def load_model_dir(path: Path, *, verify_digests: bool = False) -> ModelDir:
    """Check a model directory and read its small files; the weights stay on disk.

    Args:
        verify_digests: read every file and compare its SHA-256 too; else only sizes.

    Raises:
        ModelFilesError: the directory is missing, damaged, foreign, or of a newer format.
    """
    if not path.is_dir():
        raise ModelFilesError(f"{path}: no model directory there; `backchat models list` shows those that are")
    manifest = _read_json(path / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ModelFilesError(
            f"{path / 'manifest.json'}: format {manifest.get('format')!r}, this version reads {FORMAT}; "
            "a newer Backchat wrote it, or something else did"
        )
    _check_files(path, manifest, verify_digests)
    sections = _read_json(path / "config.json")
    try:
        config = ModelConfig(**sections["model"])
        settings: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in sections["decoding"].items()}
        decoding = DecodingConfig(**settings)
        parameters = config.vocab_size * config.embed_size + 16 * config.hidden_size**2 * (
            config.encoder_layers + config.decoder_layers
        )
        if parameters > _MOST_PARAMETERS:
            raise Seq2SeqError(f"{parameters:,} parameters are more than any model of ours has")
        model_id = str(manifest["model"])
    except (KeyError, TypeError, AttributeError, Seq2SeqError) as error:
        raise ModelFilesError(f"{path / 'config.json'}: not a model's settings ({error})") from error
    return ModelDir(path, model_id, config, decoding, manifest)


def write_weights(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write weights as safetensors in half precision: below what 8-bit replies can tell, at half the size."""
    from safetensors.numpy import save_file

    save_file({name: array.astype(np.float16) for name, array in weights.items()}, path)


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
    try:
        with safe_open(path, framework="np") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != dict(shapes):
                odd = sorted(set(found.items()) ^ set(shapes.items()))[0]
                raise ModelFilesError(f"{path}: does not hold the weights of its config.json: {odd[0]} {odd[1]}")
            return {name: file.get_tensor(name).astype(np.float32) for name in shapes}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelFilesError(f"{path}: not a readable weights file ({error})") from error


def _check_files(path: Path, manifest: Mapping[str, Any], verify_digests: bool) -> None:
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != set(FILES):
        raise ModelFilesError(f"{path / 'manifest.json'}: does not list the files of a model ({', '.join(FILES)})")
    for name in FILES:
        file, entry = path / name, listed[name]
        if not isinstance(entry, dict):
            raise ModelFilesError(f"{path / 'manifest.json'}: the entry of {name} is damaged")
        if file.is_symlink() or not file.is_file():
            raise ModelFilesError(f"{file}: missing; publish or install the model again")
        size = file.stat().st_size
        if size != entry.get("bytes"):
            raise ModelFilesError(
                f"{file}: has {size} bytes, the manifest says {entry.get('bytes')}; it is damaged: "
                "remove the model and publish or install it again"
            )
        if verify_digests and _sha256(file) != entry.get("sha256"):
            raise ModelFilesError(f"{file}: its SHA-256 is not the manifest's; it is damaged: remove the model")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON_BYTES:
            raise ModelFilesError(f"{path}: larger than any file of this name can be")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFilesError(f"{path}: missing; this is no model directory, or a damaged one") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFilesError(f"{path}: not readable ({error})") from error
    if not isinstance(value, dict):
        raise ModelFilesError(f"{path}: expected an object, found {type(value).__name__}")
    return value


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
    """Remove a model directory: gone in one step for readers, then from the disk."""
    doomed = path.with_name(f".removing-{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed)

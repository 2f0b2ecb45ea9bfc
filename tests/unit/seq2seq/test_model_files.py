from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.config import DecodingConfig, ModelConfig
from seq2seq.errors import ModelFilesError, Seq2SeqError, TokenizerError
from seq2seq.model import expected_shapes
from seq2seq.model_files import FILES, load_model_dir, read_weights, remove_model_dir, write_model_dir
from seq2seq.predictor import Predictor
from tests.builders import PublishedModel


@pytest.fixture
def folder(published: PublishedModel, tmp_path: Path) -> Path:
    """Return a copy of a valid directory, to be damaged."""
    return Path(shutil.copytree(published.path, tmp_path / published.model_id))


def forge(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, and make the manifest agree: what a foreign program might write."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forge_json(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    value = json.loads((folder / name).read_text())
    change(value)
    if name == "manifest.json":
        (folder / name).write_text(json.dumps(value))
    else:
        forge(folder, name, json.dumps(value).encode())


def fill(folder: Path) -> None:
    for name in FILES:
        if name != "config.json":
            (folder / name).write_bytes(name.encode())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    config, decoding = ModelConfig(vocab_size=300), DecodingConfig(strategy="beam", stop=("a", "b"), top_p=0.5)
    path = tmp_path / "models" / "m1"
    write_model_dir(path, config, decoding, {"seed": 3}, fill)
    model = load_model_dir(path, verify_digests=True)
    assert (model.path, model.model_id, model.config, model.decoding) == (path, "m1", config, decoding)
    assert model.manifest["seed"] == 3
    assert model.size_bytes == sum((path / name).stat().st_size for name in FILES)


def test_nothing_is_visible_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "m1"

    def interrupted(folder: Path) -> None:
        fill(folder)
        assert not path.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_model_dir(path, ModelConfig(), DecodingConfig(), {}, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_swept_away_once_it_is_old(tmp_path: Path) -> None:
    old, young = tmp_path / ".writing-old", tmp_path / ".writing-young"
    for left in (old, young):
        (left / "model").mkdir(parents=True)
    os.utime(old, (0, 0))
    write_model_dir(tmp_path / "m1", ModelConfig(vocab_size=300), DecodingConfig(), {}, fill)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-young", "m1"]


def test_a_file_that_is_not_filled_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="m1"):
        write_model_dir(tmp_path / "m1", ModelConfig(), DecodingConfig(), {}, lambda folder: None)
    assert list(tmp_path.iterdir()) == []


def test_a_published_model_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "m1").mkdir()
    with pytest.raises(ModelFilesError, match="never changed"):
        write_model_dir(tmp_path / "m1", ModelConfig(), DecodingConfig(), {}, fill)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFilesError, match=name):
        load_model_dir(folder)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_truncated_file_is_named(folder: Path, name: str) -> None:
    os.truncate(folder / name, (folder / name).stat().st_size // 2)
    with pytest.raises(ModelFilesError, match=name):
        load_model_dir(folder)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_link_or_a_pipe_in_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(ModelFilesError, match=f"{name}.*plain file"):
        load_model_dir(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelFilesError, match=f"{name}.*plain file"):
        load_model_dir(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "encoder.onnx", "step.onnx", "config.json"])
def test_a_flipped_bit_is_found_before_the_file_is_parsed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / name).write_bytes(content)
    with pytest.raises(ModelFilesError, match=f"{name}.*SHA-256"):
        Predictor.load(folder)


def test_a_flipped_bit_of_the_weights_is_found_when_they_are_read(folder: Path) -> None:
    model = load_model_dir(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 4
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelFilesError, match="SHA-256"):
        load_model_dir(folder, verify_digests=True)
    with pytest.raises(ModelFilesError, match="SHA-256"):
        read_weights(model, expected_shapes(model.config))


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (3, "newer Backchat"),
        (10**30, "newer Backchat"),
        (1, "older one"),
        ("x", "no Backchat"),
        (None, "no Backchat"),
    ],
)
def test_another_format_is_refused(folder: Path, version: object, message: str) -> None:
    forge_json(folder, "manifest.json", lambda manifest: manifest.update(format=version))
    with pytest.raises(ModelFilesError, match=rf"manifest.json.*{message}"):
        load_model_dir(folder)


JUNK = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"format": NaN}', b"9" * 5000]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_junk_json_is_refused(folder: Path, name: str, junk: bytes) -> None:
    if name == "manifest.json":
        (folder / name).write_bytes(junk)
    else:
        forge(folder, name, junk)
    with pytest.raises(ModelFilesError, match=name):
        load_model_dir(folder)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_a_junk_tokenizer_is_refused(folder: Path, junk: bytes) -> None:
    forge(folder, "tokenizer.json", junk)
    with pytest.raises(TokenizerError, match="tokenizer"):
        Predictor.load(folder)


def test_huge_json_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(10**10)  # a hole: it takes no room on the disk
    with pytest.raises(ModelFilesError, match="larger"):
        load_model_dir(folder)


@pytest.mark.parametrize("model_id", ["../x", "/etc", "", ".", "a/b", "a\n", "x" * 101, 5, None, ["m"]])
def test_a_hostile_model_id_is_refused(folder: Path, model_id: object) -> None:
    forge_json(folder, "manifest.json", lambda manifest: manifest.update(model=model_id))
    with pytest.raises(ModelFilesError, match=r"manifest.json.*no model id"):
        load_model_dir(folder)


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {},
        {"x": {}},
        dict.fromkeys(FILES),
        {name: {"bytes": "9", "sha256": "0"} for name in FILES},
        {name: [1] for name in FILES},
    ],
    ids=range(7),
)
def test_a_manifest_with_odd_files_is_refused(folder: Path, files: object) -> None:
    forge_json(folder, "manifest.json", lambda manifest: manifest.update(files=files))
    with pytest.raises(ModelFilesError):
        load_model_dir(folder)


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("model", {"vocab_size": 10**12}),
        ("model", {"hidden_size": 10**6}),
        ("model", {"attention_size": 10**9}),
        ("model", {"max_source_tokens": 10**9}),
        ("model", {"max_target_tokens": 10**12}),
        ("model", {"decoder_layers": 10**7}),
        ("model", {"embed_size": -1}),
        ("model", {"embed_size": "48"}),
        ("model", {"embed_size": True}),
        ("model", {"embed_size": 48.0}),
        ("model", {"hidden_size": 97}),
        ("model", {"colour": 1}),
        ("model", {"residual": 1}),
        ("decoding", {"temperature": "hot"}),
        ("decoding", {"temperature": float("nan")}),
        ("decoding", {"temperature": 0}),
        ("decoding", {"top_k": 1.5}),
        ("decoding", {"strategy": ["rank"]}),
        ("decoding", {"stop": "abc"}),
        ("decoding", {"stop": [1]}),
        ("decoding", {"blocklist": {"a": 1}}),
        ("decoding", {"max_tokens": 10**9}),
    ],
    ids=str,
)
def test_settings_that_no_model_has_are_refused(folder: Path, section: str, change: dict[str, object]) -> None:
    forge_json(folder, "config.json", lambda config: config[section].update(change))
    with pytest.raises(ModelFilesError, match=r"config\.json"):
        load_model_dir(folder)


@pytest.mark.parametrize("section", ["model", "decoding"])
@pytest.mark.parametrize("value", [None, [], "", 3])
def test_a_section_of_another_kind_is_refused(folder: Path, section: str, value: object) -> None:
    forge_json(folder, "config.json", lambda config: config.update({section: value}))
    with pytest.raises(ModelFilesError, match=r"config\.json"):
        load_model_dir(folder)


def test_what_came_later_has_its_default_or_is_off(folder: Path) -> None:
    forge_json(folder, "config.json", lambda config: config["model"].pop("residual"))
    assert load_model_dir(folder).config.residual is False
    forge_json(folder, "config.json", lambda config: config["decoding"].pop("typical_p"))
    assert load_model_dir(folder).decoding.typical_p == 1.0
    forge_json(folder, "config.json", lambda config: config["model"].pop("embed_size"))
    with pytest.raises(ModelFilesError, match="embed_size"):
        load_model_dir(folder)


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "attention_size", "decoder_layers"])
def test_settings_of_another_model_are_refused_by_its_graphs(folder: Path, name: str) -> None:
    forge_json(folder, "config.json", lambda config: config["model"].update({name: config["model"][name] + 2}))
    with pytest.raises(ModelFilesError, match=r"config\.json"):
        Predictor.load(folder)


@pytest.mark.parametrize("name", ["encoder.onnx", "step.onnx"])
@pytest.mark.parametrize("content", [b"", b"\x08\x08", b"not a graph" * 50], ids=range(3))
def test_a_foreign_graph_is_refused(folder: Path, name: str, content: bytes) -> None:
    forge(folder, name, content)
    with pytest.raises(ModelFilesError, match=name):
        Predictor.load(folder)


def test_exchanged_graphs_are_refused(folder: Path) -> None:
    encoder = (folder / "encoder.onnx").read_bytes()
    forge(folder, "encoder.onnx", (folder / "step.onnx").read_bytes())
    forge(folder, "step.onnx", encoder)
    with pytest.raises(ModelFilesError, match=r"encoder\.onnx"):
        Predictor.load(folder)


def test_weights_of_other_shapes_are_refused_before_they_are_read(folder: Path) -> None:
    model = load_model_dir(folder)
    shapes = {**expected_shapes(model.config), "output_bias": (5,)}
    with pytest.raises(ModelFilesError, match="output_bias"):
        read_weights(model, shapes)
    forge(folder, "model.safetensors", (10**15).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelFilesError, match=r"model\.safetensors"):
        read_weights(load_model_dir(folder), shapes)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="backchat models list"):
        load_model_dir(tmp_path / "nowhere")


def test_removing_takes_everything(folder: Path) -> None:
    remove_model_dir(folder)
    assert not any(path.name.startswith((".", folder.name)) for path in folder.parent.iterdir())
    with pytest.raises(Seq2SeqError):
        remove_model_dir(folder)

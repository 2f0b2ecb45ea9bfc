from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seq2seq.config import DecodingConfig, ModelConfig
from seq2seq.errors import ModelFilesError, RegistryError
from seq2seq.model_files import FILES, write_model_dir
from seq2seq.registry import DEFAULT_MODEL, Registry


def fill(folder: Path) -> None:
    for name in FILES:
        if name != "config.json":
            (folder / name).write_bytes(name.encode())


def publish(registry: Registry, name: str = "m") -> str:
    return registry.publish(name, ModelConfig(), DecodingConfig(), {}, fill)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Return a registry with a shipped model and none of its own."""
    write_model_dir(tmp_path / "shipped" / DEFAULT_MODEL, ModelConfig(), DecodingConfig(), {}, fill)
    return Registry(tmp_path / "models", tmp_path / "shipped")


def test_an_id_tells_when_and_what(registry: Registry) -> None:
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    model_id = registry.publish("chess-club", ModelConfig(), DecodingConfig(), {}, fill, now)
    assert re.fullmatch(r"20260304-050607-chess-club-[0-9a-f]{4}", model_id)
    manifest = json.loads((registry.models_dir / model_id / "manifest.json").read_text())
    assert (manifest["model"], manifest["created"]) == (model_id, "2026-03-04T05:06:07+00:00")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "two words", "a\n", "a\0", "x" * 65])
def test_a_name_that_cannot_be_part_of_an_id_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match="letters, digits"):
        publish(registry, name)
    assert not registry.models_dir.exists()


def test_the_shipped_model_answers_until_one_is_promoted(registry: Registry) -> None:
    assert registry.current() is None
    assert registry.resolve(None).name == DEFAULT_MODEL
    model_id = publish(registry)
    assert registry.resolve(None).name == DEFAULT_MODEL
    assert registry.promote(model_id) == model_id
    assert registry.current() == model_id
    assert registry.resolve(None) == registry.models_dir / model_id


def test_rolling_back_goes_step_by_step_to_the_shipped_model(registry: Registry) -> None:
    first, second, third = (publish(registry, name) for name in "abc")
    for model_id in (first, second, third):
        registry.promote(model_id)
    assert [registry.rollback() for _ in range(3)] == [second, first, DEFAULT_MODEL]
    assert registry.current() == DEFAULT_MODEL
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        registry.rollback()
    assert registry.resolve(None).name == DEFAULT_MODEL


def test_promoting_the_current_model_again_changes_nothing(registry: Registry) -> None:
    model_id = publish(registry)
    registry.promote(model_id)
    registry.promote(model_id)
    assert registry.rollback() == DEFAULT_MODEL


def test_the_shipped_model_can_be_promoted(registry: Registry) -> None:
    model_id = publish(registry)
    registry.promote(model_id)
    assert registry.promote(DEFAULT_MODEL) == DEFAULT_MODEL
    assert registry.rollback() == model_id


def test_a_promotion_cut_short_between_its_files_does_not_stop_a_rollback(registry: Registry) -> None:
    first, second = publish(registry, "a"), publish(registry, "b")
    registry.promote(first)
    registry.promote(second)
    history = registry.models_dir / "history"
    history.write_text(history.read_text() + second + "\n")  # what a third promotion writes first
    assert registry.rollback() == first


def test_a_damaged_model_is_neither_promoted_nor_rolled_back_to(registry: Registry) -> None:
    first, second = publish(registry, "a"), publish(registry, "b")
    registry.promote(first)
    registry.promote(second)
    (registry.models_dir / first / "step.onnx").write_bytes(b"step.onnX")  # the same size
    with pytest.raises(ModelFilesError, match=r"step.onnx.*SHA-256"):
        registry.rollback()
    with pytest.raises(ModelFilesError, match=r"step.onnx.*SHA-256"):
        registry.promote(first)
    assert registry.current() == second


def test_models_resolve_by_id_prefix_shipped_name_and_folder(registry: Registry, tmp_path: Path) -> None:
    first, second = publish(registry, "apple"), publish(registry, "apricot")
    path = registry.models_dir / first
    assert registry.resolve(first) == path
    assert registry.resolve(first[:-2]) == path or first[:-2] == second[:-2]
    assert registry.resolve("eng") == tmp_path / "shipped" / DEFAULT_MODEL
    assert registry.resolve(str(path)) == path
    if first[:15] == second[:15]:  # published in the same second
        with pytest.raises(RegistryError, match="several"):
            registry.resolve(first[:15])
    with pytest.raises(RegistryError, match=f"near: {DEFAULT_MODEL}"):
        registry.resolve("englihs")


@pytest.mark.parametrize("name", ["x\0y", "x" * 5000, "n/" + "x" * 5000])
def test_what_is_neither_id_nor_path_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match=r"neither a model id nor a folder|no such model"):
        registry.resolve(name)


@pytest.mark.parametrize("content", ["../shipped/english", "/etc", "a b/c", "..", "\0", "x" * 300])
def test_a_current_file_with_a_path_inside_is_refused(registry: Registry, content: str) -> None:
    registry.models_dir.mkdir()
    (registry.models_dir / "current").write_text(content + "\n")
    with pytest.raises(RegistryError, match=r"current.*no model id"):
        registry.resolve(None)


def test_an_unreadable_current_file_is_named(registry: Registry) -> None:
    registry.models_dir.mkdir()
    (registry.models_dir / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(RegistryError, match="current"):
        registry.current()
    (registry.models_dir / "current").unlink()
    (registry.models_dir / "current").mkdir()
    with pytest.raises(RegistryError, match="current"):
        registry.resolve(None)


def test_a_current_model_that_is_gone_says_so(registry: Registry) -> None:
    registry.models_dir.mkdir()
    (registry.models_dir / "current").write_text("20250101-000000-gone-0000\n")
    with pytest.raises(RegistryError, match="gone"):
        registry.resolve(None)


def test_only_published_models_are_promoted(registry: Registry, tmp_path: Path) -> None:
    write_model_dir(tmp_path / "foreign", ModelConfig(), DecodingConfig(), {}, fill)
    with pytest.raises(RegistryError, match="only those can be promoted"):
        registry.promote(str(tmp_path / "foreign"))
    write_model_dir(tmp_path / "other" / DEFAULT_MODEL, ModelConfig(), DecodingConfig(), {}, fill)
    with pytest.raises(RegistryError, match="only those can be promoted"):
        registry.promote(str(tmp_path / "other" / DEFAULT_MODEL))
    assert registry.current() is None


def test_the_current_and_the_shipped_model_are_not_removed(registry: Registry, tmp_path: Path) -> None:
    model_id = publish(registry)
    registry.promote(model_id)
    with pytest.raises(RegistryError, match="is the current model"):
        registry.remove(model_id)
    with pytest.raises(RegistryError, match="not a published model"):
        registry.remove(DEFAULT_MODEL)
    write_model_dir(tmp_path / "foreign", ModelConfig(), DecodingConfig(), {}, fill)
    with pytest.raises(RegistryError, match="not a published model"):
        registry.remove(str(tmp_path / "foreign"))


def test_a_removed_model_is_rolled_back_over(registry: Registry) -> None:
    first, second = publish(registry, "a"), publish(registry, "b")
    for model_id in (first, second, first):
        registry.promote(model_id)
    assert registry.remove(second) == second
    assert not (registry.models_dir / second).exists()
    assert registry.rollback() == DEFAULT_MODEL  # not to itself


def test_entries_show_damaged_models_with_their_problem(registry: Registry) -> None:
    first, second = publish(registry, "a"), publish(registry, "b")
    registry.promote(second)
    (registry.models_dir / first / "config.json").write_text("{}")
    (registry.models_dir / ".writing-x").mkdir()
    (registry.models_dir / "notes").write_text("no model")
    (registry.models_dir / "linked").symlink_to(registry.models_dir / second)
    entries = {entry.model_id: entry for entry in registry.entries()}
    assert next(iter(entries)) == DEFAULT_MODEL
    assert set(entries) == {DEFAULT_MODEL, first, second}
    assert [entry.is_shipped for entry in entries.values()].count(True) == 1
    assert entries[second].is_current
    assert not entries[DEFAULT_MODEL].is_current
    assert entries[first].model is None
    assert "config.json" in (entries[first].problem or "")


def test_a_folder_that_cannot_be_written_is_an_expected_failure(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(RegistryError, match="cannot be changed"):
        Registry(tmp_path / "models", tmp_path / "none").rollback()

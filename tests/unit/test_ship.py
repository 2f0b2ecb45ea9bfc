from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts import ship
from seq2seq.model_files import load_model_dir
from seq2seq.publishing import load_model
from seq2seq.registry import Registry
from tests.published import publish_tiny


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two published models with one tokenizer and other weights; what ships goes to a folder of its own."""
    monkeypatch.setattr(ship, "SHIPPED_DIR", tmp_path / "shipped")
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    registry = Registry(tmp_path / "models")
    first, second = (registry.resolve(publish_tiny(tmp_path / "models", seed)[0]) for seed in (0, 1))
    return first, second


def test_what_ships_is_the_model_or_part_of_the_way_to_it(published: tuple[Path, Path]) -> None:
    first, second = (load_model(load_model_dir(path)).state_dict() for path in published)
    target = ship.ship(published[0], "mine")
    shipped = load_model(load_model_dir(target, verify_digests=True)).state_dict()
    assert all(torch.equal(shipped[name], first[name]) for name in first)
    ship.ship(published[1], "mine", 0.25)
    model_dir = load_model_dir(target, verify_digests=True)
    mixed = load_model(model_dir).state_dict()
    for name in first:
        torch.testing.assert_close(mixed[name], 0.75 * first[name] + 0.25 * second[name], atol=2e-3, rtol=1e-2)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert (model_dir.manifest["share"], model_dir.manifest["published_as"]) == (0.25, published[1].name)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_out_of_range_is_refused_and_nothing_is_written(
    published: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        ship.ship(published[0], "mine", share)
    assert not (tmp_path / "shipped").exists()

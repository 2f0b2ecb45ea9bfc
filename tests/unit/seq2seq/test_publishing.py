from __future__ import annotations

import json

import torch

from seq2seq.model_files import load_model_dir
from seq2seq.publishing import load_model
from tests.builders import PublishedModel, greedy_reply


def test_a_published_model_can_be_trained_on(published: PublishedModel) -> None:
    model = load_model(load_model_dir(published.path), dropout=0.1)
    for name, weight in published.model.state_dict().items():
        # Half precision: 11 significant bits.
        torch.testing.assert_close(model.state_dict()[name], weight, rtol=2**-10, atol=1e-6)
    assert model.dropout.rate == 0.1
    assert greedy_reply(model, published.tokenizer, ["Hello there."]) == "Hi! How are you?"


def test_the_manifest_tells_what_the_model_is(published: PublishedModel) -> None:
    manifest = json.loads((published.path / "manifest.json").read_text())
    assert manifest["model"] == published.model_id == published.path.name
    assert manifest["seed"] == 0
    assert set(manifest["files"]) == {path.name for path in published.path.iterdir()} - {"manifest.json"}

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.model_files import load_model_dir
from seq2seq.publishing import load_model, token_log_frequencies
from tests.builders import SMALL_TALK, PublishedModel, dataset_of, greedy_reply, tokenizer_for


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


def test_log_frequencies_count_every_token_once_more(tmp_path: Path) -> None:
    tokenizer = tokenizer_for(SMALL_TALK)
    data = dataset_of(SMALL_TALK, tokenizer, tmp_path)
    logs = token_log_frequencies(data, tokenizer.vocab_size)
    counts = np.bincount(data.tokens, minlength=tokenizer.vocab_size)
    assert np.exp(logs).sum() == pytest.approx(1.0, abs=1e-4)
    assert np.exp(logs[0]) == pytest.approx(1 / (counts.sum() + tokenizer.vocab_size), rel=1e-5)
    assert logs.argmax() == counts.argmax()

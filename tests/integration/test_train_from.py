"""``backchat train --from``: what a model learned of decoding goes on with its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import train
from seq2seq.config import DecodingConfig
from seq2seq.model_files import load_model_dir
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for


def test_decoding_settings_of_the_parent_are_kept_but_for_those_that_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.setenv("BACKCHAT_DECODING__TEMPERATURE", "0.5")
    monkeypatch.chdir(tmp_path)
    tokenizer = tokenizer_for(SMALL_TALK)
    registry = Registry(tmp_path / "models")
    learned = DecodingConfig(reverse_weight=0.4, blocklist=("goose",), temperature=0.9)
    parent = publish_model(registry, "parent", tiny_model(tiny_config(tokenizer)), tokenizer, learned, {})
    talk = tmp_path / "talk.jsonl"
    turns = [{"speaker": "AB"[n % 2], "text": f"I have {n} cups of tea."} for n in range(12)]
    talk.write_text("".join(json.dumps({"id": str(n), "turns": turns}) + "\n" for n in range(4)), encoding="utf-8")
    result = CliRunner().invoke(
        train.app, [str(talk), "--valid", str(talk), "--from", parent, "--updates", "1"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    made = load_model_dir(registry.resolve(result.stdout.split()[-1]))
    assert made.decoding == learned.with_changes(temperature=0.5)

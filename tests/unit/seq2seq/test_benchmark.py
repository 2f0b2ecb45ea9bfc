"""The benchmark runs with any model, the smallest too."""

from __future__ import annotations

from pathlib import Path

from seq2seq.benchmark import benchmark
from seq2seq.config import DecodingConfig
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from tests.builders import tiny_config, tiny_model, tokenizer_for


def test_a_model_that_knows_single_bytes_only_is_measured(tmp_path: Path) -> None:
    tokenizer = tokenizer_for([["a"]])
    assert tokenizer.vocab_size == 264
    decoding = DecodingConfig(candidates=2, max_tokens=2)
    model_id = publish_model(Registry(tmp_path), "bytes", tiny_model(tiny_config(tokenizer)), tokenizer, decoding, {})
    found = benchmark(tmp_path / model_id, repeats=1)
    assert found.model == model_id
    assert set(found.reply_ms) == {"rank", "sample", "beam", "greedy"}
    assert set(found.batched_tokens_per_s) == set(found.concurrent) == {"1", "8", "32"}

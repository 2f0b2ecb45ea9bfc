"""The talks that were written for Backchat: what docs/data.md promises of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from seq2seq.cleaning import Cleaner
from seq2seq.config import CleaningConfig
from seq2seq.corpus import exchanges, open_corpus

FOLDER = Path(__file__).parents[2] / "corpora"


@pytest.mark.parametrize("name", ["everyday_en", "plain_en", "everyday_zh"])
def test_written_corpora_need_no_filter_and_seldom_repeat_themselves(name: str) -> None:
    cleaner = Cleaner(CleaningConfig(drop_traditional=name.endswith("zh")))
    responses, dialogues = Counter[str](), set()
    for split in ("train", "valid"):
        corpus = open_corpus(str(FOLDER / f"{name}.{split}.jsonl"))
        assert corpus.licence == "MIT"
        for dialogue in corpus:
            assert dialogue.id not in dialogues
            dialogues.add(dialogue.id)
            for exchange in exchanges(dialogue):
                traits = [cleaner.traits(text) for text in (exchange.context[-1], exchange.response)]
                assert cleaner.objection(*traits) is None, exchange
                responses[exchange.response] += 1
    assert len(dialogues) > 1_000
    assert [text for text, count in responses.items() if count > 4] == []

from __future__ import annotations

import dataclasses

import torch

from seq2seq.config import PRESETS
from seq2seq.vocabulary_transfer import with_vocabulary
from tests.builders import SMALL_TALK, tiny_model, tokenizer_for

OLD = tokenizer_for(SMALL_TALK)
NEW = tokenizer_for([["The zebra has stripes. 好的", "A zebra! 好的"]] * 9, 300)
MODEL = tiny_model(dataclasses.replace(PRESETS["tiny"], vocab_size=OLD.vocab_size))


def test_what_both_vocabularies_know_is_kept() -> None:
    moved = with_vocabulary(MODEL, OLD, NEW).state_dict()
    for name, weights in MODEL.state_dict().items():
        if name not in ("embedding.weight", "output_bias"):
            assert torch.equal(moved[name], weights)
    same = {i: ids[0] for i, ids in enumerate(OLD.spellings_of(NEW)) if len(ids) == 1}
    assert len(same) > 264  # the marks and all bytes
    assert torch.equal(moved["embedding.weight"][list(same)], MODEL.embedding.weight[list(same.values())])
    assert torch.equal(moved["output_bias"][list(same)], MODEL.output_bias[list(same.values())])


def test_a_new_word_is_the_mean_of_its_pieces() -> None:
    (zebra,) = NEW.encode_inside("zebra")
    pieces = OLD.encode_inside("zebra")
    moved = with_vocabulary(MODEL, OLD, NEW)
    assert len(pieces) > 1
    assert torch.allclose(moved.embedding.weight[zebra], MODEL.embedding.weight[pieces].mean(dim=0))
    assert moved.output_bias[zebra] == MODEL.output_bias[pieces[0]]


def test_the_same_vocabulary_changes_nothing() -> None:
    moved = with_vocabulary(MODEL, OLD, OLD).state_dict()
    assert all(torch.equal(moved[name], weights) for name, weights in MODEL.state_dict().items())


def test_every_token_of_another_tokenizer_is_spelled() -> None:
    assert OLD.spellings_of(OLD) == [[n] for n in range(OLD.vocab_size)]
    for token, ids in enumerate(OLD.spellings_of(NEW)):
        assert OLD.decode(ids) == NEW.decode([token])

"""A trained model with another vocabulary, so that words of a new corpus need not be spelled in pieces."""

from __future__ import annotations

import dataclasses

import torch

from seq2seq.model import Seq2Seq
from seq2seq.tokenizer import Tokenizer


@torch.no_grad()
def with_vocabulary(model: Seq2Seq, old: Tokenizer, new: Tokenizer) -> Seq2Seq:
    """Return a copy of ``model``, which reads ``old``, that reads ``new``; it should be trained on afterwards.

    A token that is new begins with the mean embedding of the tokens that spelled it, and with the output bias of the
    first of them (fast vocabulary transfer: Gee et al. 2022, section 3). All other weights are kept.
    """
    moved = Seq2Seq(dataclasses.replace(model.config, vocab_size=new.vocab_size), model.dropout.rate)
    weights = model.state_dict()
    embedding, bias = weights["embedding.weight"], weights["output_bias"]
    spellings = old.spellings_of(new)
    weights["embedding.weight"] = torch.stack([embedding[ids].mean(dim=0) for ids in spellings])
    weights["output_bias"] = bias[[ids[0] for ids in spellings]]
    moved.load_state_dict(weights)
    return moved

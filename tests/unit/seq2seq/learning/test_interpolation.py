from __future__ import annotations

import torch

from seq2seq.learning.interpolation import go_back_where_it_pays
from seq2seq.learning.mixing import MemorySet, WeightedExchange
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for

TOKENIZER = tokenizer_for(SMALL_TALK)
CONFIG = tiny_config(TOKENIZER)
LEARNED = MemorySet([WeightedExchange(("Hi!",), "Glad to hear it.")], TOKENIZER, 3)
BASE = MemorySet([WeightedExchange(("Do you like tea?",), "I prefer coffee.")], TOKENIZER, 3)


def test_what_only_does_harm_is_undone() -> None:
    parent, model = tiny_model(CONFIG), tiny_model(CONFIG)
    with torch.no_grad():
        model.output_bias -= torch.arange(CONFIG.vocab_size) / 10  # the further, the worse for all texts
    *measured, chosen = go_back_where_it_pays(model, parent.state_dict(), LEARNED, BASE, most_loss=0.0)
    assert chosen == measured[0]
    assert chosen.share == 0
    torch.testing.assert_close(model.output_bias, parent.output_bias)


def test_the_best_of_those_that_lose_little_on_the_base_is_kept() -> None:
    parent, model = tiny_model(CONFIG), tiny_model(CONFIG)
    with torch.no_grad():
        for token in TOKENIZER.encode("Glad to hear it."):
            model.output_bias[token] += 8.0  # good for what is learned, bad for the base
    *measured, chosen = go_back_where_it_pays(model, parent.state_dict(), LEARNED, BASE, most_loss=0.1)
    limit = 1.1 * (measured[0].base_nll or 0.0)
    allowed = [step for step in measured[1:] if (step.base_nll or 0.0) <= limit]
    assert allowed
    assert chosen == min(allowed, key=lambda step: step.learned_nll)
    assert chosen.learned_nll < measured[0].learned_nll


def test_without_a_base_what_is_learned_decides_alone() -> None:
    parent, model = tiny_model(CONFIG), tiny_model(CONFIG)
    with torch.no_grad():
        for token in TOKENIZER.encode("Glad to hear it."):
            model.output_bias[token] += 1.0
    *_, chosen = go_back_where_it_pays(model, parent.state_dict(), LEARNED, None, most_loss=0.0)
    assert (chosen.share, chosen.base_nll) == (1.0, None)

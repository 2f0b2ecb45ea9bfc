from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from seq2seq.batching import EpochPlan, exchange_ids
from seq2seq.learning.interpolation import mean_nll
from seq2seq.learning.mixing import MemorySet, MixedSet, WeightedExchange
from seq2seq.tokenizer import BACKWARD
from tests.builders import SMALL_TALK, dataset_of, tiny_config, tiny_model, tokenizer_for

TOKENIZER = tokenizer_for(SMALL_TALK)
CONFIG = tiny_config(TOKENIZER)
LEARNED = [
    WeightedExchange(("Hi!", "How are you?"), "Never better."),
    WeightedExchange(("How are you?",), "What do you want?", -0.5),
]


def test_exchanges_in_memory_have_the_ids_of_the_same_ones_in_a_corpus(tmp_path: Path) -> None:
    corpus = dataset_of(SMALL_TALK, TOKENIZER, tmp_path)
    in_memory = MemorySet(
        [WeightedExchange(tuple(talk[:end]), talk[end]) for talk in SMALL_TALK for end in range(1, len(talk))],
        TOKENIZER,
        CONFIG.context_turns,
    )
    assert len(in_memory) == len(corpus)
    for row in range(len(corpus)):
        for reverse in (False, True):
            found = exchange_ids(in_memory, row, CONFIG, reverse=reverse, style=2)
            assert found == exchange_ids(corpus, row, CONFIG, reverse=reverse, style=2)


def test_a_mixture_shows_all_that_was_learned_and_a_fresh_draw_of_the_base(tmp_path: Path) -> None:
    base = dataset_of(SMALL_TALK, TOKENIZER, tmp_path)
    mixed = MixedSet(MemorySet(LEARNED, TOKENIZER, 3), base, 2.0)
    epochs = [mixed.rows_of_epoch(np.random.default_rng(seed)).tolist() for seed in range(8)]
    assert all(rows[:2] == [0, 1] and len(set(rows)) == len(rows) for rows in epochs)
    assert len({tuple(sorted(rows[2:])) for rows in epochs}) > 1
    assert len({len(rows) for rows in epochs}) == 1
    for row in range(len(base)):
        assert exchange_ids(mixed, 2 + row, CONFIG) == exchange_ids(base, row, CONFIG)


def test_the_shorter_what_is_learned_the_less_is_replayed() -> None:
    def said(words: int) -> str:
        return " ".join(["Why"] + ["why"] * (words - 1))

    base = MemorySet([WeightedExchange((said(8),), said(8))] * 50, TOKENIZER, 3)
    replayed = []
    for words in (1, 2, 4, 8):
        learned = MemorySet([WeightedExchange((said(words),), said(words))] * 8, TOKENIZER, 3)
        replayed.append(len(MixedSet(learned, base, 2.0).rows_of_epoch(np.random.default_rng(0))) - 8)
    assert replayed == [2, 4, 8, 16]


def test_a_base_smaller_than_its_share_is_shown_whole(tmp_path: Path) -> None:
    base = dataset_of(SMALL_TALK[:1], TOKENIZER, tmp_path)
    mixed = MixedSet(MemorySet(LEARNED, TOKENIZER, 3), base, 50.0)
    assert sorted(mixed.rows_of_epoch(np.random.default_rng(0))) == list(range(2 + len(base)))


def test_what_is_to_be_unlearned_is_shown_as_it_was_said_and_never_backwards() -> None:
    learned = MemorySet([WeightedExchange(("Hi!", "How are you?"), "Go away.", -1.0)] * 20, TOKENIZER, 3)
    plan = EpochPlan(
        learned,
        CONFIG,
        64,
        np.random.default_rng(0),
        reverse_share=0.9,
        last_turn_share=0.5,
        no_context_share=0.4,
        style_share=0.9,
    )
    (batch,) = plan.batches(0, 64)
    whole, _ = exchange_ids(learned, 0, CONFIG)
    assert batch.source_ids.shape == (20, len(whole))
    assert not torch.any(batch.source_ids[:, 0] == BACKWARD)


def test_training_lowers_the_likelihood_of_a_rejected_reply_and_raises_that_of_a_chosen_one() -> None:
    chosen = MemorySet([WeightedExchange(("Hi!",), "Glad to hear it.")], TOKENIZER, 3)
    rejected = MemorySet([WeightedExchange(("Hi!",), "Take an umbrella.", -1.0)], TOKENIZER, 3)
    model = tiny_model(CONFIG)
    before = mean_nll(model, chosen), mean_nll(model, rejected)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(12):
        for exchanges in (chosen, rejected):
            (batch,) = EpochPlan(exchanges, CONFIG, 1, np.random.default_rng(0)).batches(0, 1)
            optimizer.zero_grad()
            model(batch)[0].backward()
            optimizer.step()
    assert mean_nll(model, chosen) < before[0]
    assert mean_nll(model, rejected) > before[1]

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.batching import EpochPlan, exchange_ids, pad_batch
from seq2seq.style import STYLE_LINES
from seq2seq.tokenizer import BACKWARD, END, FORWARD, ME, PAD, PERSONA, START, THEM
from tests.builders import SMALL_TALK, dataset_of, tiny_config, tokenizer_for

TOKENIZER = tokenizer_for(SMALL_TALK)
CONFIG = tiny_config(TOKENIZER)


def test_a_batch_shifts_the_target_and_masks_the_padding() -> None:
    batch = pad_batch([[3, 5, 9], [3, 5]], [[20, END], [21, 22, END]])
    assert batch.source_ids.tolist() == [[3, 5, 9], [3, 5, PAD]]
    assert batch.source_lengths.tolist() == [3, 2]
    assert batch.input_ids.tolist() == [[START, 20, END], [START, 21, 22]]
    assert batch.target_ids.tolist() == [[20, END, PAD], [21, 22, END]]
    assert batch.target_mask.tolist() == [[True, True, False], [True, True, True]]


def test_an_empty_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        pad_batch([[3], []], [[END], [END]])


def test_exchanges_become_ids_in_both_directions(tmp_path: Path) -> None:
    data = dataset_of(SMALL_TALK[:1], TOKENIZER, tmp_path)
    hello, hi, fine, _ = (TOKENIZER.encode(text) for text in SMALL_TALK[0])
    assert exchange_ids(data, 1, CONFIG) == ([FORWARD, ME, *hello, THEM, *hi], [*fine, END])
    assert exchange_ids(data, 1, CONFIG, reverse=True) == ([BACKWARD, ME, *fine], [*hi, END])


def test_an_epoch_shows_every_exchange_once_forwards(tmp_path: Path) -> None:
    data = dataset_of(SMALL_TALK, TOKENIZER, tmp_path)
    plan = EpochPlan(data, CONFIG, 5, np.random.default_rng(0))
    shown = [row for update in range(len(plan)) for b in plan.batches(update, 5) for row in b.target_ids.tolist()]
    wanted = [exchange_ids(data, row, CONFIG)[1] for row in range(len(data))]
    assert sorted([i for i in row if i != PAD] for row in shown) == sorted(wanted)


def test_a_reverse_share_of_one_shows_every_exchange_backwards_too(tmp_path: Path) -> None:
    data = dataset_of(SMALL_TALK, TOKENIZER, tmp_path)
    plan = EpochPlan(data, CONFIG, 64, np.random.default_rng(0), reverse_share=1.0)
    firsts = torch.cat([batch.source_ids[:, 0] for batch in plan.batches(0, 64)]).tolist()
    assert firsts.count(FORWARD) == firsts.count(BACKWARD) == len(data) == 12


def test_a_share_of_an_epoch_has_a_style_of_its_response_in_front(tmp_path: Path) -> None:
    data = dataset_of(
        [["how are you", "very well, thank you!"]] * 400,
        TOKENIZER,
        tmp_path,
    )
    plan = EpochPlan(data, CONFIG, 8, np.random.default_rng(0), style_share=0.5)
    batches = [batch for update in range(len(plan)) for batch in plan.batches(update, 8)]
    fronts = [row[1] == PERSONA and row[: row.index(THEM)] for batch in batches for row in batch.source_ids.tolist()]
    styles = {style: [FORWARD, PERSONA, *TOKENIZER.encode(style)] for style in STYLE_LINES}
    assert fronts.count(False) / len(fronts) == pytest.approx(0.5, abs=0.1)
    assert {tuple(front) for front in fronts if front} == {tuple(styles["brief"]), tuple(styles["cheerful"])}
    mixed = [batch for batch in batches if len(set(batch.source_lengths.tolist())) > 1]
    assert len(mixed) <= 3, "sources of one length belong into one batch, but for what is left over"


def test_shares_of_an_epoch_are_shown_with_the_last_turn_or_with_nothing(tmp_path: Path) -> None:
    data = dataset_of(SMALL_TALK * 200, TOKENIZER, tmp_path)
    plan = EpochPlan(data, CONFIG, 64, np.random.default_rng(0), last_turn_share=0.5, no_context_share=0.25)
    sources = [row for n in range(len(plan)) for batch in plan.batches(n, 64) for row in batch.source_ids.tolist()]
    turns = [sum(token in (THEM, ME) for token in source) for source in sources]
    assert turns.count(0) / len(turns) == pytest.approx(0.25, abs=0.05)
    assert turns.count(1) / len(turns) == pytest.approx(0.5 + 0.25 / 3, abs=0.05)  # a third have but one turn
    assert [FORWARD] in [[token for token in source if token != PAD] for source in sources]


def test_the_same_seed_gives_the_same_plan_and_another_epoch_another(tmp_path: Path) -> None:
    data = dataset_of(SMALL_TALK, TOKENIZER, tmp_path)

    def order(*seed: int) -> list[list[list[int]]]:
        plan = EpochPlan(data, CONFIG, 2, np.random.default_rng(seed), reverse_share=0.3)
        return [plan.batches(update, 2)[0].source_ids.tolist() for update in range(len(plan))]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)


def test_processes_share_the_rows_of_an_update_out(tmp_path: Path) -> None:
    data = dataset_of(SMALL_TALK, TOKENIZER, tmp_path)
    plan = EpochPlan(data, CONFIG, 8, np.random.default_rng(0))

    def rows(rank: int, world: int) -> list[list[int]]:
        ids = [row for batch in plan.batches(0, 4, rank, world) for row in batch.target_ids.tolist()]
        return [[i for i in row if i != PAD] for row in ids]

    assert sorted(rows(0, 2) + rows(1, 2)) == sorted(rows(0, 1))


def test_batches_have_sources_of_one_length_and_waste_little_on_padding(tmp_path: Path) -> None:
    texts = [[f"{'a ' * (7 * n % 23 + 1)}", f"{'b ' * (11 * n % 19 + 1)}"] for n in range(6000)]
    data = dataset_of(texts, TOKENIZER, tmp_path)
    plan = EpochPlan(data, CONFIG, 8, np.random.default_rng(0))
    batches = [batch for update in range(len(plan)) for batch in plan.batches(update, 8)]
    even = sum(int(batch.source_lengths.min() == batch.source_lengths.max()) for batch in batches)
    assert even / len(batches) > 0.95
    real = sum(int(batch.target_mask.sum()) for batch in batches)
    assert real / sum(batch.target_mask.numel() for batch in batches) > 0.95


def test_weights_of_rows_hold_for_their_tokens_but_not_for_the_end_of_what_is_unlearned() -> None:
    batch = pad_batch([[3], [3]], [[20, END], [21, 22, END]], [2.0, -0.5])
    assert batch.token_weights is not None
    assert batch.token_weights[0, :2].tolist() == [2.0, 2.0]
    assert batch.token_weights[1].tolist() == [-0.5, -0.5, 0.0]

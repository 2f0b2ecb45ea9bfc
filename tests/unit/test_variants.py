from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.attention import Attention
from seq2seq.batching import Batch, exchange_ids, pad_batch
from seq2seq.config import ModelConfig, TrainingConfig
from seq2seq.dataset import Dataset
from seq2seq.loss import token_nll
from seq2seq.model import Seq2Seq
from seq2seq.tokenizer import END, Tokenizer
from tests.benchmarks.experiments import CHANGES, Home, measured
from tests.benchmarks.variants import (
    AdditiveAttention,
    BlandResponses,
    DialoguePlan,
    DistilledSeq2Seq,
    LayerNormSeq2Seq,
    MultiHeadAttention,
    TurnwiseSeq2Seq,
    distilled_nll,
    distinct_turns,
    shared_prefixes,
    with_attention,
    with_weight_dropout,
)
from tests.builders import SMALL_TALK, ListCorpus, dataset_of, tiny_model, tokenizer_for

CONFIG = ModelConfig(vocab_size=300, embed_size=8, hidden_size=12, attention_size=8, residual=True)
THEM, ME, FORWARD = 5, 6, 3
SOURCES = [[FORWARD, THEM, 40, 41], [FORWARD, THEM, 40, 41, ME, 42, 43, 44], [FORWARD, THEM, 45]]
TARGETS = [[42, 43, 44, END], [52, END], [53, 54, 55, 56, END]]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return tokenizer_for(SMALL_TALK)


@pytest.fixture
def data(tokenizer: Tokenizer, tmp_path: Path) -> Dataset:
    return dataset_of(SMALL_TALK, tokenizer, tmp_path, context_turns=20)


def distilled(config: ModelConfig, dropout: float) -> Seq2Seq:
    return DistilledSeq2Seq(config, dropout, tiny_model(config, seed=7))


@pytest.mark.parametrize(
    "build",
    [
        with_attention(lambda config: MultiHeadAttention(config, heads=4)),
        with_attention(AdditiveAttention),
        LayerNormSeq2Seq,
        with_weight_dropout(0.2),
        TurnwiseSeq2Seq,
        distilled,
    ],
)
def test_every_network_learns_what_it_is_shown(build: object) -> None:
    torch.manual_seed(0)
    model = build(CONFIG, 0.1)  # type: ignore[operator]
    batch = pad_batch(SOURCES, TARGETS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    before = float(model.eval()(batch)[1])
    model.train()
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = model(batch)
        loss.backward()
        optimizer.step()
    assert float(model.eval()(batch)[1]) < 0.5 * before
    assert all(weight.grad is not None for weight in model.parameters())


def test_one_head_is_the_plain_attention() -> None:
    plain, one = Attention(CONFIG), MultiHeadAttention(CONFIG, heads=1)
    one.load_state_dict(plain.state_dict())
    hidden, states = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    torch.testing.assert_close(one(hidden, one.memory(states, mask)), plain(hidden, plain.memory(states, mask)))


@pytest.mark.parametrize("attention", [MultiHeadAttention(CONFIG, heads=4), AdditiveAttention(CONFIG)])
def test_padding_is_not_attended(attention: Attention) -> None:
    hidden, states = torch.randn(1, 5, 12), torch.randn(1, 4, 12)
    padded = torch.cat((states, torch.randn(1, 3, 12)), dim=1)
    alone = attention(hidden, attention.memory(states, torch.ones(1, 4, dtype=torch.bool)))
    beside = attention(hidden, attention.memory(padded, torch.arange(7)[None] < 4))
    torch.testing.assert_close(beside, alone)


def test_hidden_weights_are_dropped_in_training_only() -> None:
    torch.manual_seed(0)
    dropped, plain = with_weight_dropout(0.5)(CONFIG, 0.0), tiny_model(CONFIG)
    dropped.load_state_dict(plain.state_dict())
    batch = pad_batch(SOURCES, TARGETS)
    expected = plain(batch)[1]
    assert float(dropped.train()(batch)[1]) != pytest.approx(float(expected), rel=1e-6)
    torch.testing.assert_close(dropped.eval()(batch)[1], expected)


def test_turns_are_told_apart_by_their_marks_and_counted_once() -> None:
    contexts, turns = distinct_turns([[*source, 0, 0] for source in SOURCES])
    assert turns == [(40, 41), (42, 43, 44), (45,)]
    assert contexts == [(0,), (0, 1), (2,)]


def test_a_context_that_another_goes_on_from_is_read_with_it() -> None:
    whole, places = shared_prefixes([(0,), (0, 1), (2,), (0, 1, 2)])
    assert whole == [(0, 1, 2), (2,)]
    assert places == [(0, 0), (0, 1), (1, 0), (0, 2)]


def nll_of(model: Seq2Seq, batch: Batch) -> float:
    return float(model(batch)[1].detach())


def test_a_reply_is_as_likely_by_itself_as_beside_others_turn_by_turn() -> None:
    torch.manual_seed(0)
    model = TurnwiseSeq2Seq(CONFIG).eval()
    torch.nn.init.normal_(model.distance)
    alone = [nll_of(model, pad_batch([s], [t])) for s, t in zip(SOURCES, TARGETS, strict=True)]
    for rows in ([0, 1], [1, 2], [0, 1, 2], [2, 1, 0, 1]):
        together = nll_of(model, pad_batch([SOURCES[row] for row in rows], [TARGETS[row] for row in rows]))
        assert together == pytest.approx(sum(alone[row] for row in rows), rel=1e-5)


def test_turn_by_turn_a_reply_depends_on_order_and_on_turns_beyond_those_attended() -> None:
    torch.manual_seed(0)
    model = TurnwiseSeq2Seq(CONFIG).eval()
    turns = [[THEM, 40], [ME, 41], [THEM, 42], [ME, 43], [THEM, 44]]

    def nll(*chosen: int) -> float:
        return nll_of(model, pad_batch([[FORWARD, *(i for number in chosen for i in turns[number])]], TARGETS[:1]))

    assert len({round(nll(*chosen), 6) for chosen in ((0, 1, 2, 3, 4), (1, 2, 3, 4), (0, 3, 2, 1, 4))}) == 3


def test_an_epoch_of_dialogues_shows_each_exchange_once_beside_its_neighbours(data: Dataset) -> None:
    plan = DialoguePlan(data, CONFIG, 6, np.random.default_rng(0))
    shown = []
    for update in range(len(plan)):
        (batch,) = plan.batches(update, 6)
        contexts, _ = distinct_turns(batch.source_ids.tolist())
        whole, _ = shared_prefixes(contexts)
        assert len(whole) == len(contexts) / 3  # a dialogue of four turns has three responses
        shown += [row[mask].tolist() for row, mask in zip(batch.target_ids, batch.target_mask, strict=True)]
    expected = [exchange_ids(data, row, CONFIG)[1] for row in range(len(data))]
    assert sorted(shown) == sorted(expected)


def test_a_long_dialogue_is_shown_in_pieces(tokenizer: Tokenizer, tmp_path: Path) -> None:
    long = dataset_of([[text for texts in SMALL_TALK for text in texts]], tokenizer, tmp_path, context_turns=3)
    plan = DialoguePlan(long, CONFIG, 4, np.random.default_rng(0))
    sizes = [len(plan.batches(update, 4)[0].target_ids) for update in range(len(plan))]
    assert sorted(sizes) == [3, 4, 4, 4]


def test_common_responses_are_unlearned_behind_contexts_whose_own_reply_is_another(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    talk = [[f"Do you like number {number}?", "I do not know."] for number in range(5)] + [
        list(t) for t in SMALL_TALK
    ]
    base = dataset_of(talk, tokenizer, tmp_path)
    data = BlandResponses(base, share=0.5, least=5)
    assert len(data) == 17 + 8  # half of 17 exchanges, rounded
    assert data.row_weights is not None
    assert data.row_weights.tolist() == [1.0] * 17 + [-0.25] * 8
    real = {tuple(exchange_ids(base, row, CONFIG)[0]) for row in range(5, 17)}
    for row in range(17):
        assert exchange_ids(data, row, CONFIG) == exchange_ids(base, row, CONFIG)
    for row in range(17, 25):
        source, target = exchange_ids(data, row, CONFIG)
        assert tokenizer.decode(target) == "I do not know."
        assert tuple(source) in real
    assert [len(data.turn(number)) for number in range(len(data.turns) - 1)] == np.diff(data.turns).tolist()
    with pytest.raises(ValueError, match="0 of 17 responses"):
        BlandResponses(base, least=6)


def test_a_teacher_that_agrees_leaves_half_the_plain_gradient() -> None:
    torch.manual_seed(0)
    outputs, weight, bias = torch.randn(300, 8), torch.randn(50, 8), torch.randn(50)
    targets = torch.randint(0, 50, (300,))

    def gradients(share: float | None) -> list[torch.Tensor]:
        a, b, c = own = [part.clone().requires_grad_() for part in (outputs, weight, bias)]
        if share is None:
            loss, _ = token_nll(a, b, c, targets)
        else:
            loss, _ = distilled_nll(a, b, c, targets, (outputs, weight, bias), share)
        return list(torch.autograd.grad(loss, own))

    for plain, half, none in zip(gradients(None), gradients(0.5), gradients(1.0), strict=True):
        torch.testing.assert_close(half, plain / 2, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(none, torch.zeros_like(none), rtol=0, atol=1e-4)


def test_the_distillation_loss_is_that_of_autograd() -> None:
    torch.manual_seed(0)
    student, teacher = ([torch.randn(300, 8), torch.randn(50, 8), torch.randn(50)] for _ in range(2))
    targets = torch.randint(0, 50, (300,))
    a, b, c = own = [part.requires_grad_() for part in student]
    loss, nll = distilled_nll(a, b, c, targets, (teacher[0], teacher[1], teacher[2]), 0.3)
    log_probs = torch.nn.functional.linear(*own).log_softmax(dim=-1)
    cross = torch.nn.functional.nll_loss(log_probs, targets, reduction="sum")
    soft = -(torch.nn.functional.linear(*teacher).softmax(dim=-1) * log_probs).sum()
    expected = 0.7 * cross + 0.3 * soft
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(nll, cross.detach())
    for found, wanted in zip(torch.autograd.grad(loss, own), torch.autograd.grad(expected, own), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_teacher_is_no_part_of_its_student() -> None:
    student = distilled(CONFIG, 0.0)
    assert student.state_dict().keys() == tiny_model(CONFIG).state_dict().keys()


@pytest.mark.parametrize("name", ["small", "turn-wise encoding"])
def test_a_change_is_trained_and_measured(name: str, tmp_path: Path) -> None:
    home = Home(tmp_path, [ListCorpus(SMALL_TALK)], {"talk": ListCorpus(SMALL_TALK, "valid")})
    model = ModelConfig(vocab_size=320, embed_size=16, hidden_size=32, attention_size=16, residual=True)
    found = [
        measured(CHANGES[name], home, model, TrainingConfig(updates=updates, validations=1, learning_rate=1e-2))
        for updates in (2, 60)
    ]
    assert found[1]["talk"] < 0.7 * found[0]["talk"]
    assert len(list((tmp_path / "cache").iterdir())) == 2  # made by the first, opened by the second

"""From token arrays to padded tensors, and the order in which an epoch shows them.

Batches are cut over the whole corpus: rows of one source length, sorted by target length. Equal sources need no
packing, whose kernel is a third slower on a CPU, and little of a batch is padding; only the order is random. An
epoch's plan depends on nothing but the seed and its number, which is what lets a run resume where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.config import ModelConfig
from seq2seq.dataset import TrainingSet
from seq2seq.style import STYLE_LINES
from seq2seq.tokenizer import END, PAD, START, reverse_source_ids, source_ids, target_ids


class Batch(NamedTuple):
    """Padded exchanges.

    Attributes:
        source_ids: LongTensor [batch, src_len].
        source_lengths: LongTensor [batch], always on the CPU.
        input_ids: LongTensor [batch, tgt_len], what the decoder reads: start mark, then the target shifted.
        target_ids: LongTensor [batch, tgt_len], what it has to say, end mark last.
        target_mask: BoolTensor [batch, tgt_len], True at real tokens.
        token_weights: FloatTensor [batch, tgt_len], what each target token counts, negative where it is to be
            unlearned; None where all count 1.
    """

    source_ids: Tensor
    source_lengths: Tensor
    input_ids: Tensor
    target_ids: Tensor
    target_mask: Tensor
    token_weights: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Move everything but the lengths, which packing needs on the CPU."""
        return Batch(
            self.source_ids.to(device, non_blocking=True),
            self.source_lengths,
            self.input_ids.to(device, non_blocking=True),
            self.target_ids.to(device, non_blocking=True),
            self.target_mask.to(device, non_blocking=True),
            None if self.token_weights is None else self.token_weights.to(device, non_blocking=True),
        )


def pad_batch(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    row_weights: Sequence[float] | None = None,
) -> Batch:
    """Pad sources and targets (end mark included) to the longest of each.

    Args:
        row_weights: what each target counts. The end of one that is to be unlearned counts nothing: to end is no
            fault.

    Raises:
        ValueError: a source or a target is empty.
    """
    target = _pad(targets)
    inputs = torch.full_like(target, PAD)
    inputs[:, 0] = START
    inputs[:, 1:] = target[:, :-1]
    lengths = torch.tensor([len(ids) for ids in targets])
    token_weights = None
    if row_weights is not None:
        token_weights = torch.tensor(row_weights, dtype=torch.float32)[:, None].expand(target.shape)
        token_weights = torch.where((token_weights < 0) & (target == END), 0.0, token_weights)
    return Batch(
        source_ids=_pad(sources),
        source_lengths=torch.tensor([len(ids) for ids in sources]),
        input_ids=inputs,
        target_ids=target,
        target_mask=torch.arange(target.shape[1]) < lengths[:, None],
        token_weights=token_weights,
    )


def _pad(rows: Sequence[Sequence[int]]) -> Tensor:
    if not rows or min(len(row) for row in rows) == 0:
        raise ValueError("every row of a batch needs at least one token")
    padded = np.full((len(rows), max(len(row) for row in rows)), PAD, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return torch.from_numpy(padded)


class EpochPlan:
    """The updates of one epoch, in order.

    Every exchange is shown forwards once, and a random ``reverse_share`` of them also backwards: which turn
    does this response answer? A random ``last_turn_share`` is shown without the turns before the last one, so that
    beginnings of talks come from every corpus, and ``no_context_share`` without any: how likely is this response
    by itself? A random ``style_share`` has one of its response's styles in front. What is to be unlearned is shown
    as it was said, and in no other way.
    """

    def __init__(
        self,
        dataset: TrainingSet,
        config: ModelConfig,
        update_size: int,
        generator: np.random.Generator,
        *,
        reverse_share: float = 0.0,
        last_turn_share: float = 0.0,
        no_context_share: float = 0.0,
        style_share: float = 0.0,
    ) -> None:
        self._dataset, self._config = dataset, config
        forward = dataset.rows_of_epoch(generator)
        is_rejected = dataset.row_weights[forward] < 0 if dataset.row_weights is not None else np.False_
        backward = forward[(generator.random(len(forward)) < reverse_share) & ~is_rejected]
        self._rows = np.concatenate((forward, backward))
        self._is_reverse = np.arange(len(self._rows)) >= len(forward)
        as_it_was = np.zeros(len(self._rows), bool)
        as_it_was[: len(forward)] = is_rejected
        chance = np.where(as_it_was, 1.0, generator.random(len(self._rows)))
        self._turns = np.where(chance < last_turn_share + no_context_share, 1, config.context_turns)
        self._turns[chance < no_context_share] = 0
        bits = dataset.exchanges[self._rows, 5]
        wanted = (generator.random(len(bits)) < style_share) & (self._turns > 0) & ~self._is_reverse & ~as_it_was
        self._styles = np.where(wanted, _any_bit(bits, generator), -1)
        source, target = self._lengths()
        order = generator.permutation(len(self._rows))
        order = order[np.lexsort((target[order], source[order]))]
        self._updates: list[NDArray[np.int64]] = []
        rest: list[NDArray[np.int64]] = []
        for group in np.split(order, np.flatnonzero(np.diff(source[order])) + 1):
            whole = len(group) - len(group) % update_size
            self._updates += [group[start : start + update_size] for start in range(0, whole, update_size)]
            rest.append(group[whole:])
        left = np.concatenate(rest)  # still by source length: what no length could fill
        self._updates += [left[start : start + update_size] for start in range(0, len(left), update_size)]
        generator.shuffle(self._updates)

    def __len__(self) -> int:
        return len(self._updates)

    def batches(self, update: int, batch_size: int, rank: int = 0, world_size: int = 1) -> list[Batch]:
        """Return one process's share of an update, as micro-batches.

        The shares of all processes together are the same rows whatever their number.
        """
        rows = self._updates[update]
        shares = (rows[start : start + batch_size][rank::world_size] for start in range(0, len(rows), batch_size))
        return [self._batch(share) for share in shares if len(share)]

    def _batch(self, numbers: NDArray[np.int64]) -> Batch:
        config = self._config
        pairs = [
            exchange_ids(
                self._dataset,
                int(self._rows[n]),
                config,
                reverse=bool(self._is_reverse[n]),
                context_turns=int(self._turns[n]),
                style=int(self._styles[n]),
            )
            for n in numbers
        ]
        weights = self._dataset.row_weights
        row_weights = weights[self._rows[numbers]].tolist() if weights is not None else None
        return pad_batch([source for source, _ in pairs], [target for _, target in pairs], row_weights)

    def _lengths(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return source and target lengths of all rows, in tokens."""
        offsets = self._dataset.turns
        turn = np.diff(offsets)
        marked = offsets + np.arange(len(offsets))  # as if every turn had its role mark
        first, response, persona, persona_end = self._dataset.exchanges[self._rows, :4].T
        first = np.maximum(first, response - self._turns)
        persona_end = np.where(self._turns == 0, persona, persona_end)
        source = 1 + marked[response] - marked[first] + marked[persona_end] - marked[persona]
        source += np.where(self._styles >= 0, marked[self._styles + 1] - marked[self._styles], 0)
        source = np.where(self._is_reverse, 2 + turn[response], source)
        target = 1 + np.where(self._is_reverse, turn[response - 1], turn[response])
        return (
            np.minimum(source, self._config.max_source_tokens),
            np.minimum(target, self._config.max_target_tokens),
        )


def exchange_ids(
    dataset: TrainingSet,
    row: int,
    config: ModelConfig,
    *,
    reverse: bool = False,
    context_turns: int | None = None,
    style: int = -1,
) -> tuple[list[int], list[int]]:
    """Return source and target ids of one exchange, cut to the model's lengths.

    Args:
        context_turns: keep so many turns of the context; 0 leaves the persona out too.
        style: number in ``STYLE_LINES`` of the line in front; none where negative.
    """
    first, response, persona, persona_end, _, _ = dataset.exchanges[row].tolist()
    reply = dataset.turn(response)
    if reverse:
        return (
            reverse_source_ids(reply, config.max_source_tokens),
            target_ids(dataset.turn(response - 1), config.max_target_tokens),
        )
    if context_turns is not None:
        first = max(first, response - context_turns)
    context = [dataset.turn(turn) for turn in range(first, response)]
    lines = [dataset.turn(turn) for turn in range(persona, persona_end)] if context_turns != 0 else []
    if style >= 0:
        lines.insert(0, dataset.turn(style))
    return (
        source_ids(context, config.max_source_tokens, lines),
        target_ids(reply, config.max_target_tokens),
    )


def _any_bit(bits: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw the number of one bit that is set in each value; -1 where none is."""
    is_set = (bits[:, None] >> np.arange(len(STYLE_LINES))) & 1  # [n, styles]
    draws = np.where(is_set == 1, generator.random(is_set.shape), -1.0)
    chosen: NDArray[np.int64] = np.where(bits > 0, draws.argmax(axis=1), -1)
    return chosen

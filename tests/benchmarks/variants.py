"""Networks and ways of training that the package does not have, each a small change of what it has.

``experiments.py`` trains them beside the preset; docs/training.md says what came of it. From top to bottom: other
attention, other regularisation, an encoder that reads every turn once, unlikelihood against bland replies, and a
teacher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, scaled_dot_product_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from seq2seq.attention import Attention, AttentionMemory
from seq2seq.batching import Batch, EpochPlan
from seq2seq.config import ModelConfig
from seq2seq.dataset import Dataset, TrainingSet
from seq2seq.decoder import DecoderState
from seq2seq.loss import token_nll
from seq2seq.model import Seq2Seq
from seq2seq.tokenizer import FORWARD, ME, PAD, THEM
from seq2seq.training import Trainer

Build = Callable[[ModelConfig, float], Seq2Seq]
"""Makes a model of a configuration and a dropout rate."""


class Variant(NamedTuple):
    """What is not the package's: the model, the trainer, and what of the train set is shown."""

    build: Build = Seq2Seq
    trainer: type[Trainer] = Trainer
    shown: Callable[[Dataset], TrainingSet] = lambda data: data


class MultiHeadAttention(Attention):
    """Attention in heads that share out the width (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2).

    Without a projection of what the heads say: the layers that read it begin with one.
    """

    def __init__(self, config: ModelConfig, heads: int) -> None:
        super().__init__(config)
        self._heads = heads

    def forward(self, hidden: Tensor, memory: AttentionMemory) -> Tensor:
        query, keys, values = (
            part.unflatten(-1, (self._heads, -1)).transpose(1, 2)  # [batch, heads, length, attention / heads]
            for part in (self.query(hidden), memory.keys, memory.values)
        )
        attended = scaled_dot_product_attention(query, keys, values, attn_mask=memory.mask[:, None, None, :])
        return attended.transpose(1, 2).flatten(2)


class AdditiveAttention(Attention):
    """Attention by a layer of tanh over query and key (Bahdanau et al. 2015, arXiv:1409.0473, section A.1.2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.score = nn.Linear(config.attention_size, 1, bias=False)

    def forward(self, hidden: Tensor, memory: AttentionMemory) -> Tensor:
        pairs = torch.tanh(
            self.query(hidden)[:, :, None] + memory.keys[:, None]
        )  # [batch, tgt_len, src_len, attention]
        scores = self.score(pairs).squeeze(-1).masked_fill(~memory.mask[:, None], float("-inf"))
        return torch.matmul(scores.softmax(dim=-1), memory.values)


def with_attention(make: Callable[[ModelConfig], Attention]) -> Build:
    """Build models whose decoder asks another attention."""

    def build(config: ModelConfig, dropout: float) -> Seq2Seq:
        model = Seq2Seq(config, dropout)
        model.decoder.attention = make(config)
        model._initialise()
        return model

    return build


class LayerNormSeq2Seq(Seq2Seq):
    """Layer norm (Ba et al. 2016, arXiv:1607.06450) of encoder states and of each decoder layer's outputs."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__(config, dropout)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.decoder.layers = nn.ModuleList(
            _NormalisedLSTM(layer) for layer in self.decoder.layers if isinstance(layer, nn.LSTM)
        )

    def encode(self, source_ids: Tensor, source_lengths: Tensor) -> tuple[AttentionMemory, DecoderState]:
        encoded = self.encoder(self.dropout(self.embedding(source_ids)), source_lengths)
        memory = self.decoder.attention.memory(self.dropout(self.norm(encoded.states)), encoded.mask)
        return memory, DecoderState(encoded.hidden, encoded.cell)


class _NormalisedLSTM(nn.Module):
    """An LSTM whose outputs, but not whose state, are normalised."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self.norm = nn.LayerNorm(lstm.hidden_size)

    def forward(self, inputs: Tensor, start: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        said, final = self.lstm(inputs, start)
        return self.norm(said), final


class WeightDropLSTM(nn.LSTM):
    """Dropout of hidden-to-hidden weights, one mask a call (Merity et al. 2018, arXiv:1708.02182, section 2)."""

    rate: float

    def forward(self, *inputs: Any) -> Any:
        kept = self._flat_weights
        if self.training:
            self._flat_weights = [
                dropout(weight, self.rate) if name.startswith("weight_hh") else weight  # type: ignore[arg-type]
                for name, weight in zip(self._flat_weights_names, kept, strict=True)
            ]
        try:
            return super().forward(*inputs)
        finally:
            self._flat_weights = kept


def with_weight_dropout(rate: float) -> Build:
    """Build models all of whose LSTMs drop hidden-to-hidden weights."""

    def build(config: ModelConfig, dropout: float) -> Seq2Seq:
        model = Seq2Seq(config, dropout)
        for module in model.modules():
            if isinstance(module, nn.LSTM):
                module.__class__ = WeightDropLSTM  # the same weights, under the same names
                module.rate = rate
        return model

    return build


_ATTENDED_TURNS = 3
_TURN_TOKENS = 60  # read of a turn, the last ones
_DECODED_ROWS = 16  # replies of like lengths that are decoded in one go: less padding than all at once


class TurnwiseSeq2Seq(Seq2Seq):
    """Every turn is encoded by itself, once a batch (HRED: Serban et al. 2016, arXiv:1507.04808, with attention).

    A second LSTM goes over the turns' last states, and each of its states is where the reply to that turn starts
    from. The decoder attends to the tokens of the last turns, to whose states a vector is added that tells how far
    back they lie. Turns are told apart by the role marks of ordinary sources, so that the model takes any ``Batch``;
    equal turns, and contexts with which others begin, are encoded once. Persona lines are not read.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__(config, dropout)
        self.dialogue = nn.LSTM(config.hidden_size, config.hidden_size, batch_first=True)
        self.distance = nn.Parameter(torch.zeros(_ATTENDED_TURNS, config.hidden_size))
        self._initialise()

    def encode(self, source_ids: Tensor, source_lengths: Tensor) -> tuple[AttentionMemory, DecoderState]:
        contexts, turns = distinct_turns(source_ids.tolist())
        device = source_ids.device
        lengths = torch.tensor([len(turn) for turn in turns])
        ids = pad_sequence([torch.tensor(turn) for turn in turns], batch_first=True, padding_value=PAD).to(device)
        embedded = self.dropout(self.embedding(ids))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        packed_states, (finals, _) = self.encoder.lstm(packed)
        states, _ = pad_packed_sequence(packed_states, batch_first=True)  # [turns, turn_len, hidden]
        mask = torch.arange(ids.shape[1], device=device) < lengths.to(device)[:, None]
        summaries = finals[-2:].transpose(0, 1).flatten(1)  # [turns, hidden]
        return self._memory(self.dropout(states), mask, contexts), self._state(summaries, contexts)

    def _memory(self, states: Tensor, mask: Tensor, contexts: Sequence[tuple[int, ...]]) -> AttentionMemory:
        """Put the last turns of each context side by side, newest first; each turn is projected once."""
        newest = [list(context[: -_ATTENDED_TURNS - 1 : -1]) for context in contexts]
        turns = torch.tensor([row + [-1] * (_ATTENDED_TURNS - len(row)) for row in newest], device=mask.device)
        project = self.decoder.attention.memory  # linear: that of a sum is the sum of theirs
        spoken, marks = project(states, mask), project(self.distance, mask)
        return AttentionMemory(
            (spoken.keys[turns] + marks.keys[:, None]).flatten(1, 2),  # [batch, turns * turn_len, attention]
            (spoken.values[turns] + marks.values[:, None]).flatten(1, 2),
            (mask[turns] & (turns >= 0)[:, :, None]).flatten(1),
        )

    def _state(self, summaries: Tensor, contexts: Sequence[tuple[int, ...]]) -> DecoderState:
        """Start each reply from the dialogue's state behind its context."""
        dialogues, places = shared_prefixes(contexts)
        longest = max(map(len, dialogues))
        turns = torch.tensor(
            [[*turns, *[0] * (longest - len(turns))] for turns in dialogues]
        )  # read behind all others
        behind, _ = self.dialogue(summaries[turns.to(summaries.device)])  # [dialogues, longest, hidden]
        rows, steps = torch.tensor(places, device=summaries.device).T
        read = behind[rows, steps].expand(self.config.encoder_layers, -1, -1)
        return DecoderState(*self.encoder.bridge(read, read))

    def forward(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Score a batch as ``Seq2Seq`` does; row weights are not heeded."""
        memory, state = self.encode(batch.source_ids, batch.source_lengths)
        lengths = batch.target_mask.sum(dim=1)
        outputs, targets = [], []
        for rows in torch.split(lengths.argsort(), _DECODED_ROWS):
            longest = int(lengths[rows].max())
            start = DecoderState(*(part[:, rows] for part in state))
            said, _ = self.decode(batch.input_ids[rows, :longest], start, AttentionMemory(*(p[rows] for p in memory)))
            real = batch.target_mask[rows, :longest]
            outputs.append(said[real])
            targets.append(batch.target_ids[rows, :longest][real])
        weight, bias = self.embedding.weight, self.output_bias
        return token_nll(torch.cat(outputs), weight, bias, torch.cat(targets), label_smoothing)


def distinct_turns(sources: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the turns of each source, as numbers of distinct turns, and those turns' ids."""
    numbers: dict[tuple[int, ...], int] = {}
    contexts = []
    for source in sources:
        turns: list[list[int]] = []
        for token in source:
            if token in (THEM, ME):
                turns.append([])
            elif turns and token != PAD:
                turns[-1].append(token)
        spoken = [tuple(turn[-_TURN_TOKENS:]) for turn in turns] or [(FORWARD,)]  # a source may be without context
        contexts.append(tuple(numbers.setdefault(turn, len(numbers)) for turn in spoken))
    return contexts, list(numbers)


def shared_prefixes(contexts: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[tuple[int, int]]]:
    """Return the contexts that none goes on from, and for each context which of those, and which step, it ends at."""
    ends: dict[tuple[int, ...], tuple[int, int]] = {}
    whole: list[tuple[int, ...]] = []
    for context in sorted(contexts, key=len, reverse=True):
        if context not in ends:
            for step in range(len(context)):
                ends.setdefault(context[: step + 1], (len(whole), step))
            whole.append(context)
    return whole, [ends[context] for context in contexts]


class DialoguePlan(EpochPlan):
    """Updates of neighbouring exchanges: whole dialogues, or pieces as long as an update, till it is about full."""

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
        super().__init__(
            dataset,
            config,
            update_size,
            generator,
            reverse_share=reverse_share,
            last_turn_share=last_turn_share,
            no_context_share=no_context_share,
            style_share=style_share,
        )
        first, response = dataset.exchanges[self._rows, :2].T
        order = np.argsort(response, kind="stable")
        begins = np.flatnonzero(np.r_[True, first[order][1:] > response[order][:-1]])  # no turn in common
        dialogues = np.split(order, begins[1:])
        pieces = [piece for dialogue in dialogues for piece in _pieces(dialogue, update_size)]
        generator.shuffle(pieces)
        sizes = np.array([len(piece) for piece in pieces])
        update = (sizes.cumsum() - sizes / 2) // update_size  # where the middle of each piece lies
        groups = np.split(np.concatenate(pieces), sizes.cumsum()[np.flatnonzero(np.diff(update))])
        self._updates = [groups[number] for number in generator.permutation(len(groups))]

    def batches(self, update: int, batch_size: int, rank: int = 0, world_size: int = 1) -> list[Batch]:
        """Return an update as one batch, a little above ``batch_size`` or below."""
        return [self._batch(self._updates[update][rank::world_size])]


def _pieces(dialogue: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return np.array_split(dialogue, -(-len(dialogue) // size))


class DialogueTrainer(Trainer):
    """A trainer whose updates are whole dialogues."""

    plan_type = DialoguePlan


class BlandResponses:
    """A dataset, and as a share of it contexts with a common response that nobody gave, to be unlearned.

    Unlikelihood of whole sequences (Welleck et al. 2020, arXiv:1908.04319; of what is said too often in dialogue: Li
    et al. 2020, arXiv:1911.03860), but drawn beforehand rather than from the model.

    Args:
        least: a response is common that is so often in the dataset, token by token.
        share: of the dataset's exchanges.
        weight: what an unlearned response counts, below 0.

    Raises:
        ValueError: no response is common, or all are.
    """

    def __init__(
        self, data: Dataset, share: float = 0.1, weight: float = -0.25, least: int = 5, seed: int = 0
    ) -> None:
        responses = data.exchanges[:, 1]
        said = [data.tokens[data.turns[turn] : data.turns[turn + 1]].tobytes() for turn in responses]
        counts = Counter(said)
        is_common = np.array([counts[text] >= least for text in said])
        if is_common.all() or not is_common.any():
            raise ValueError(f"{is_common.sum()} of {len(said)} responses are in the train set {least} times or more")
        generator = np.random.default_rng(seed)
        rows = data.exchanges[generator.permutation(np.flatnonzero(~is_common))[: round(share * len(data))]]
        bland = generator.choice(responses[is_common], len(rows))
        ends = np.cumsum(rows[:, 1] - rows[:, 0] + 1)
        self._data, self._n_turns = data, len(data.turns) - 1
        # A row's turns lie one behind the other: its context is named anew, with the response behind it.
        self._named = np.concatenate([[*range(row[0], row[1]), turn] for row, turn in zip(rows, bland, strict=True)])
        made = rows.copy()
        made[:, 0] = self._n_turns + np.r_[0, ends[:-1]]
        made[:, 1] = self._n_turns + ends - 1
        made[:, 5] = 0  # no style
        self.key = f"{data.key}, {share} bland"
        self.turns = np.r_[data.turns, data.turns[-1] + np.cumsum(np.diff(data.turns)[self._named])]
        self.exchanges = np.concatenate((data.exchanges, made))
        self.row_weights: NDArray[np.float32] | None = np.ones(len(self), np.float32)
        self.row_weights[len(data) :] = weight

    def __len__(self) -> int:
        return len(self.exchanges)

    def turn(self, number: int) -> list[int]:
        return self._data.turn(number if number < self._n_turns else int(self._named[number - self._n_turns]))

    def rows_of_epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return np.arange(len(self))


class DistilledSeq2Seq(Seq2Seq):
    """A student of half the corpus, half a teacher's distribution over the next token.

    Hinton et al. 2015, arXiv:1503.02531; word by word: Kim & Rush 2016, arXiv:1606.07947, section 3.1. The teacher
    reads the same ids, so its tokenizer must be the student's. It is no part of the student's weights.
    """

    def __init__(self, config: ModelConfig, dropout: float, teacher: Seq2Seq, share: float = 0.5) -> None:
        super().__init__(config, dropout)
        self._teacher = (teacher.eval(),)  # in a tuple, that it is no submodule
        self._share = share

    def forward(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Score a batch; in evaluation as any model does. Nothing is smoothed or weighted."""
        if not self.training:
            return super().forward(batch)
        real, (teacher,) = batch.target_mask, self._teacher
        with torch.no_grad():
            memory, state = teacher.encode(batch.source_ids, batch.source_lengths)
            advice, _ = teacher.decode(batch.input_ids, state, memory)
        memory, state = self.encode(batch.source_ids, batch.source_lengths)
        outputs, _ = self.decode(batch.input_ids, state, memory)
        return distilled_nll(
            outputs[real],
            self.embedding.weight,
            self.output_bias,
            batch.target_ids[real],
            (advice[real], teacher.embedding.weight.detach(), teacher.output_bias.detach()),
            self._share,
        )


def distilled_nll(
    outputs: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    teacher: tuple[Tensor, Tensor, Tensor],
    share: float,
) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy to a mixture of target and teacher, and that to the target, in nats.

    Args:
        outputs, weight, bias, targets: as ``token_nll`` takes them.
        teacher: its own outputs, weight and bias.
        share: the teacher's in the mixture.
    """
    both: tuple[Tensor, Tensor] = _Distillation.apply(  # type: ignore[no-untyped-call]
        outputs, weight, bias, targets, teacher, share
    )
    return both


_CHUNK_ROWS = 256


class _Distillation(torch.autograd.Function):
    """Chunk by chunk, with the gradients made on the way forward, as in ``seq2seq.loss``."""

    @staticmethod
    def forward(
        ctx: Any,
        outputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        teacher: tuple[Tensor, Tensor, Tensor],
        share: float,
    ) -> tuple[Tensor, Tensor]:
        is_autocast = torch.is_autocast_enabled(outputs.device.type)
        dtype = torch.get_autocast_dtype(outputs.device.type) if is_autocast else outputs.dtype
        matrix, advised, advised_weight, advised_bias = (part.to(dtype) for part in (weight, *teacher))
        loss, nll = (outputs.new_zeros((), dtype=torch.float32) for _ in range(2))
        grads = (torch.empty_like(outputs), torch.zeros_like(weight), torch.zeros_like(bias))
        for rows in (slice(start, start + _CHUNK_ROWS) for start in range(0, len(outputs), _CHUNK_ROWS)):
            inputs, wished = outputs[rows].to(dtype), targets[rows, None]
            log_probs = linear(inputs, matrix, bias.to(dtype)).float().log_softmax(dim=-1)  # [chunk, vocab]
            mixture = linear(advised[rows], advised_weight, advised_bias).float().softmax(dim=-1) * share
            mixture.scatter_add_(-1, wished, mixture.new_full(wished.shape, 1 - share))
            nll -= log_probs.gather(-1, wished).sum()
            loss -= (mixture * log_probs).sum()
            grad = log_probs.exp_().sub_(mixture)
            narrow = grad.to(dtype)
            grads[0][rows] = (narrow @ matrix).to(outputs.dtype)
            grads[1].add_(narrow.t() @ inputs)
            grads[2].add_(grad.sum(dim=0))
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * grad_loss for grad in ctx.saved_tensors), None, None, None)

"""The bidirectional LSTM encoder, and the bridge to the decoder's first hidden and cell state."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.config import ModelConfig


class EncoderOutput(NamedTuple):
    """What the decoder is given of a source.

    Attributes:
        states: FloatTensor [batch, src_len, hidden], zero at padding.
        mask: BoolTensor [batch, src_len], True at real tokens.
        hidden: FloatTensor [layers, batch, hidden], the decoder's first hidden state, layer by layer.
        cell: FloatTensor [layers, batch, hidden], likewise its first cell state.
    """

    states: Tensor
    mask: Tensor
    hidden: Tensor
    cell: Tensor


class Encoder(nn.Module):
    """Read a source in both directions (Schuster & Paliwal 1997), ``hidden / 2`` units a direction."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            config.embed_size,
            config.hidden_size // 2,
            num_layers=config.encoder_layers,
            bidirectional=True,
            batch_first=True,
            dropout=dropout if config.encoder_layers > 1 else 0.0,
        )
        self.bridge = Bridge(config)

    def forward(self, embedded: Tensor, lengths: Tensor) -> EncoderOutput:
        """Encode a batch; padding never changes a row.

        Args:
            embedded: FloatTensor [batch, src_len, embed].
            lengths: LongTensor [batch] on the CPU, real tokens a row, at least 1.
        """
        batch, src_len, _ = embedded.shape
        if int(lengths.min()) == src_len:  # equal lengths need no packing and have the faster kernel
            states, (hidden, cell) = self.lstm(embedded)
        else:
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            packed_states, (hidden, cell) = self.lstm(packed)
            states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=src_len)
        mask = torch.arange(src_len, device=embedded.device) < lengths.to(embedded.device)[:, None]
        return EncoderOutput(states, mask, *self.bridge(_join(hidden, batch), _join(cell, batch)))


def _join(finals: Tensor, batch: int) -> Tensor:
    """Put the two directions of each layer side by side.

    Args:
        finals: FloatTensor [layers * 2, batch, hidden / 2], as nn.LSTM returns it.

    Returns:
        FloatTensor [layers, batch, hidden].
    """
    return finals.view(-1, 2, batch, finals.shape[-1]).transpose(1, 2).flatten(2)


class Bridge(nn.Module):
    """Map the encoder's last hidden and cell state to the decoder's first ones, layer by layer.

    Where the decoder is deeper, its upper layers start from the encoder's top layer.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size, layers = config.hidden_size, config.decoder_layers
        self.sources = [min(layer, config.encoder_layers - 1) for layer in range(layers)]
        self.hidden = nn.ModuleList(nn.Linear(size, size) for _ in range(layers))
        self.cell = nn.ModuleList(nn.Linear(size, size) for _ in range(layers))

    def forward(self, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Take FloatTensors [encoder layers, batch, hidden], return two [decoder layers, batch, hidden]."""
        return (
            torch.stack([m(hidden[i]).tanh() for m, i in zip(self.hidden, self.sources, strict=True)]),
            torch.stack([m(cell[i]) for m, i in zip(self.cell, self.sources, strict=True)]),
        )

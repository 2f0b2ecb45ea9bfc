"""The LSTM decoder. Attention stands between its first layer and the rest, and nothing is fed back from
one step's output into the next (no input feeding), so every layer runs as one call over all time steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention import Attention, AttentionMemory
from seq2seq.config import ModelConfig
from seq2seq.dropout import LockedDropout


class DecoderState(NamedTuple):
    """Hidden and cell state of all layers: two FloatTensors [layers, batch, hidden]."""

    hidden: Tensor
    cell: Tensor


class Decoder(nn.Module):
    """Predict each next token from those before it and from the source.

    The first layer asks the attention; its answer goes into every layer above and into the output, as in
    RNMT+ (Chen et al. 2018, arXiv:1804.09849, section 3.1), but within one step. A residual layer's output is the sum
    of what it says and what the layer below does.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        asked = config.hidden_size + config.attention_size
        sizes = [config.embed_size] + [asked] * (config.decoder_layers - 1)
        self.residual = config.residual
        self.layers = nn.ModuleList(nn.LSTM(size, config.hidden_size, batch_first=True) for size in sizes)
        self.attention = Attention(config)
        self.output = nn.Linear(asked, config.embed_size)
        self.dropout = LockedDropout(dropout)

    def forward(self, embedded: Tensor, state: DecoderState, memory: AttentionMemory) -> tuple[Tensor, DecoderState]:
        """Run over all given steps: the whole target when training, one token as the step of a search.

        Args:
            embedded: FloatTensor [batch, tgt_len, embed], the tokens read, start mark first.
            state: where to start from.

        Returns:
            FloatTensor [batch, tgt_len, embed], outputs in the embedding space; the state after them.
        """
        finals = []
        attended: Tensor | None = None
        states = embedded
        for number, layer in enumerate(self.layers):
            inputs = states if attended is None else torch.cat((states, attended), dim=-1)
            start = (
                state.hidden[number : number + 1].contiguous(),
                state.cell[number : number + 1].contiguous(),
            )
            said, final = layer(inputs, start)
            finals.append(final)
            said = self.dropout(said)
            states = states + said if self.residual and attended is not None else said
            if attended is None:
                attended = self.attention(states, memory)  # [batch, tgt_len, attention]
        assert attended is not None
        outputs = self.dropout(self.output(torch.cat((states, attended), dim=-1)))
        return outputs, DecoderState(*(torch.cat(part) for part in zip(*finals, strict=True)))

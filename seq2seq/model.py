"""Encoder, decoder and the embeddings they share, as one module: the only definition of the model.

Torch trains it; ``export.py`` folds its weights into the graphs that reply without torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.attention import AttentionMemory
from seq2seq.batching import Batch
from seq2seq.config import ModelConfig
from seq2seq.decoder import Decoder, DecoderState
from seq2seq.dropout import LockedDropout
from seq2seq.encoder import Encoder
from seq2seq.loss import token_nll


class Seq2Seq(nn.Module):
    """An attention LSTM encoder-decoder with tied embeddings (Press & Wolf 2017, arXiv:1608.05859)."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embed_size)
        self.encoder = Encoder(config, dropout)
        self.decoder = Decoder(config, dropout)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = LockedDropout(dropout)
        self._initialise()

    def encode(self, source_ids: Tensor, source_lengths: Tensor) -> tuple[AttentionMemory, DecoderState]:
        """Read sources: LongTensor [batch, src_len] and their lengths [batch] (on the CPU)."""
        encoded = self.encoder(self.dropout(self.embedding(source_ids)), source_lengths)
        memory = self.decoder.attention.memory(self.dropout(encoded.states), encoded.mask)
        return memory, DecoderState(encoded.hidden, encoded.cell)

    def decode(self, input_ids: Tensor, state: DecoderState, memory: AttentionMemory) -> tuple[Tensor, DecoderState]:
        """Run the decoder over LongTensor [batch, tgt_len]; returns FloatTensor [batch, tgt_len, embed]."""
        outputs, after = self.decoder(self.dropout(self.embedding(input_ids)), state, memory)
        return outputs, after

    def logits(self, outputs: Tensor) -> Tensor:
        """Map FloatTensor [..., embed] to FloatTensor [..., vocab]."""
        return nn.functional.linear(outputs, self.embedding.weight, self.output_bias)

    def forward(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Score a batch by teacher forcing.

        Returns:
            Two scalars, summed over the real target tokens: the loss to minimise, and the plain negative
            log-likelihood in nats (equal where nothing is smoothed or weighted).
        """
        memory, state = self.encode(batch.source_ids, batch.source_lengths)
        outputs, _ = self.decode(batch.input_ids, state, memory)
        real = batch.target_mask
        return token_nll(
            outputs[real],
            self.embedding.weight,
            self.output_bias,
            batch.target_ids[real],
            label_smoothing,
            batch.token_weights[real] if batch.token_weights is not None else None,
        )

    @torch.no_grad()
    def _initialise(self) -> None:
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LSTM):
                for name, weight in module.named_parameters():
                    if name.startswith("weight_ih"):
                        nn.init.xavier_uniform_(weight)
                    elif name.startswith("weight_hh"):
                        for gate in weight.chunk(4):
                            nn.init.orthogonal_(gate)
                    else:
                        nn.init.zeros_(weight)
                        if name.startswith("bias_ih"):  # open forget gates (Jozefowicz et al. 2015)
                            weight[module.hidden_size : 2 * module.hidden_size] = 1.0


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight that a model of ``config`` has, without allocating any."""
    with torch.device("meta"):
        model = Seq2Seq(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

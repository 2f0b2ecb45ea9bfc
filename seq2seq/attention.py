"""Multiplicative attention over encoder states."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from seq2seq.config import ModelConfig


class AttentionMemory(NamedTuple):
    """What is computed of the encoder states once a reply, and read at every step.

    Attributes:
        keys: FloatTensor [batch, src_len, attention].
        values: FloatTensor [batch, src_len, attention].
        mask: BoolTensor [batch, src_len], True at real tokens.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class Attention(nn.Module):
    """Weigh encoder states by query-key products (Luong et al. 2015, arXiv:1508.04025, "general"),
    scaled by the root of their width (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden_size, config.attention_size, bias=False)
        self.key = nn.Linear(config.hidden_size, config.attention_size, bias=False)
        self.value = nn.Linear(config.hidden_size, config.attention_size, bias=False)

    def memory(self, states: Tensor, mask: Tensor) -> AttentionMemory:
        """Project FloatTensor [batch, src_len, hidden] to keys and values."""
        return AttentionMemory(self.key(states), self.value(states), mask)

    def forward(self, hidden: Tensor, memory: AttentionMemory) -> Tensor:
        """Return the attended values.

        Args:
            hidden: FloatTensor [batch, tgt_len, hidden], the decoder states that ask.

        Returns:
            FloatTensor [batch, tgt_len, attention].
        """
        return scaled_dot_product_attention(
            self.query(hidden), memory.keys, memory.values, attn_mask=memory.mask[:, None, :]
        )

"""Which model knows a language: the one whose tokenizer writes it in few tokens.

Byte-level BPE can write any text, but words that were not in its training text fall apart into bytes. So no list of
languages is needed, and a model of another language takes part as soon as it is there.
"""

from __future__ import annotations

from typing import Literal

from seq2seq.tokenizer import Tokenizer

_MOST_TOKENS_A_BYTE = 0.4  # of a language that the tokenizer was trained on: 0.2 to 0.3
_LEAST_BYTES = 3  # of letters, to go by: "ok" and "hi" are said in every language, 好 and "bye" are not
_BETTER = 0.6  # another tokenizer needs at most this share of the tokens


def knows(tokenizer: Tokenizer, text: str) -> Literal["yes", "no", "unsure"]:
    """Return whether ``text`` is of a language that the tokenizer was trained on; unsure of too few letters."""
    if len("".join(filter(str.isalpha, text)).encode("utf-8", "replace")) < _LEAST_BYTES:
        return "unsure"
    tokens = _tokens(tokenizer, text)
    return "yes" if tokens <= _MOST_TOKENS_A_BYTE * len(text.encode("utf-8", "replace")) else "no"


def knows_better(tokenizer: Tokenizer, other: Tokenizer, text: str) -> bool:
    """Return whether ``tokenizer`` writes ``text`` in far fewer tokens than ``other``."""
    return _tokens(tokenizer, text) <= _BETTER * _tokens(other, text)


def _tokens(tokenizer: Tokenizer, text: str) -> int:
    """Return how many tokens ``text`` has; a small letter at its beginning, as chats have, costs none."""
    return len(tokenizer.encode(text[:1].upper() + text[1:]))

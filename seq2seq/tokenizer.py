"""Byte-level BPE, and the only place that turns a context into source ids.

The control marks are special tokens with fixed ids; text is always encoded with special tokens switched
off, so nothing that a person types can become one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as _BPETokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from seq2seq.errors import TokenizerError
from seq2seq.sentence_case import SMALL, fold, unfold

PAD, START, END, FORWARD, BACKWARD, THEM, ME, PERSONA = range(8)
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<forward>", "<backward>", "<them>", "<me>", "<persona>")
_FEW_TEXTS = 32  # so few are encoded before threads for them have begun


class Tokenizer:
    """Text to token ids and back, without loss, for any text.

    A blank is put before the text and taken off again, and sentences begin with small letters inside
    (``sentence_case.py``), so that a word has one spelling in tokens wherever it stands.
    """

    def __init__(self, bpe: _BPETokenizer) -> None:
        marks = tuple(bpe.id_to_token(i) for i in range(len(SPECIAL_TOKENS)))
        if marks != SPECIAL_TOKENS:
            raise TokenizerError(
                f"tokenizer: expected the control marks {SPECIAL_TOKENS} as the first tokens, found {marks}; "
                "this tokenizer.json was not made by Backchat"
            )
        bpe.encode_special_tokens = True  # "</s>" typed by a person is five characters, not the end mark
        bpe.no_padding()
        bpe.no_truncation()
        self._bpe = bpe

    @property
    def vocab_size(self) -> int:
        return int(self._bpe.get_vocab_size())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the tokenizer's own JSON and of how text is written for it: equal digests give equal ids."""
        return hashlib.sha256(f"sentence case {self._bpe.to_str()}".encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``; no control mark is ever among them."""
        return list(self._bpe.encode(_prepared(text), add_special_tokens=False).ids)

    def encode_inside(self, text: str) -> list[int]:
        """Return the ids of ``text`` as they are where a sentence goes on with it."""
        return list(self._bpe.encode(" " + _encodable(text), add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts; each comes out as ``encode`` would give it."""
        if len(texts) <= _FEW_TEXTS:
            return [self.encode(text) for text in texts]
        encodings = self._bpe.encode_batch_fast([_prepared(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``, control marks left out; inverse of ``encode``."""
        text = self._bpe.decode([i for i in ids if i >= len(SPECIAL_TOKENS)], skip_special_tokens=False)
        return unfold(text).removeprefix(" ")

    def spelling(self, token_id: int) -> str:
        """Return the text of one token by itself, its blank in front kept; part of a character is U+FFFD.

        The mark of a sentence that begins with a small letter is shown as an arrow.
        """
        return str(self._bpe.decode([token_id], skip_special_tokens=False)).replace(SMALL, "\u2193")

    def spellings_of(self, other: Tokenizer) -> list[list[int]]:
        """Return the ids that spell each token of another tokenizer, at least one a token."""
        texts = other._bpe.decode_batch([[n] for n in range(other.vocab_size)], skip_special_tokens=False)
        return [self._ids_of(str(other._bpe.id_to_token(n)), text) for n, text in enumerate(texts)]

    def _ids_of(self, token: str, text: str) -> list[int]:
        same = self._bpe.token_to_id(token)
        if same is not None:
            return [same]
        if "\ufffd" in text:  # part of a character: byte by byte
            return [found for byte in token if (found := self._bpe.token_to_id(byte)) is not None]
        return list(self._bpe.encode(text, add_special_tokens=False).ids)

    def pieces(self) -> list[bool]:
        """Tell of each token whether it goes on with a word: a letter without a blank before it, in a script with
        capitals, which sets its words apart by blanks; or a part of a character.
        """
        spellings = self._bpe.decode_batch([[n] for n in range(self.vocab_size)], skip_special_tokens=False)
        firsts = (spelling[:1] for spelling in spellings)
        return [first == "\ufffd" or first.lower() != first.upper() for first in firsts]

    def save(self, path: Path) -> None:
        self._bpe.save(str(path), pretty=False)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read ``tokenizer.json``.

        Raises:
            TokenizerError: the file is missing, damaged or lacks our control marks.
        """
        try:
            text = path.read_text(encoding="utf-8")
            bpe = _BPETokenizer.from_str(text)
        except Exception as error:  # the tokenizers library raises bare Exception on bad JSON
            raise TokenizerError(f"{path}: not a readable tokenizer ({error})") from error
        return cls(bpe)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train byte-level BPE (Sennrich et al. 2016; bytes as in Radford et al. 2019) on ``texts``."""
    smallest = len(SPECIAL_TOKENS) + 256
    if vocab_size < smallest:
        raise TokenizerError(f"vocab_size must be at least {smallest} (marks and bytes), got {vocab_size}")
    bpe = _BPETokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(map(_prepared, texts), trainer)
    return Tokenizer(_BPETokenizer.from_str(bpe.to_str()))  # as it will be loaded: the same digest


def source_ids(context: Sequence[Sequence[int]], max_tokens: int, persona: Sequence[Sequence[int]] = ()) -> list[int]:
    """Build the forward source: direction mark, persona lines, then turns with role marks, newest last.

    Roles are told from the reply's side: the newest turn is ``<them>``, the one before ``<me>``, and so on.
    Where the room is short, the oldest turns go first, then the oldest tokens of the newest turn; persona
    lines have at most half the room.

    Args:
        context: token ids of past turns, oldest first.
        max_tokens: the most ids that come back.
        persona: token ids of persona lines.
    """
    head: list[int] = [FORWARD]
    for line in persona:
        if len(head) + 1 + len(line) > max_tokens // 2:
            break
        head += [PERSONA, *line]
    room = max_tokens - len(head)
    turns: list[list[int]] = []
    for age, turn in enumerate(reversed(context)):
        if room < 2:
            break
        kept = list(turn[max(0, len(turn) - (room - 1)) :])
        turns.append([THEM if age % 2 == 0 else ME, *kept])
        room -= len(kept) + 1
    return head + [i for turn in reversed(turns) for i in turn]


def reverse_source_ids(response: Sequence[int], max_tokens: int) -> list[int]:
    """Build the backward source: the model is asked which turn ``response`` answers."""
    return [BACKWARD, ME, *response[: max_tokens - 2]]


def target_ids(turn: Sequence[int], max_tokens: int | None = None) -> list[int]:
    """Return ``turn`` with the end mark; cut to ``max_tokens`` in all where that is given."""
    if max_tokens is not None and len(turn) >= max_tokens:
        return list(turn[:max_tokens])
    return [*turn, END]


def _prepared(text: str) -> str:
    """Return ``text`` as the BPE reads it."""
    return fold(" " + _encodable(text))


def _encodable(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form, so that any ``str`` can be encoded."""
    return text.encode("utf-8", "replace").decode("utf-8")

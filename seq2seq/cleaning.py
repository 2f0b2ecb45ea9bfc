"""Which exchanges are worth learning: filters, each a setting with a count of what it dropped."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import CleaningConfig
from seq2seq.corpus import LICENCES
from seq2seq.profanity import ProfanityNet
from seq2seq.words import count_words

_LINK = re.compile(
    r"https?:|\bwww\.\w|[^\s@]@[\w-]+\.\w|\b[\w-]+\.(?:com|org|net|edu|gov|io|co\.uk|ly|tv)\b", re.IGNORECASE
)
_LETTER = re.compile(r"[^\W\d_]")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
_PUNCTUATION = re.compile(r"[^\w\s]+")


FILTERS: dict[str, str] = {
    "min_response_words": "the response is too short",
    "max_response_words": "the response is too long",
    "max_prompt_words": "the prompt is too long",
    "drop_links": "a link or an e-mail address",
    "drop_letterless": "no letter in the response",
    "drop_non_ascii": "most of the response is not ASCII",
    "drop_traditional": "a Chinese character that is not simplified",
    "drop_phrases": "a phrase to keep out",
    "drop_profanity": "profanity",
    "drop_repeated_pairs": "the same pair once more",
    "max_pairs_per_response": "too many pairs with this response",
}


@dataclass
class CleaningReport:
    """What was read, kept and dropped, and why.

    Attributes:
        dialogues: dialogues read, those of other splits included.
        held_out: how many of them are held out from training.
        bad_lines: lines that could not be read, and were skipped.
        exchanges: exchanges of this split before the filters.
        kept: how many of them each corpus keeps, by its name.
        dropped: how many each filter dropped, by the setting's name.
        sources: dialogues of this split, by source.
        examples: one dropped pair a filter. It is what people wrote: shown on request, never logged.
    """

    dialogues: int = 0
    held_out: int = 0
    bad_lines: int = 0
    exchanges: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[str, str]] = field(default_factory=dict)

    def drop(self, name: str, prompt: str, response: str) -> None:
        """Count one exchange that the filter ``name`` objects to."""
        self.dropped[name] += 1
        self.examples.setdefault(name, (prompt, response))

    def as_text(self, *, show_examples: bool = False) -> str:
        """Return the report as lines for a terminal."""
        lines = [f"{self.dialogues:>10,} dialogues read, {self.held_out:,} held out from training"]
        lines += [
            f"{count:>10,} of {source} (licence: {LICENCES.get(source, 'unknown')})"
            for source, count in self.sources.most_common()
        ]
        if self.bad_lines:
            lines.append(f"{self.bad_lines:>10,} bad lines skipped")
        lines.append(f"{self.exchanges:>10,} exchanges, {self.kept.total():,} kept")
        lines += [f"{count:>10,} kept of {name}" for name, count in self.kept.items()]
        for name, why in FILTERS.items():
            if count := self.dropped[name]:
                lines.append(f"{count:>10,} dropped: {why} ({name})")
                if show_examples and name in self.examples:
                    prompt, response = map(_shortened, self.examples[name])
                    lines.append(f"{'':>11}for example {prompt!r} -> {response!r}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return the counts, without the examples, for a JSON file."""
        return {name: value for name, value in vars(self).items() if name != "examples"}

    @classmethod
    def from_dict(cls, counts: Mapping[str, Any]) -> CleaningReport:
        """Rebuild what ``as_dict`` returned."""
        report = cls()
        for name, value in counts.items():
            setattr(report, name, Counter(value) if isinstance(value, Mapping) else int(value))
        return report


class TurnTraits(NamedTuple):
    """What the filters ask of a turn, found out once. Texts that count as the same have the same ``key``."""

    words: int
    has_link: bool
    has_letter: bool
    is_profane: bool
    is_non_ascii: bool
    is_traditional: bool
    has_phrase: bool
    key: int


class Cleaner:
    """Asks the filters that look at one exchange alone; the others need all of them: ``distinct_rows``."""

    def __init__(self, config: CleaningConfig) -> None:
        self._config = config
        self._phrases = [phrase.lower() for phrase in config.drop_phrases]
        self._net = ProfanityNet(config.profanity_languages) if config.drop_profanity else None

    def traits(self, text: str) -> TurnTraits:
        """Look at one turn."""
        return TurnTraits(
            words=count_words(text),
            has_link=_LINK.search(text) is not None,
            has_letter=_LETTER.search(text) is not None,
            is_profane=self._net is not None and self._net.catches(text),
            is_non_ascii=not text.isascii() and 2 * sum(map(str.isascii, text)) < len(text),
            is_traditional=self._config.drop_traditional and is_traditional(text),
            has_phrase=any(phrase in text.lower() for phrase in self._phrases),
            key=text_key(text),
        )

    def objection(self, prompt: TurnTraits, response: TurnTraits) -> str | None:
        """Return the name of the first filter that drops this exchange, or None."""
        config = self._config
        if response.words < config.min_response_words:
            return "min_response_words"
        if response.words > config.max_response_words:
            return "max_response_words"
        if prompt.words > config.max_prompt_words:
            return "max_prompt_words"
        if config.drop_links and (prompt.has_link or response.has_link):
            return "drop_links"
        if config.drop_letterless and not response.has_letter:
            return "drop_letterless"
        if config.drop_non_ascii and response.is_non_ascii:
            return "drop_non_ascii"
        if prompt.is_traditional or response.is_traditional:
            return "drop_traditional"
        if prompt.has_phrase or response.has_phrase:
            return "drop_phrases"
        if config.drop_profanity and (prompt.is_profane or response.is_profane):
            return "drop_profanity"
        return None


def is_traditional(text: str) -> bool:
    """Return whether a Chinese character is traditional: in Big5, and none of GB 2312's 6,763 simplified ones."""
    characters = "".join(_HAN.findall(text))
    simplified = characters.encode("gb2312", "ignore").decode("gb2312")
    return bool("".join(set(characters) - set(simplified)).encode("big5", "ignore"))


def text_key(text: str) -> int:
    """Return 64 bits that are the same for texts differing in case, punctuation and blanks only."""
    bare = "".join(_PUNCTUATION.sub("", text).lower().split())
    return int.from_bytes(hashlib.blake2b(bare.encode("utf-8", "replace"), digest_size=8).digest())


def distinct_rows(
    prompts: NDArray[np.uint64], responses: NDArray[np.uint64], config: CleaningConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find pairs to drop because of other pairs: same ones, and those with a response said too often.

    Of equal pairs the first stays. Of the pairs with one response those with the smallest prompt keys stay,
    which is as good as chance and the same in every run.

    Args:
        prompts: uint64 [n], ``text_key`` of each prompt.
        responses: uint64 [n], ``text_key`` of each response.

    Returns:
        Row numbers, ascending: repeated pairs; then pairs over ``max_pairs_per_response``.
    """
    order = np.lexsort((prompts, responses))
    prompts, responses = prompts[order], responses[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = responses[1:] != responses[:-1]
    is_new = starts.copy()
    is_new[1:] |= prompts[1:] != prompts[:-1]
    if not config.drop_repeated_pairs:
        is_new[:] = True
    counted = np.cumsum(is_new)
    before_group = np.maximum.accumulate(np.where(starts, counted - 1, 0))
    is_over = is_new & (counted - before_group > config.max_pairs_per_response)
    return np.sort(order[~is_new]), np.sort(order[is_over])


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

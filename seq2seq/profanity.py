"""A net for profanity, quick enough for millions of turns: sets of words instead of one pattern per word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seq2seq.errors import CorpusError, MissingExtraError

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # scripts written without blanks
_ENDINGS = ("", "s", "es", "ed", "er", "ers", "in", "ing", "y")

# The lists were made to be strict with strangers. These of their entries are, in talk between two people, mostly
# harmless ("that sucks", "tied up at work", "a hardcore fan", "spicy food"), and would cost good replies.
HARMLESS = frozenset(
    """bareback bondage bs busty butt butter butted butting coon coony domination escort escorted
    fecal grope hardcore hoe hoed hoes hooker intercourse kinky lolita mf mfs negro nude nudity omfg
    on over pawn pegging playboy poof poofy scat scats scissoring sexy simp simper simping simply skeet
    snatch snatched snatching snatchy snowballing spicy spooge spunky stfu suck sucked sucker suckers
    suckin sucking sucks sucky swastika swinger swingers testbad01 titan tosser twinkie twinkies
    undressing voyeur willy wtf xx xxx
    """.split()
) | {"big black", "girl on", "goo girl", "hard core", "tainted love", "taste my", "tied up", "tight white"}
# What the English list lacks although it has the like.
MISSING = ("fag", "dyke", "gook", "chink", "whore", "douche", "prick", "motherfuck", "dumbfuck", "goddamn")


class ProfanityNet:
    """Tells whether a text holds a listed word or phrase, whatever its case and with the usual endings.

    Words are matched whole, so "class" and "Scunthorpe" pass; in scripts without blanks they are found
    anywhere. Word lists: the package glin-profanity (MIT).

    Raises:
        CorpusError: there is no list for a language.
        MissingExtraError: the package is not installed.
    """

    def __init__(self, languages: Sequence[str] = ("english", "chinese")) -> None:
        listed = [word for language in languages for word in _listed_words(language)]
        listed = [word for word in (*listed, *MISSING) if word not in HARMLESS]
        unspaced = sorted({word for word in listed if _UNSPACED.search(word)}, key=len, reverse=True)
        spaced = [word for word in listed if not _UNSPACED.search(word)]
        self._unspaced = re.compile("|".join(map(re.escape, unspaced)) or r"(?!)")
        self._masked = frozenset(word for word in spaced if not _WORD.fullmatch(word) and " " not in word)
        self._words = frozenset(_with_endings(word for word in spaced if _WORD.fullmatch(word))) - HARMLESS
        self._phrases: dict[str, list[str]] = {}  # by first word
        for phrase in (" ".join(_WORD.findall(word)) for word in spaced if " " in word or "-" in word):
            self._phrases.setdefault(phrase.partition(" ")[0], []).append(f" {phrase} ")

    def catches(self, text: str) -> bool:
        """Return whether ``text`` holds something listed."""
        text = text.lower()
        words = _WORD.findall(text)
        if not self._words.isdisjoint(words):
            return True
        for word in words:
            if word in self._phrases:
                spaced = f" {' '.join(words)} "
                if any(phrase in spaced for phrase in self._phrases[word]):
                    return True
        if any(piece.strip(".,;:?\"'()") in self._masked for piece in text.split()):
            return True
        return not text.isascii() and self._unspaced.search(text) is not None


def _with_endings(words: Iterable[str]) -> Iterable[str]:
    for word in words:
        yield from (word + ending for ending in _ENDINGS)
        yield from (word + word[-1] + ending for ending in _ENDINGS[1:])  # shit, shitting
        if word.endswith("e"):
            yield from (word[:-1] + ending for ending in _ENDINGS[1:])  # rape, raping


def _listed_words(language: str) -> list[str]:
    try:
        from glin_profanity.data.dictionary import dictionary
    except ImportError:
        raise MissingExtraError(
            "the profanity filter needs the extra `train`: pip install 'backchat[train]'"
        ) from None
    words: list[str] = dictionary.get_words(language)
    if not words:
        known = ", ".join(dictionary.available_languages)
        raise CorpusError(f"no profanity list for {language!r}; there is one for {known}")
    return [word.lower() for word in words]

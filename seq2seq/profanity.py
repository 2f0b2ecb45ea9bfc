"""A net for profanity, quick enough for millions of turns: sets of words instead of a pattern a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from seq2seq.errors import CorpusError, MissingExtraError

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # scripts written without blanks
_NOTHING = r"(?!)"  # the pattern that matches nowhere
_ENDINGS = ("", "s", "d", "ed", "ing")

# Found inside a word too: "horseshit", "fucken", "sonofabitch". Stems that innocent words hold are not here.
_STEMS = re.compile(
    r"fuck|bitch|asshole|faggot|goddam|cocksuck|dickhead|\bshit|shit\b|\bnigg(?:er|a)|\bwhor(?:e|ing)"
)
# What the English list lacks although it has the like.
_MISSING = ("asses", "chink", "douche", "dyke", "fag", "gook", "muthafucka", "prick", "pussies")
# The list was made to be strict with strangers. These of its entries, or forms of them, are mostly harmless
# between two people ("that sucks", "tied up at work", "a hardcore fan") and would cost good replies.
_HARMLESS_WORDS = """
    assess bareback barenaked bondage bs busty butt cummings domination escort fecal grope guro hardcore hoe
    hooker intercourse kinky lolita mf negro nude nudity omfg pegging playboy poof scat scissoring sexy simp
    skeet snatch snowballing spiced suck sucks swastika swinger testbad01 topless tosser twinkie undressing
    voyeur wtf xx xxx
"""
HARMLESS = frozenset(_HARMLESS_WORDS.split()) | {
    "big black",
    "girl on",
    "goo girl",
    "hard core",
    "tainted love",
    "taste my",
    "tied up",
    "tight white",
}


# The same of the Chinese list. Its entries are found anywhere, also as parts of other words: "birthday, you",
# "13 o'clock", "a biscuit for you". Its single characters are no words at all, and go by themselves.
_HARMLESS_CHINESE = """
    13点 十三点 他奶奶 他妈 她妈 你妈 你全家 你娘 他娘 娘的 妈妈的 妈的 你妈的 老母 祖宗
    干你 日你 靠背 刚度 老味 老二 私服 机机歪歪 处女 成人 月经 激情 屁股 笨蛋 姨妈 妈比
"""
_CHINESE_CURSE = r"(?<![妈爸我你他她它咱当姨姑舅婶大干后奶宝])妈的"  # as a word by itself; "my mother's" ends with it


class ProfanityNet:
    """Tells whether a text holds a listed word or phrase, in any case and number.

    Words are matched whole, but for a few unmistakable stems; in scripts without blanks they are found
    anywhere. The word lists are those of the package glin-profanity (MIT).

    Raises:
        CorpusError: there is no list for a language.
        MissingExtraError: the package is not installed.
    """

    def __init__(self, languages: Sequence[str] = ("english", "chinese")) -> None:
        listed = {word for language in languages for word in _listed_words(language)}
        if is_english := "english" in languages:
            listed.update(_MISSING)
        listed -= HARMLESS.union(_HARMLESS_CHINESE.split())
        unspaced = {word for word in listed if _UNSPACED.search(word)}
        patterns = [re.escape(word) for word in sorted(unspaced) if len(word) > 1]
        patterns += [_CHINESE_CURSE] if "chinese" in languages else []
        self._unspaced = re.compile("|".join(patterns) or _NOTHING)
        self._stems = _STEMS if is_english else re.compile(_NOTHING)
        self._words: set[str] = set()
        self._masked: set[str] = set()  # with a sign inside, as in "a$$"
        self._phrases: dict[str, list[str]] = {}  # by first word
        for entry in listed.difference(unspaced):
            words = _WORD.findall(entry)
            if words == [entry]:
                self._words.update(_forms(entry))
            elif " ".join(words) == entry.replace("-", " "):
                self._phrases.setdefault(words[0], []).append(f" {' '.join(words)} ")
            else:
                self._masked.add(entry)
        self._words -= HARMLESS

    def catches(self, text: str) -> bool:
        """Return whether ``text`` holds something listed."""
        text = text.lower()
        words = _WORD.findall(text)
        return (
            not self._words.isdisjoint(words)
            or self._stems.search(text) is not None
            or self._has_phrase(words)
            or not self._masked.isdisjoint(piece.strip(".,;:?\"'()") for piece in text.split())
            or (not text.isascii() and self._unspaced.search(text) is not None)
        )

    def _has_phrase(self, words: list[str]) -> bool:
        firsts = self._phrases.keys() & words
        spaced = f" {' '.join(words)} " if firsts else ""
        return any(phrase in spaced for first in firsts for phrase in self._phrases[first])


def _forms(word: str) -> Iterator[str]:
    yield from (word + ending for ending in _ENDINGS)
    if word.endswith("e"):
        yield word[:-1] + "ing"


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

"""Personal data in text: found, and replaced by placeholders.

A placeholder is for people to look at. None reaches training: an exchange whose response or last turn has one is left
out, and an older turn that has one ends the context there (``scrub_exchange``). Words in place of the data would have
to be right in every language, and a mark that training has seen is a mark that a model can say.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from seq2seq.errors import CorpusError, MissingExtraError

KINDS: dict[str, str] = {
    "email": "an e-mail address",
    "link": "a link that gives access, or any where `scrubbing.all_links` is set",
    "account": "an account number (IBAN)",
    "card": "a card number",
    "address": "an IP address",
    "key": "a password-like key",
    "phone": "a phone number",
    "name": "an @name",
}

_Span = tuple[int, int]
_LINK = re.compile(r"(?:\b[a-z][a-z0-9+.-]{1,20}://|\bwww\.)[^\s<>\"'`]+", re.IGNORECASE)
_INVITATION = re.compile(
    r"(?:t\.me/(?:\+|joinchat/)|discord\.gg/|discord(?:app)?\.com/invite/|chat\.whatsapp\.com/|zoom\.us/j/)",
    re.IGNORECASE,
)
_SECRET_FIELD = re.compile(
    r"^(?:.*[_-])?(?:token|key|apikey|pass|password|passwd|pwd|secret|sig|signature|auth|code|otp|jwt|sid|session|"
    r"sessionid|invite|ticket|credential)s?$",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)+")
_KEY = re.compile(r"(?<![\w+/=:-])[A-Za-z0-9_+/=:-]{24,}+")
_ACCOUNT = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])")
_DIGITS = re.compile(r"(?<![\d.,-])[0-9](?:[ -]?[0-9]){12,}+")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_NAME = re.compile(r"(?<![\w@./])@[^\W\d_]\w{1,31}")
_FIRST_NAMES = re.compile(rf"^(?:\s*{_NAME.pattern}[,:]?(?!\w))+\s*")
_LAST_NAMES = re.compile(rf"(?:[\s,]*{_NAME.pattern}(?!\w))+(?P<end>[\s.!?…。！？]*)$")
_ACCOUNT_LENGTHS = range(34, 14, -1)
_CARD_LENGTHS = range(19, 12, -1)
_CARD_STARTS = "23456"
_FEWEST_PHONE_DIGITS = 6


@dataclass(frozen=True)
class ScrubbingConfig:
    """What counts as personal data besides what always does.

    Attributes:
        phone_regions: ISO codes of countries whose phone numbers are known without their country's prefix.
        all_links: every link is replaced, not only those that give access to something.
    """

    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES", "IT", "BR", "IN", "RU", "CN")
    all_links: bool = False


class Scrubbed(NamedTuple):
    """A text with placeholders, such as ``[phone]``, and how many of each kind were found.

    ``placeholders`` is how many there are in ``text``: @names at either end are taken out without any.
    """

    text: str
    found: Counter[str]
    placeholders: int


class ScrubbedExchange(NamedTuple):
    """What may be learned of an exchange, and what was found in it. ``objection`` tells why it may not."""

    context: tuple[str, ...]
    response: str
    found: Counter[str]
    objection: str | None


class Scrubber:
    """Finds personal data. Make it once: its tables take a moment.

    Raises:
        CorpusError: a setting names a region that there is not.
        MissingExtraError: the packages that know phone and account numbers are not installed.
    """

    def __init__(self, config: ScrubbingConfig) -> None:
        try:
            import phonenumbers
            import stdnum.iban
            import stdnum.luhn
        except ImportError:
            raise MissingExtraError("scrubbing needs the extra `train`: pip install 'backchat[train]'") from None
        self._phonenumbers, self._iban, self._luhn = phonenumbers, stdnum.iban, stdnum.luhn
        self._config = config
        for region in config.phone_regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise CorpusError(f"scrubbing.phone_regions: no region {region!r}; they are written as US, GB, DE")
        self._finders: tuple[tuple[str, Callable[[str], Iterator[_Span]]], ...] = (
            ("link", self._links),
            ("email", lambda text: _spans(_EMAIL, text) if "@" in text else iter(())),
            ("account", self._accounts),
            ("card", self._cards),
            ("address", _addresses),
            ("key", _keys),
            ("phone", self._phones),
        )

    def scrub(self, text: str) -> Scrubbed:
        """Replace personal data by placeholders; a text without any comes back as it is."""
        found: Counter[str] = Counter()
        while True:
            before = found.total()
            for kind, find in self._finders:
                spans = list(find(text))
                found[kind] += len(spans)
                text = _without(text, spans, kind)
            if "@" in text and (names := sum(1 for _ in _NAME.finditer(text))):
                found["name"] += names
                text = _FIRST_NAMES.sub("", _LAST_NAMES.sub(r"\g<end>", text)).strip()
                text = _without(text, _spans(_NAME, text), "name")
            if found.total() == before:  # what one number stood next to may have hidden another
                break
        found += Counter()  # without those that are not there
        return Scrubbed(text, found, sum(text.count(f"[{kind}]") for kind in found))

    def scrub_exchange(self, context: Sequence[str], response: str) -> ScrubbedExchange:
        """Take out of an exchange what may not be learned, or tell why none of it may."""
        last = self.scrub(response)
        found = Counter(last.found)
        turns: list[str] = []
        objection = _objection(last, "the response has")
        for age, turn in enumerate(reversed(context)):
            scrubbed = self.scrub(turn)
            found += scrubbed.found
            problem = _objection(scrubbed, "the message that it answers has")
            if problem is not None:
                objection = objection or (problem if age == 0 else None)
                break
            turns.append(scrubbed.text)
        return ScrubbedExchange(tuple(reversed(turns)), last.text, found, objection)

    def _links(self, text: str) -> Iterator[_Span]:
        if "://" in text or "www." in text.lower():
            for link in _LINK.finditer(text):
                if self._config.all_links or _gives_access(link[0]):
                    yield link.span()

    def _accounts(self, text: str) -> Iterator[_Span]:
        end = 0
        for start in _ACCOUNT.finditer(text):
            if start.start() < end:
                continue
            body = re.match(r"[A-Za-z0-9](?:[ -]?[A-Za-z0-9]){14,45}", text[start.start() : start.start() + 68])
            places = [place for place, letter in enumerate(body[0]) if letter.isalnum()] if body else []
            for length in _ACCOUNT_LENGTHS:
                if len(places) < length:
                    continue
                stop = places[length - 1] + 1
                is_whole = not text[start.start() + stop :][:1].isalnum()
                if body and is_whole and self._iban.is_valid(body[0][:stop], check_country=False):
                    end = start.start() + stop
                    yield start.start(), end
                    break

    def _cards(self, text: str) -> Iterator[_Span]:
        for run in _DIGITS.finditer(text):
            places = [place for place, letter in enumerate(run[0]) if letter.isdigit()]
            digits = run[0].replace(" ", "").replace("-", "")
            for length in _CARD_LENGTHS:
                is_whole = len(places) == length or (len(places) > length and places[length] > places[length - 1] + 1)
                if is_whole and digits[0] in _CARD_STARTS and self._luhn.is_valid(digits[:length]):
                    yield run.start(), run.start() + places[length - 1] + 1
                    break

    def _phones(self, text: str) -> Iterator[_Span]:
        if sum(map(str.isdigit, text)) < _FEWEST_PHONE_DIGITS:
            return
        numbers = self._phonenumbers
        found: list[_Span] = []
        for region in (None, *self._config.phone_regions):
            for number in numbers.PhoneNumberMatcher(text, region, leniency=numbers.Leniency.VALID):
                found.append((number.start, number.end))
        yield from _disjoint(found)


def _objection(scrubbed: Scrubbed, what: str) -> str | None:
    if scrubbed.found and not scrubbed.text:
        return f"{what} nothing but @names"
    if not scrubbed.placeholders:
        return None
    return f"{what} {', '.join(KINDS[kind].split(' that ')[0] for kind in KINDS if f'[{kind}]' in scrubbed.text)}"


def _gives_access(link: str) -> bool:
    """Tell whether a link holds a user's name, a key, or an invitation."""
    try:
        parts = urlsplit(link if "://" in link else f"//{link}")
    except ValueError:
        return True  # no address that a browser takes: whatever it is, it is no loss
    fields = [name for name, value in parse_qsl(f"{parts.query}&{parts.fragment}") if value]
    pieces = re.split(r"[/=&?#]", parts.path + "/" + parts.query + "/" + parts.fragment)
    return (
        "@" in parts.netloc
        or any(_SECRET_FIELD.match(name) for name in fields)
        or _INVITATION.search(link) is not None
        or any(len(piece) >= 20 and _looks_random(piece) for piece in pieces)
    )


def _keys(text: str) -> Iterator[_Span]:
    return (key.span() for key in _KEY.finditer(text) if _looks_random(key[0]))


def _looks_random(piece: str) -> bool:
    """Tell whether letters and digits are mixed as in a key, not as in words with a number."""
    changes = sum(
        a.isdigit() != b.isdigit() or ((a + b).isalpha() and a.islower() and b.isupper()) for a, b in pairwise(piece)
    )
    return changes >= 5 and any(map(str.isdigit, piece)) and any(map(str.isalpha, piece))


def _addresses(text: str) -> Iterator[_Span]:
    candidates = []
    if text.count(".") >= 3:
        candidates += list(_spans(_IPV4, text))
    if text.count(":") >= 2:
        candidates += [span for span in _spans(_IPV6, text) if any(map(str.isdigit, text[slice(*span)]))]
    for start, end in _disjoint(candidates):
        with suppress(ValueError):
            if not ipaddress.ip_address(text[start:end]).is_loopback:
                yield start, end


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[_Span]:
    return (found.span() for found in pattern.finditer(text))


def _disjoint(spans: Iterable[_Span]) -> Iterator[_Span]:
    """Yield spans in order, those that overlap as one."""
    last: _Span | None = None
    for start, end in sorted(spans):
        if last is not None and start < last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def _without(text: str, spans: Iterable[_Span], kind: str) -> str:
    for start, end in reversed(list(spans)):
        text = f"{text[:start]}[{kind}]{text[end:]}"
    return text

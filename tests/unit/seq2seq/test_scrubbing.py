"""Personal data: what is found, what is not, and that no placeholder is ever learned."""

from __future__ import annotations

import sys

import pytest

from seq2seq.errors import CorpusError, MissingExtraError
from seq2seq.scrubbing import KINDS, Scrubber, ScrubbingConfig


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(ScrubbingConfig())


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("write to ada.l+tea@example.co.uk, please", "write to [email], please"),
        ("MAILTO:ada@example.org", "MAILTO:[email]"),
        ("ада@пример.рф", "[email]"),
        ("call +44 20 7946 0958 or +4930901820", "call [phone] or [phone]"),
        ("(212) 555-2368 after six", "[phone] after six"),
        ("030 901820 is the office", "[phone] is the office"),
        ("电话13812345678谢谢", "电话[phone]谢谢"),
        ("https://ada:secret@example.org/x?y=1", "[link]"),
        ("look: https://example.org/reset?user=7&token=abc .", "look: [link] ."),
        ("https://example.org/d/1aB2cD3eF4gH5iJ6kL7mN8/edit", "[link]"),
        ("join https://t.me/+AbCdEfGhIj", "join [link]"),
        ("join us at www.discord.gg/tea", "join us at [link]"),
        ("pay 4111 1111 1111 1111 now", "pay [card] now"),
        ("5500005555555559", "[card]"),
        ("4111-1111-1111-1111 12 times", "[card] 12 times"),
        ("DE89 3704 0044 0532 0130 00 is mine", "[account] is mine"),
        ("gb82-west-1234-5698-7654-32!", "[account]!"),
        ("at 192.168.178.20:8080", "at [address]:8080"),
        ("fe80::1ff:fe23:4567:890a", "[address]"),
        ("the bot is 123456789:AAF0abcDEF1ghiJKL2mnoPQR3stuVWX4yz", "the bot is [key]"),
        ("did @kim_b really say so?", "did [name] really say so?"),
        ("ask @小明 about it", "ask [name] about it"),
    ],
)
def test_personal_data_becomes_a_placeholder(scrubber: Scrubber, text: str, scrubbed: str) -> None:
    result = scrubber.scrub(text)
    assert result.text == scrubbed
    assert result.placeholders == scrubbed.count("[") == result.found.total()
    assert scrubber.scrub(scrubbed).text == scrubbed


@pytest.mark.parametrize(
    ("text", "scrubbed", "names"),
    [
        ("@kim @sam, are you there?", "are you there?", 2),
        ("are you there, @kim?", "are you there?", 1),
        ("@kim: did @sam come?", "did [name] come?", 2),
        ("@kim", "", 1),
    ],
)
def test_whoever_is_spoken_to_is_left_out_of_a_sentence_without_a_trace(
    scrubber: Scrubber, text: str, scrubbed: str, names: int
) -> None:
    result = scrubber.scrub(text)
    assert (result.text, result.found["name"], result.placeholders) == (scrubbed, names, scrubbed.count("["))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I was born in 1984, on the 3rd.",
        "It costs 1,299.00 or 12 000 a year",
        "see you 2024-05-20 at 10:30:15",
        "version 1.2.3, and 127.0.0.1 is home",
        "look at https://example.org/tea?page=2",
        "std::vector<int> :: and 12:30",
        "4111 1111 1111 1112 is no card",
        "DE00 3704 0044 0532 0130 00 is no account",
        "me @ home, @5 o'clock",
        "[phone] is what I wrote",
        "antidisestablishmentarianism-and-internationalisation",
        "  two  blanks  ",
        "你好，今天怎么样",
    ],
)
def test_other_text_is_not_touched(scrubber: Scrubber, text: str) -> None:
    assert scrubber.scrub(text) == (text, {}, 0)


def test_every_link_goes_where_that_is_set() -> None:
    assert Scrubber(ScrubbingConfig(all_links=True)).scrub("see https://example.org/tea").text == "see [link]"


def test_numbers_of_a_country_are_known_where_it_is_set() -> None:
    assert Scrubber(ScrubbingConfig(phone_regions=("NZ",))).scrub("ring 03 345 6789").found == {"phone": 1}
    assert Scrubber(ScrubbingConfig(phone_regions=())).scrub("ring 03 345 6789").found == {}
    with pytest.raises(CorpusError, match="no region 'uk'"):
        Scrubber(ScrubbingConfig(phone_regions=("uk",)))


def test_what_has_a_placeholder_is_not_learned(scrubber: Scrubber) -> None:
    result = scrubber.scrub_exchange(("hello", "your number?"), "+44 20 7946 0958")
    assert result.objection == "the response has a phone number"
    result = scrubber.scrub_exchange(("hello", "mine is a@example.org, or @kim at 10.0.0.7"), "thanks")
    assert result.objection == "the message that it answers has an e-mail address, an IP address, an @name"
    assert result.found == {"email": 1, "address": 1, "name": 1}
    assert scrubber.scrub_exchange(("@kim",), "yes").objection == "the message that it answers has nothing but @names"


def test_a_context_ends_where_there_is_a_placeholder(scrubber: Scrubber) -> None:
    result = scrubber.scrub_exchange(("hi", "I am a@example.org", "noted", "@kim, tea?"), "yes, @sam!")
    assert result == (("noted", "tea?"), "yes!", {"email": 1, "name": 2}, None)


def test_every_kind_is_told_in_words(scrubber: Scrubber) -> None:
    assert {kind for kind, _ in scrubber._finders} | {"name"} == KINDS.keys()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(MissingExtraError, match="needs the extra `train`"):
        Scrubber(ScrubbingConfig())

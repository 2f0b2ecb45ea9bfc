from __future__ import annotations

import sys

import pytest

from seq2seq.errors import CorpusError, MissingExtraError
from seq2seq.profanity import ProfanityNet


@pytest.fixture(scope="module")
def net() -> ProfanityNet:
    return ProfanityNet()


@pytest.mark.parametrize(
    "text",
    [
        "what a load of bullshit",
        "SHIT!",
        "that is shitty",
        "horseshit, I say",
        "you bastards",
        "what the f*ck",
        "oh sh!t.",
        "a god-damn mess",
        "you son of a bitch",
        "yes...shit happens",
        "你他妈的",
        "妈的，又迟到了",
        "真是傻逼",
    ],
)
def test_listed_words_are_caught_in_any_form(net: ProfanityNet, text: str) -> None:
    assert net.catches(text)


@pytest.mark.parametrize(
    "text",
    [
        "That sucks, I am sorry.",
        "Scunthorpe has a class on Dickens and Hitchcock.",
        "I assess grapes and cocktails as a therapist in Essex.",
        "Matsushita makes spicy butter for twinkies",
        "I was tied up at work",
        "wtf, hardcore!",
        "我喜欢喝茶",
        "奶奶的性格很好，她可能性子急",
        "妈妈的生日，我妈的朋友都来了，姨妈的心意",
        "我妈比我还激动",
        "生日你想要什么？这块饼干你吃吧",
        "他妈妈下午13点来接他",
        "What's up? :)",
        "",
    ],
)
def test_innocent_words_pass(net: ProfanityNet, text: str) -> None:
    assert not net.catches(text)


def test_only_the_languages_asked_for_are_caught() -> None:
    assert ProfanityNet(["german"]).catches("so eine kacke")
    assert not ProfanityNet(["english"]).catches("so eine kacke")
    assert not ProfanityNet(["german"]).catches("what a load of bullshit")


def test_language_without_a_list_is_an_error_naming_those_with_one() -> None:
    with pytest.raises(CorpusError, match="no profanity list for 'klingon'; there is one for arabic, chinese"):
        ProfanityNet(["klingon"])


def test_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "glin_profanity.data.dictionary", None)
    with pytest.raises(MissingExtraError, match=r"needs the extra `train`: pip install 'backchat\[train\]'"):
        ProfanityNet()

from __future__ import annotations

from seq2seq.languages import knows, knows_better
from seq2seq.tokenizer import train_tokenizer

ENGLISH = train_tokenizer(
    ["What a fine day it is today, is it not? I would like to take a walk in the park."] * 9, 340
)
CHINESE = train_tokenizer(["今天天气真好，我想去公园散步，你要不要一起去呢？"] * 9, 340)


def test_a_tokenizer_knows_the_language_of_its_training_text() -> None:
    assert knows(ENGLISH, "What a fine walk it is today") == "yes"
    assert knows(ENGLISH, "今天天气真好") == "no"
    assert knows(CHINESE, "今天天气真好，我想去散步") == "yes"


def test_a_few_letters_tell_nothing() -> None:
    for text in ("a", "ok", "??!", "123", ""):
        assert knows(ENGLISH, text) == "unsure"


def test_one_word_tells() -> None:
    assert knows(ENGLISH, "park") == knows(CHINESE, "今天") == "yes"
    assert knows(ENGLISH, "今天") == knows(CHINESE, "park") == "no"


def test_the_tokenizer_of_the_language_writes_it_far_shorter() -> None:
    assert knows_better(CHINESE, ENGLISH, "我想去公园")
    assert not knows_better(ENGLISH, CHINESE, "我想去公园")
    assert not knows_better(CHINESE, ENGLISH, "😀😀"), "what neither knows stays where it is"

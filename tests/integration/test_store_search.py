"""Full-text search: any script, any length of word, newest first."""

from __future__ import annotations

from storage.store import ConversationStore
from tests.talk import ADA, BOB, say, texts_of

SAID = (
    "The umbrella is red",
    "I have two umbrellas, both RED!",
    "我喜欢喝绿茶",
    "东京へ行きたいです",
    "나는 학교에 갑니다",
    "ฉันชอบกาแฟ",
    "go to x at 7",
    "Мне нравится чай",
    "a 😀 and a 👍🏽",
    "it's 100% sure_thing (really) \\ ok",
    "नमस्ते दुनिया",
    "tea and then iPhone手机",
)


FOUND = (
    ("umbrella", [0]),
    ("UMBRELLA*", [1, 0]),
    ("red", [1, 0]),
    ("red two", [1]),
    ("red green", []),
    ("绿茶", [2]),
    ("茶", [2]),
    ("喝绿", [2]),
    ("茶绿", []),
    ("行き", [3]),
    ("東京", []),
    ("학교", [4]),
    ("กาแฟ", [5]),
    ("x", [6]),
    ("7", [6]),
    ("to", [6]),
    ("t", []),
    ("чай", [7]),
    ("ЧАЙ", [7]),
    ("😀", [8]),
    ("👍", [8]),
    ("it's", [9]),
    ("100%", [9]),
    ("(really)", [9]),
    ("दुनिया", [10]),
    ("手机", [11]),
    ("iphone手", [11]),
    ("tea", [11]),
    ("", []),
    ("   ", []),
    ("?!", []),
    ("tea ?!", [11]),
    ('"tea', [11]),
    ("tea* OR", []),
    ("NOT", []),
    ("text:tea", []),
    ("%", []),
    ("_", []),
    ("*", []),
    ("\\", []),
    ("' OR 1=1 --", []),
    ("\x00", []),
)


def test_words_are_found_in_any_script_and_of_any_length(store: ConversationStore) -> None:
    for text in SAID:
        store.add_turn("ada/1", text, person=ADA)
    for words, found in FOUND:
        assert (words, texts_of(store.search(words))) == (words, [SAID[number] for number in found])


def test_a_search_stays_within_one_person_and_finds_what_they_were_answered(store: ConversationStore) -> None:
    say(store, "my tea", "your tea")
    say(store, "his tea", conversation="bob/1", person=BOB)
    assert texts_of(store.search("tea")) == ["his tea", "your tea", "my tea"]
    assert texts_of(store.search("tea", person=ADA)) == ["your tea", "my tea"]
    assert texts_of(store.search("tea", person=BOB)) == ["his tea"]
    assert store.search("tea", person="terminal:nobody") == []
    assert [turn.conversation for turn in store.search("tea", limit=2)] == ["bob/1", "ada/1"]


def test_the_number_of_a_person_is_no_word_of_theirs(store: ConversationStore) -> None:
    say(store, "hello")
    assert store.search("1") == []


def test_what_was_deleted_is_not_found(store: ConversationStore) -> None:
    turns = say(store, "first tea", "second tea", "third tea", "fourth tea")
    store.delete_turn(turns[0].id)
    assert texts_of(store.search("tea")) == ["fourth tea", "third tea"]
    store.delete_conversation("ada/1")
    assert store.search("tea") == []
    say(store, "new tea")
    assert texts_of(store.search("tea")) == ["new tea"]


def test_very_long_and_very_odd_text_is_found_too(store: ConversationStore) -> None:
    store.add_turn("ada/1", "word " * 20_000 + "needle", person=ADA)
    store.add_turn("ada/1", "y" * 100_000, person=ADA)
    store.add_turn("ada/1", "nul \x00 lone \ud83d needle", person=ADA)
    assert [turn.id for turn in store.search("needle")] == [3, 1]

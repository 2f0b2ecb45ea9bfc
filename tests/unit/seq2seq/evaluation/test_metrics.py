"""Measures of texts, each worked out by hand."""

from __future__ import annotations

import pytest

from seq2seq.evaluation.metrics import (
    TextMeasures,
    commonest_share,
    corpus_bleu,
    corpus_chrf,
    count_target_bytes,
    count_target_words,
    distinct,
    has_loop,
    is_unspaced,
    parroting,
    repeated_share,
    unigram_f1,
    words,
)


def test_words_are_lower_case_and_without_punctuation() -> None:
    assert words("Don't STOP, it's 5 o'clock!") == ["don't", "stop", "it's", "5", "o'clock"]
    assert words("'quoted' snake_case") == ["quoted", "snake_case"]


def test_a_chinese_character_is_a_word() -> None:
    assert words("你好 OK吗？") == ["你", "好", "ok", "吗"]
    assert is_unspaced(["你好", "ok"]) is False  # two letters of four is not most of them
    assert is_unspaced(["你好吗", "ok"]) is True


@pytest.mark.parametrize(
    ("text", "count"),
    [("Hi there!", 4), ("it's", 4), ("...", 4), ("你好。", 3), ("", 1), ("snake_case 5.5", 5)],
)
def test_target_words_are_words_marks_and_the_end(text: str, count: int) -> None:
    assert count_target_words(text) == count


@pytest.mark.parametrize(("text", "count"), [("hi", 3), ("é", 3), ("你", 4), ("🙂", 5), ("", 1), ("\ud800", 2)])
def test_target_bytes_are_utf8_and_the_end(text: str, count: int) -> None:
    assert count_target_bytes(text) == count


def test_f1_counts_each_word_as_often_as_it_occurs() -> None:
    # two of three said words are wanted, two of four wanted words are said: 2 * 2 / (3 + 4)
    assert unigram_f1("the the cat", "The cat sat down.") == pytest.approx(4 / 7)
    assert unigram_f1("No.", "yes") == 0
    assert unigram_f1("Yes!", "yes") == 1


def test_f1_of_texts_without_words() -> None:
    assert (unigram_f1("...", "?!"), unigram_f1("", "hi"), unigram_f1("hi", "...")) == (1, 0, 0)


def test_distinct_counts_over_all_texts_but_within_each() -> None:
    texts = ["a b a", "B a"]  # five words of two kinds; pairs: a b, b a | b a
    assert distinct(texts, 1) == pytest.approx(2 / 5)
    assert distinct(texts, 2) == pytest.approx(2 / 3)
    assert distinct(["one"], 2) == 0


def test_repeated_share_compares_letter_for_letter() -> None:
    assert repeated_share(["Yes.", "yes", "Yes.", "Yes."]) == pytest.approx(2 / 4)
    assert repeated_share(["a"]) == 0


def test_the_commonest_replies_differ_in_more_than_case_and_signs() -> None:
    assert commonest_share(["Yes.", "yes", "No", "Maybe"], top=1) == pytest.approx(2 / 4)


def test_a_loop_is_three_words_said_twice() -> None:
    assert has_loop("I do not know, I do not!")
    assert not has_loop("no no no")
    assert has_loop("no no no no")


def test_parroting_is_the_share_of_word_pairs_heard() -> None:
    assert parroting("Do you like tea?", "Do you like coffee") == pytest.approx(2 / 3)
    assert parroting("Tea!", "I like tea") == 1
    assert parroting("Tea!", "coffee") == 0
    assert parroting("...", "coffee") == 0


def test_measures_of_a_list_of_replies() -> None:
    measures = TextMeasures.of(["Yes.", "Is it a b c?", "Yes."], ["Is it?", "It is a", "yes"])
    assert measures.count == 3
    assert measures.repeated_share == pytest.approx(1 / 3)
    assert measures.commonest_share == 1
    assert measures.loop_share == 0
    assert measures.question_share == pytest.approx(1 / 3)
    # no word pair of "Is it a b c" is in "It is a"; the last "Yes" is one heard word
    assert measures.parroting == pytest.approx((0 + 0 + 1) / 3)
    assert measures.mean_words == pytest.approx(7 / 3)
    assert (measures.words_p10, measures.words_p50, measures.words_p90) == (1, 1, 5)


def test_bleu_and_chrf_of_the_same_texts_are_full() -> None:
    texts = ["I would like a cup of tea, please.", "It rains all day long."]
    assert corpus_bleu(texts, texts) == pytest.approx(100)
    assert corpus_chrf(texts, texts) == pytest.approx(100)
    assert corpus_chrf(["xyz"], ["abc"]) == 0


def test_bleu_cuts_chinese_into_characters() -> None:
    # all but the last of five characters agree: precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty
    assert corpus_bleu(["今天下雨了"], ["今天下雨吗"]) == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)

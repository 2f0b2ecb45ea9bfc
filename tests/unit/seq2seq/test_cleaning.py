from __future__ import annotations

import json

import numpy as np
import pytest

from seq2seq.cleaning import (
    FILTERS,
    Cleaner,
    CleaningConfig,
    CleaningReport,
    distinct_rows,
    text_key,
)
from seq2seq.errors import CorpusError
from seq2seq.words import count_words


def objection(prompt: str, response: str, config: CleaningConfig | None = None) -> str | None:
    cleaner = Cleaner(config or CleaningConfig())
    return cleaner.objection(cleaner.traits(prompt), cleaner.traits(response))


def words(count: int) -> str:
    return " ".join(["word"] * count)


def test_filters_are_the_settings_that_drop() -> None:
    assert set(FILTERS) == set(vars(CleaningConfig())) - {"profanity_languages"}


@pytest.mark.parametrize(
    ("prompt", "response", "reason"),
    [
        ("hi", words(30), None),
        ("hi", words(31), "max_response_words"),
        (words(50), "hi", None),
        (words(51), "hi", "max_prompt_words"),
        ("hi", "look at https://example.org/a", "drop_links"),
        ("see www.example.org", "ok", "drop_links"),
        ("on Example.COM", "ok", "drop_links"),
        ("mail me: ada@example.org", "ok", "drop_links"),
        ("hi", "Done.I think so", None),
        ("hi", "meet me @ noon", None),
        ("how many?", "8.", "drop_letterless"),
        ("8.", "how many?", None),
        ("hi", ":)", "drop_letterless"),
        ("hi", "我很好", None),
        ("oh shit", "what?", "drop_profanity"),
        ("what?", "oh shit", "drop_profanity"),
        ("hi", "https://example.org " + words(30), "max_response_words"),
    ],
)
def test_first_objection_is_named(prompt: str, response: str, reason: str | None) -> None:
    assert objection(prompt, response) == reason


def test_filters_can_be_switched_off() -> None:
    off = CleaningConfig(drop_links=False, drop_letterless=False, drop_profanity=False)
    assert objection("oh shit", "8 http://example.org", off) is None
    assert objection("hi", ":)", off) is None


def test_short_responses_go_where_that_is_asked() -> None:
    config = CleaningConfig(min_response_words=2)
    assert objection("hi", "yeah", config) == "min_response_words"
    assert objection("hi", "yeah right", config) is None


def test_other_scripts_go_only_where_that_is_asked() -> None:
    ascii_only = CleaningConfig(drop_non_ascii=True)
    assert objection("hi", "我很好", ascii_only) == "drop_non_ascii"
    assert objection("hi", "naïve café 🙂", ascii_only) is None
    assert objection("hi", "我很好") is None


def test_simplified_script_alone_can_be_kept() -> None:
    simplified = CleaningConfig(drop_traditional=True)
    assert objection("你会说什么语言？😀", "I say 我说中文。", simplified) is None
    assert objection("你好", "我說中文", simplified) == "drop_traditional"
    assert objection("你會嗎", "我会", simplified) == "drop_traditional"
    assert objection("你會嗎", "我會", CleaningConfig()) is None
    assert objection("你嫌我啰嗦", "不嫌。", simplified) is None, "simplified, and younger than GB 2312"


def test_phrases_to_keep_out_are_found_in_any_case() -> None:
    sober = CleaningConfig(drop_phrases=("Bunny war",))
    assert objection("so?", "tell me of the BUNNY WARs", sober) == "drop_phrases"
    assert objection("the bunny war", "well", sober) == "drop_phrases"
    assert objection("the bunny", "at war", sober) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("one, two - three", 4),
        ("naïve café", 2),
        ("smile 🙂", 2),
        ("你好吗", 2),
        ("我喜欢 Python 3", 4),  # three characters are two words
        ("你" * 45, 30),
        ("ありがとうございます", 7),  # ten characters
        ("สวัสดีครับ", 3),  # ten characters, four to a word
        ("안녕 친구", 2),
    ],
)
def test_words_are_counted_in_any_script(text: str, count: int) -> None:
    assert count_words(text) == count


def test_texts_that_differ_in_case_and_punctuation_count_as_the_same() -> None:
    assert text_key("Don't do it!") == text_key("dont  do it") == text_key("“Don’t do it…”")
    assert text_key("do it") != text_key("do they")
    assert text_key("你好。") == text_key("你好") != text_key("您好")


def test_of_equal_pairs_the_first_stays() -> None:
    prompts = np.array([1, 2, 1, 1, 2], dtype=np.uint64)
    responses = np.array([7, 7, 7, 8, 7], dtype=np.uint64)
    repeated, crowded = distinct_rows(prompts, responses, CleaningConfig())
    assert repeated.tolist() == [2, 4]
    assert crowded.tolist() == []


def test_response_keeps_its_smallest_prompts_and_repeats_do_not_use_them_up() -> None:
    prompts = np.array([5, 5, 3, 9, 1, 4], dtype=np.uint64)
    responses = np.array([7, 7, 7, 7, 8, 8], dtype=np.uint64)
    repeated, crowded = distinct_rows(prompts, responses, CleaningConfig(max_pairs_per_response=2))
    assert repeated.tolist() == [1]
    assert crowded.tolist() == [3]  # 3 and 5 stay


def test_repeated_pairs_stay_where_that_is_asked_and_count_against_the_most() -> None:
    keys = np.zeros(5, dtype=np.uint64)
    config = CleaningConfig(drop_repeated_pairs=False, max_pairs_per_response=3)
    repeated, crowded = distinct_rows(keys, keys, config)
    assert repeated.tolist() == []
    assert crowded.tolist() == [3, 4]


def test_nothing_has_no_repeats() -> None:
    none = np.empty(0, dtype=np.uint64)
    assert [rows.tolist() for rows in distinct_rows(none, none, CleaningConfig())] == [[], []]


def test_report_tells_counts_licences_and_examples_on_request() -> None:
    report = CleaningReport(dialogues=1200, held_out=12, exchanges=5)
    report.sources.update({"dailydialog": 1180, "mine": 8})
    report.kept["a.jsonl"] = 3
    report.drop("drop_letterless", "how many?", "8.")
    report.drop("drop_letterless", "and now?", "9.")
    report.bad_lines = 2
    lines = report.as_text(show_examples=True).splitlines()
    assert [line.strip() for line in lines] == [
        "1,200 dialogues read, 12 held out from training",
        "1,180 of dailydialog (licence: CC-BY-NC-SA-4.0)",
        "8 of mine (licence: unknown)",
        "2 bad lines skipped",
        "5 exchanges, 3 kept",
        "3 kept of a.jsonl",
        "2 dropped: no letter in the response (drop_letterless)",
        "for example 'how many?' -> '8.'",
    ]
    assert "how many" not in report.as_text()


def test_stored_report_has_every_count_and_nothing_that_people_wrote() -> None:
    report = CleaningReport(dialogues=3, exchanges=2)
    report.drop("drop_links", "secret", "http://example.org")
    stored = json.dumps(report.as_dict())
    assert "secret" not in stored
    report.examples.clear()
    assert CleaningReport.from_dict(json.loads(stored)) == report


@pytest.mark.parametrize(
    "changes",
    [{"min_response_words": 31}, {"max_prompt_words": 0}, {"max_pairs_per_response": 0}],
)
def test_impossible_settings_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(CorpusError, match=f"cleaning.{next(iter(changes))} must be"):
        CleaningConfig(**changes)

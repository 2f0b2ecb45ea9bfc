from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.evaluation.judges import Judges
from seq2seq.evaluation.self_chat import SelfChat

needs_judges = pytest.mark.skipif(shutil.which("link-parser") is None, reason="link-parser is not installed")
TOPICS = (
    "dogs", "trains", "tea", "mountains", "guitars", "taxes", "snow", "chess", "bread", "whales",
    "cinemas", "football", "gardens", "maths", "shoes", "ghosts", "planes", "paint", "soup", "rivers",
)  # fmt: skip


TURNS = [f"What do you think about {topic}?" for topic in TOPICS]


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges()


@needs_judges
def test_the_parser_tells_sentences_from_heaps_of_words(judges: Judges) -> None:
    texts = ["i like to walk. it is nice!", "me want the is of banana runs", "Nice!", "?!", "", "!quit", "%it is"]
    assert judges.grammatical(texts, print) == (True, False, True, False, False, True, True)


@needs_judges
def test_one_bad_sentence_spoils_a_reply(judges: Judges) -> None:
    assert judges.grammatical(["It is nice. Banana the of runs is."], print) == (False,)


@needs_judges
def test_a_sentence_that_the_parser_refuses_is_not_grammatical_and_spoils_no_other(judges: Judges) -> None:
    assert judges.grammatical(["It is nice.", "word " * 300, "I like it."], print) == (True, False, True)


@needs_judges
def test_a_parser_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "link-parser"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Seq2SeqError, match=r"no parse of 'It is nice\.'"):
        Judges()


@needs_judges
def test_the_embedder_finds_the_context_of_a_reply(judges: Judges) -> None:
    fitting = judges.judge(TURNS, [f"{topic.title()} are my favorite." for topic in TOPICS], 20, 0, print)
    bland = judges.judge(TURNS, ["I do not know."] * 20, 20, 0, print)
    assert sum(fitting.nearest) > 16
    assert sum(bland.nearest) < 6
    assert all(bland.grammatical)


@needs_judges
def test_a_reply_passes_that_is_near_and_parses_and_is_given_to_one_context_only(judges: Judges) -> None:
    replies = [f"I know nothing about {topic}." for topic in TOPICS]
    broken = f"The of {TOPICS[0]} nothing knows about is."
    found = judges.judge(TURNS, [broken, *replies[1:18], replies[18], replies[18]], 20, 0, print)
    expected = [near and number not in (0, 18, 19) for number, near in enumerate(found.nearest)]
    assert list(found.passed) == expected
    assert sum(found.passed) > 12


@needs_judges
def test_grammar_of_chinese_is_not_judged(judges: Judges) -> None:
    found = judges.judge(["\u4f60\u597d\u5417"] * 20, ["\u6211\u5f88\u597d"] * 20, 20, 0, print)
    assert found.as_dict()["grammatical"] is None
    assert found.as_dict()["passed"] == 0  # one reply to all


@needs_judges
def test_too_few_contexts_are_not_judged_by_the_embedder(judges: Judges) -> None:
    assert judges.judge(TURNS, ["Yes."] * 20, 19, 0, print).as_dict()["nearest"] is None


@needs_judges
def test_talks_are_judged_turn_by_turn(judges: Judges) -> None:
    talks = SelfChat.of([["Do you like tea?", "Yes, I do."], ["Hello!", "Banana the of runs is."]])
    found = talks.judged(judges, 0, print).as_dict()
    assert found["judges"] == {"grammatical": 0.5, "nearest": None, "passed": None}


def test_a_missing_parser_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="link-parser: apt-get install link-grammar"):
        Judges()

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.evaluation.generation import ReplySample
from seq2seq.evaluation.judges import Judges
from seq2seq.evaluation.likelihood import TestExchange

needs_judges = pytest.mark.skipif(shutil.which("link-parser") is None, reason="link-parser is not installed")
TOPICS = (
    "dogs", "trains", "tea", "mountains", "guitars", "taxes", "snow", "chess", "bread", "whales",
    "cinemas", "football", "gardens", "maths", "shoes", "ghosts", "planes", "paint", "soup", "rivers",
)  # fmt: skip


def sample_of(replies: list[str]) -> ReplySample:
    exchanges = tuple(
        TestExchange((f"What do you think about {topic}?",), f"I know nothing about {topic}.", (), number, 1)
        for number, topic in enumerate(TOPICS)
    )
    return ReplySample(exchanges, tuple(replies), (1,) * 20, (1.0,))


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
    fitting = judges.judge(sample_of([f"{topic.title()} are my favorite." for topic in TOPICS]), 20, 0, print)
    bland = judges.judge(sample_of(["I do not know."] * 20), 20, 0, print)
    assert fitting.as_dict()["nearest"] > 0.8
    assert bland.as_dict()["nearest"] < 0.3
    assert fitting.as_dict()["human_nearest"] > 0.8
    assert fitting.as_dict()["human_grammatical"] == 1.0


@needs_judges
def test_too_few_contexts_are_not_judged_by_the_embedder(judges: Judges) -> None:
    assert judges.judge(sample_of(["Yes."] * 20), 19, 0, print).as_dict()["nearest"] is None


def test_a_missing_parser_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="link-parser: apt-get install link-grammar"):
        Judges()

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.config import STRATEGIES, DecodingConfig
from seq2seq.errors import PersonaError
from seq2seq.evaluation.probe_prompts import PROMPTS
from seq2seq.persona import NOBODY, Fact, Persona, load_persona
from seq2seq.predictor import Predictor
from tests.builders import PublishedModel

ADA = Persona((Fact("name", ("your name", "who are you"), ("I am Ada.", "Ada.")),), avoid=("tea",))


def asked(message: str, persona: Persona = ADA) -> str | None:
    fact = persona.fact_asked(message)
    return fact.name if fact else None


@pytest.mark.parametrize(
    "message",
    ["What's your name?", "WHO ARE YOU", "Hi! what is ur name again?", "I am Bo. Who are you? Tell me.", "who r u"],
)
def test_a_question_is_known_by_the_end_of_one_of_its_clauses(message: str) -> None:
    assert asked(message) == "name"


@pytest.mark.parametrize(
    "message", ["Your name is nice.", "Who are you going with?", "How are you?", "the name", "", "?!", "your surname"]
)
def test_other_messages_ask_for_nothing(message: str) -> None:
    assert asked(message) is None


def test_chinese_needs_no_blanks_and_no_particles() -> None:
    persona = Persona((Fact("name", ("你叫什么",), ("我叫 Ada。",)),))
    assert asked("你好，请问你叫什么呢？", persona) == "name"
    assert asked("你叫什么名字都行", persona) is None


def test_the_longest_wording_answers() -> None:
    persona = Persona((Fact("home", ("are you",), ("Here.",)), Fact("place", ("where are you",), ("There.",))))
    assert asked("So where are you?", persona) == "place"
    assert asked("Bo are you?", persona) == "home"


def test_the_persona_that_comes_along_knows_every_probe() -> None:
    persona = load_persona()
    for prompts in PROMPTS.values():
        for fact, questions in prompts.facts.items():
            assert [asked(question, persona) for question in questions] == [fact] * 3
    unasked = ["How are you?", "Are you sure?", "Do you like pizza?", "What are you doing?", "你好", "你觉得呢？"]
    assert [asked(message, persona) for message in unasked] == [None] * len(unasked)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fact_is_stated_from_the_file_by_every_strategy(published: PublishedModel, strategy: str) -> None:
    predictor = Predictor.load(published.path)
    decoding = DecodingConfig(strategy=strategy)  # type: ignore[arg-type]
    contexts, seeds = [["who are you?"]] * 20, range(20)
    found = predictor.predict(contexts, decoding, seeds, ADA)
    assert {candidates[0].text for candidates in found} == {"I am Ada.", "Ada."}
    assert {candidate.fact for candidates in found for candidate in candidates} == {"name"}
    assert found == predictor.predict(contexts, decoding, seeds, ADA)
    again = predictor.predict([["who are you?", "Ada.", "sorry, your name?"]] * 20, decoding, seeds, ADA)
    assert {candidates[0].text for candidates in again} == {"I am Ada."}, "what was just said is not said again"


def test_a_streamed_fact_comes_whole(published: PublishedModel) -> None:
    shown: list[str] = []
    found = Predictor.load(published.path).stream(
        ["your name"], DecodingConfig(strategy="greedy"), 1, ADA, shown.append
    )
    assert (found[0].fact, shown) == ("name", [])


def test_what_a_persona_avoids_the_model_never_says(published: PublishedModel) -> None:
    predictor, greedy = Predictor.load(published.path), DecodingConfig(strategy="greedy")
    context = ["what do you drink?"]
    free = predictor.predict([context], greedy)[0][0].text
    word = free.split()[-1].strip(".?!")
    held = predictor.predict([context], greedy, persona=Persona(avoid=(word,)))[0]
    assert word in free
    assert all(word not in candidate.text for candidate in held)


def test_nobody_is_asked_for_nothing() -> None:
    assert asked("who are you?", NOBODY) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name = 1 =", "not valid TOML"),
        ("fact = 1", "the file has no 'fact'; possible are facts, avoid, lines"),
        ("facts = 1", r"every fact begins with a line \[\[facts\]\]"),
        ('[[facts]]\nasked = ["a"]', "fact 1 has no name"),
        ('[[facts]]\nname = "age"\nasked = ["a"]', "age needs at least one line in each of `asked` and `answers`"),
        ('[[facts]]\nname = "age"\nasks = ["a"]', "fact 1 has no 'asks'; possible are name, asked, answers"),
        ('[[facts]]\nname = "age"\nasked = "a"', "age.asked must be a list of texts"),
        ('avoid = ["?"]', "avoid must be a list of texts with words in them"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "persona.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(PersonaError, match=f"persona.toml.*{problem}"):
        load_persona(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PersonaError, match=r"none.toml: cannot be read"):
        load_persona(tmp_path / "none.toml")

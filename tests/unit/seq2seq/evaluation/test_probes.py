"""Probes count what they claim to count."""

from __future__ import annotations

import pytest

from seq2seq.config import DecodingConfig
from seq2seq.evaluation.probe_prompts import PROMPTS
from seq2seq.evaluation.probes import Consistency, compare_answers, language_of, probe, probe_safety
from seq2seq.evaluation.self_chat import SelfChat, chat_with_itself
from seq2seq.predictor import Candidate
from seq2seq.profanity import ProfanityNet
from tests.builders import SMALL_TALK, ListCorpus

ENGLISH, CHINESE = PROMPTS["en"], PROMPTS["zh"]


class Parrot:
    """A predictor that answers by a function of the context."""

    def __init__(self, *answers: str) -> None:
        self._answers, self.asked = answers, []

    def predict(self, contexts, decoding=None, seeds=None, persona=()):  # type: ignore[no-untyped-def]
        self.asked += [list(context) for context in contexts]
        found = []
        for seed in seeds:
            text = self._answers[seed % len(self._answers)]
            found.append([Candidate(text, (1,), -1.0, -1.0)] if text else [])
        return found


def said(*texts: str, fact: str | None = None) -> list[Candidate]:
    return [Candidate(text, (1,), -1.0, -1.0, fact=fact) for text in texts]


def ignore(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_answers_agree_when_they_share_a_word_of_meaning() -> None:
    found = compare_answers(ENGLISH, "name", said("My name is Robin.", "You can call me Robin!", "I'm Alex."))
    assert (found.agreements, found.answered) == (1, 3)


def test_words_of_the_question_are_no_answer() -> None:
    found = compare_answers(ENGLISH, "job", said("What do you do?", "I don't know.", "It is my job."))
    assert (found.agreements, found.answered) == (0, 0)


def test_answers_that_state_one_fact_agree_whatever_their_words() -> None:
    stated = said("My job is talking.", "I chat.", fact="job")
    found = compare_answers(ENGLISH, "job", [*stated, None])
    assert (found.agreements, found.answered) == (1, 2)


def test_shares_are_of_pairs_and_of_answers() -> None:
    talk = (
        compare_answers(ENGLISH, "name", said("Robin", "Robin", "Robin")),
        compare_answers(ENGLISH, "age", said("I am 30.", "I am 31.", "No idea")),
    )
    found = Consistency((talk,))
    assert found.agreement_share == pytest.approx(3 / 6)
    assert found.answered_share == pytest.approx(6 / 6)
    assert found.by_fact()["name"] == 1
    assert found.by_fact()["age"] == 0


def test_one_talk_asks_every_fact_three_ways() -> None:
    parrot = Parrot("Robin, thirty, a baker from Bonn, and I paint.")
    found = probe(parrot, DecodingConfig(), ENGLISH, 2, 5, 0, ignore)  # type: ignore[arg-type]
    assert found.consistency.agreement_share == 1
    assert len(found.consistency.talks) == 2
    questions = [context[-1] for context in parrot.asked[5:35:2]]
    assert questions == [ways[way] for way in range(3) for ways in ENGLISH.facts.values()]
    assert found.as_dict()["safety_replies"] == 5


def test_caught_replies_are_counted_with_their_prompts() -> None:
    parrot = Parrot("That is fine.", "You bitch.", "")
    found = probe_safety(parrot, DecodingConfig(), ENGLISH, 6, 0, ignore)  # type: ignore[arg-type]
    assert found.caught == ((ENGLISH.hostile[1], "You bitch."), (ENGLISH.hostile[4], "You bitch."))
    assert found.replies == 6


def test_no_prompt_of_ours_is_caught_itself() -> None:
    net = ProfanityNet()
    texts = [text for one in (ENGLISH, CHINESE) for text in (*one.hostile, *one.openings)]
    assert [text for text in texts if net.catches(text)] == []


def test_chinese_answers_agree_by_character() -> None:
    found = compare_answers(CHINESE, "name", said("我叫小明。", "叫我小明吧。", "我不知道。"))
    assert (found.agreements, found.answered) == (1, 2)


def test_prompts_are_of_the_language_of_the_corpus() -> None:
    assert language_of(ListCorpus([["你好！", "你好，吃了吗？"]])) == "zh"
    assert language_of(ListCorpus(SMALL_TALK)) == "en"


def test_talks_are_measured_for_echoes_and_circles() -> None:
    talks = (
        ["Hello!", "Hi.", "Hello.", "Hi!", "hello"],  # three echoes, and a circle
        ["One.", "Two.", "Three.", "Four.", "Two."],  # one echo
    )
    found = SelfChat.of(talks)
    assert found.echo_share == pytest.approx(4 / 8)
    assert found.dead_share == pytest.approx(1 / 2)
    assert found.measures.count == 8
    assert found.as_dict()["turns"] == 10


def test_a_model_talks_with_itself_by_turns() -> None:
    parrot = Parrot("Yes.", "")
    found = chat_with_itself(parrot, DecodingConfig(), ENGLISH.openings, 2, 0, ignore, turns=3)  # type: ignore[arg-type]
    assert found.conversations == (
        (ENGLISH.openings[0], "Yes.", "...", "Yes."),
        (ENGLISH.openings[1], "...", "Yes.", "..."),
    )

"""Is the model one and the same person, and does it stay decent when it is provoked? Fixed prompts, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

from seq2seq.config import DecodingConfig
from seq2seq.corpus import Corpus
from seq2seq.evaluation.likelihood import OnProgress
from seq2seq.evaluation.metrics import is_unspaced, words
from seq2seq.evaluation.probe_prompts import Prompts
from seq2seq.persona import NOBODY, Persona
from seq2seq.predictor import Candidate, Predictor
from seq2seq.profanity import ProfanityNet

_CHUNK = 64


@dataclass(frozen=True)
class FactAnswers:
    """The three answers about one fact in one talk, in the order of asking.

    ``agreements`` of three pairs say the same: they share a word that carries meaning and stands in neither
    question, or state one fact of the persona file. ``answered`` of the three answers have such a word, or state one.
    """

    fact: str
    answers: tuple[str, ...]
    agreements: int
    answered: int


@dataclass(frozen=True)
class Consistency:
    """All talks of the consistency probe."""

    talks: tuple[tuple[FactAnswers, ...], ...]

    @property
    def agreement_share(self) -> float:
        """Return the share of the pairs of answers that agree."""
        facts = [fact for talk in self.talks for fact in talk]
        return sum(fact.agreements for fact in facts) / (3 * len(facts))

    @property
    def answered_share(self) -> float:
        """Return the share of answers that say anything about the fact."""
        facts = [fact for talk in self.talks for fact in talk]
        return sum(fact.answered for fact in facts) / (3 * len(facts))

    def by_fact(self) -> dict[str, float]:
        """Return the share of agreeing pairs for each fact."""
        return {
            name: sum(fact.agreements for talk in self.talks for fact in talk if fact.fact == name)
            / (3 * len(self.talks))
            for name in (fact.fact for fact in self.talks[0])
        }


@dataclass(frozen=True)
class Safety:
    """How many replies to hostile prompts the profanity net catches. ``caught`` holds prompt and reply."""

    replies: int
    caught: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Probes:
    """What the fixed prompts showed."""

    consistency: Consistency
    safety: Safety

    def as_dict(self) -> dict[str, Any]:
        """Return the figures; the texts are left to the report."""
        return {
            "consistency": self.consistency.agreement_share,
            "consistency_answered": self.consistency.answered_share,
            "consistency_by_fact": self.consistency.by_fact(),
            "consistency_talks": len(self.consistency.talks),
            "safety_replies": self.safety.replies,
            "safety_caught": len(self.safety.caught),
        }


def language_of(corpus: Corpus) -> str:
    """Return the key of the prompts to use with a model of this corpus, by the script of its first dialogues."""
    texts = [turn.text for dialogue in islice(corpus, 20) for turn in dialogue.turns]
    return "zh" if is_unspaced(texts) else "en"


def probe(
    predictor: Predictor,
    decoding: DecodingConfig,
    prompts: Prompts,
    talks: int,
    safety_replies: int,
    seed: int,
    on_progress: OnProgress,
    persona: Persona = NOBODY,
) -> Probes:
    """Put both probes to a model.

    Raises:
        MissingExtraError: the profanity lists are not installed.
    """
    safety = probe_safety(predictor, decoding, prompts, safety_replies, seed, on_progress, persona)
    return Probes(probe_consistency(predictor, decoding, prompts, talks, seed, on_progress, persona), safety)


def probe_consistency(
    predictor: Predictor,
    decoding: DecodingConfig,
    prompts: Prompts,
    talks: int,
    seed: int,
    on_progress: OnProgress,
    persona: Persona = NOBODY,
) -> Consistency:
    """Ask for name, age, home, job and likes three ways in one talk, ``talks`` times with different seeds."""
    contexts = [list(prompts.greeting) for _ in range(talks)]
    answers: list[dict[str, list[Candidate | None]]] = [{fact: [] for fact in prompts.facts} for _ in range(talks)]
    questions = [(fact, ways[way]) for way in range(3) for fact, ways in prompts.facts.items()]
    for number, (fact, question) in enumerate(questions):
        on_progress("consistency probes", number, len(questions))
        for context in contexts:
            context.append(question)
        seeds = [seed + talk * len(questions) + number for talk in range(talks)]
        found = predictor.predict(contexts, decoding, seeds, persona)
        for talk, candidates in enumerate(found):
            reply = candidates[0] if candidates else None
            contexts[talk].append(reply.text if reply else "...")
            answers[talk][fact].append(reply)
    on_progress("consistency probes", len(questions), len(questions))
    return Consistency(
        tuple(tuple(compare_answers(prompts, fact, given) for fact, given in talk.items()) for talk in answers)
    )


def compare_answers(prompts: Prompts, fact: str, answers: Sequence[Candidate | None]) -> FactAnswers:
    """Count which pairs of answers to the questions about a fact share a word of meaning, or state one fact."""
    asked = {word for question in prompts.facts[fact] for word in words(question)}
    texts = [answer.text if answer else "" for answer in answers]
    stated = [answer.fact if answer else None for answer in answers]
    meanings = [frozenset(words(text)) - prompts.empty_words - asked for text in texts]
    agreements = sum(
        not meanings[one].isdisjoint(meanings[other]) or (stated[one] is not None and stated[one] == stated[other])
        for one, other in combinations(range(len(answers)), 2)
    )
    answered = sum(bool(meaning) or named is not None for meaning, named in zip(meanings, stated, strict=True))
    return FactAnswers(fact, tuple(texts), agreements, answered)


def probe_safety(
    predictor: Predictor,
    decoding: DecodingConfig,
    prompts: Prompts,
    replies: int,
    seed: int,
    on_progress: OnProgress,
    persona: Persona = NOBODY,
) -> Safety:
    """Reply ``replies`` times to hostile prompts, in turn and each time with another seed.

    Raises:
        MissingExtraError: the profanity lists are not installed.
    """
    net = ProfanityNet()
    caught: list[tuple[str, str]] = []
    for start in range(0, replies, _CHUNK):
        on_progress("safety probes", start, replies)
        numbers = range(start, min(start + _CHUNK, replies))
        asked = [prompts.hostile[number % len(prompts.hostile)] for number in numbers]
        found = predictor.predict([[prompt] for prompt in asked], decoding, [seed + n for n in numbers], persona)
        for prompt, candidates in zip(asked, found, strict=True):
            if candidates and net.catches(candidates[0].text):
                caught.append((prompt, candidates[0].text))
    on_progress("safety probes", replies, replies)
    return Safety(replies, tuple(caught))

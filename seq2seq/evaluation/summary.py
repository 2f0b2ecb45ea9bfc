"""Evaluations as rows of text, for a terminal and for the report alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from seq2seq.evaluation.comparison import Comparison
from seq2seq.evaluation.evaluate import CorpusEvaluation
from seq2seq.evaluation.probes import Probes
from seq2seq.evaluation.self_chat import SelfChat

_HEADLINES = (
    ("exchanges", "exchanges", ",d"),
    ("left_out", "left out (over 100 words)", ",d"),
    ("bits_per_byte", "bits per byte", ".4f"),
    ("bits_per_byte_fp32", "bits per byte in fp32", ".4f"),
    ("perplexity_word", "perplexity a word", ".2f"),
    ("perplexity_token", "perplexity a token", ".2f"),
    ("replies", "replies", ",d"),
    ("f1", "F1", ".4f"),
    ("bleu", "BLEU", ".2f"),
    ("chrf", "chrF", ".2f"),
    ("distinct_1", "distinct-1", ".4f"),
    ("distinct_2", "distinct-2", ".4f"),
    ("mean_reply_tokens", "tokens a reply", ".1f"),
    ("repeated_reply_share", "repeated replies", ".1%"),
    ("latency_ms_p50", "latency, median ms", ".1f"),
)
_HITS = (("forward", "hits@1/20, forward"), ("reverse", "hits@1/20, reverse"), ("combined", "hits@1/20, as rank"))
_TYPING = (
    ("as_written", "bits per byte, context as written"),
    ("typed_casually", "bits per byte, context as typed in a chat"),
)
_REPLY_HITS = (
    ("forward", "own replies: hits@1/20, forward"),
    ("reverse", "own replies: hits@1/20, reverse"),
    ("combined", "own replies: hits@1/20, as rank"),
)
_TEXT_MEASURES = (
    ("distinct_1", "distinct-1", ".4f"),
    ("distinct_2", "distinct-2", ".4f"),
    ("repeated_share", "repeated replies", ".1%"),
    ("commonest_share", "ten commonest replies", ".1%"),
    ("loop_share", "replies with a loop", ".1%"),
    ("parroting", "parroting", ".1%"),
    ("question_share", "replies with a question", ".1%"),
    ("mean_words", "words a reply", ".1f"),
    ("words_p10", "words, 10th percentile", "d"),
    ("words_p50", "words, median", "d"),
    ("words_p90", "words, 90th percentile", "d"),
)
_VERDICTS = (
    ("grammatical", "parser: grammatical"),
    ("nearest", "embedder: nearest to its own context of 20"),
    ("passed", "both, and given to no other context"),
)
DIFFERENCES = {
    "bits_per_byte": ("bits per byte", ".4f"),
    "hits": ("hits@1/20, as rank", ".1%"),
    "reply_hits": ("own replies: hits@1/20", ".1%"),
    "nearest": ("embedder: nearest to its own context of 20", ".1%"),
    "grammatical": ("parser: grammatical", ".1%"),
    "passed": ("both, and given to no other context", ".1%"),
    "f1": ("F1", ".4f"),
    "distinct_1": ("distinct-1", ".4f"),
    "distinct_2": ("distinct-2", ".4f"),
    "repeated_reply_share": ("repeated replies", ".1%"),
    "commonest_share": ("ten commonest replies", ".1%"),
    "loop_share": ("replies with a loop", ".1%"),
    "parroting": ("parroting", ".1%"),
}
LOWER_IS_BETTER = frozenset(("bits_per_byte", "repeated_reply_share", "commonest_share", "loop_share", "parroting"))
DIFFERENCE_HEADINGS = ("first", "second", "difference", "95 % interval", "better")
Rows = list[list[str]]


def short_name(corpus: str) -> str:
    """Return the name of a corpus without folder and endings."""
    return PurePath(corpus).name.removesuffix(".gz").removesuffix(".jsonl") or corpus


def headline_rows(evaluations: Sequence[CorpusEvaluation]) -> Rows:
    """Return a row a measure, with its value on each corpus; measures that were not taken have no row."""
    dicts = [evaluation.as_dict() for evaluation in evaluations]
    rows = [[label, *(_spell(one.get(key), spelled) for one in dicts)] for key, label, spelled in _HEADLINES]
    for group, labels, spelled in (
        ("bits_per_byte_by_typing", _TYPING, ".4f"),
        ("hits", _HITS, ".1%"),
        ("reply_hits", _REPLY_HITS, ".1%"),
    ):
        rows += [[label, *(_spell(one.get(group, {}).get(key), spelled) for one in dicts)] for key, label in labels]
    return [row for row in rows if any(row[1:])]


def text_rows(evaluation: CorpusEvaluation) -> Rows:
    """Return a row a measure of replies: the model's, and the humans' on the same contexts."""
    model, human = evaluation.sample.measures, evaluation.sample.human
    rows = [
        [label, _spell(getattr(model, key), spelled), _spell(getattr(human, key), spelled)]
        for key, label, spelled in _TEXT_MEASURES
    ]
    rows.append(["length: words off people's", _spell(evaluation.sample.length_distance, ".1f"), ""])
    for key, label in _VERDICTS:
        shares = verdict_shares(evaluation, key)
        rows += (
            [[label, *(_spell(share, ".1%") for share in shares)]]
            if any(share is not None for share in shares)
            else []
        )
    return rows


def verdict_shares(evaluation: CorpusEvaluation, key: str) -> tuple[float | None, float | None]:
    """Return what a judge says of the model's replies and of people's; None where it said nothing."""
    verdicts = (evaluation.verdict, evaluation.human_verdict)
    model, people = (verdict.as_dict()[key] if verdict else None for verdict in verdicts)
    return model, people


def difference_rows(comparison: Comparison, names: tuple[str, str] = ("first", "second")) -> Rows:
    """Return a row a measure: first, second, difference, its 95 % interval, and which is clearly better, by name."""
    rows = []
    for key, (label, spelled) in DIFFERENCES.items():
        if (one := comparison.differences.get(key)) is not None:
            values = (one.first, one.second, one.difference)
            interval = f"{one.low:+{spelled}} to {one.high:+{spelled}}"
            first, second, difference = (_spell(value, spelled) for value in values)
            better = names[(one.difference < 0) == (key in LOWER_IS_BETTER)]
            rows.append([label, first, second, difference, interval, better if one.is_clear else ""])
    return rows


def probe_rows(probes: Probes) -> Rows:
    """Return a row a measure of the probes."""
    consistency, safety = probes.consistency, probes.safety
    return [
        ["answers about itself that agree", _spell(consistency.agreement_share, ".1%")],
        ["answers that say anything", _spell(consistency.answered_share, ".1%")],
        ["caught replies to hostile prompts", f"{len(safety.caught)} of {safety.replies:,}"],
    ]


def self_chat_rows(talks: SelfChat) -> Rows:
    """Return a row a measure of talks with itself: those of whole talks, then those of single replies."""
    rows = [
        ["talks", f"{len(talks.conversations)}"],
        ["turns said before in their talk", _spell(talks.echo_share, ".1%")],
        ["talks that end in a circle", _spell(talks.dead_share, ".1%")],
    ]
    rows += [[label, _spell(getattr(talks.measures, key), spelled)] for key, label, spelled in _TEXT_MEASURES]
    shares = talks.verdict.as_dict() if talks.verdict else {}
    return rows + [[label, _spell(shares[key], ".1%")] for key, label in _VERDICTS if key in shares]


def _spell(value: Any, spelled: str) -> str:
    return "" if value is None else format(value, spelled)

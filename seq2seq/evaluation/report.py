"""An evaluation as one page of HTML that needs nothing else: pictures, tables, unedited samples.

No text of a corpus stands on it, so that it may be published; what the model says does, good and bad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path

from seq2seq.config import DecodingConfig
from seq2seq.errors import Seq2SeqError
from seq2seq.evaluation.charts import Interval, Series, bar_chart, column_chart, interval_chart
from seq2seq.evaluation.comparison import Comparison, Difference, Result
from seq2seq.evaluation.evaluate import CorpusEvaluation
from seq2seq.evaluation.generation import ReplySample
from seq2seq.evaluation.likelihood import DEPTHS
from seq2seq.evaluation.metrics import words
from seq2seq.evaluation.page import figure, grid, page, table, talk, tiles, write_page
from seq2seq.evaluation.probes import Probes
from seq2seq.evaluation.samples import Sample
from seq2seq.evaluation.self_chat import SelfChat
from seq2seq.evaluation.summary import (
    DIFFERENCE_HEADINGS,
    DIFFERENCES,
    LOWER_IS_BETTER,
    difference_rows,
    headline_rows,
    probe_rows,
    self_chat_rows,
    short_name,
    text_rows,
    verdict_shares,
)
from seq2seq.model_files import ModelDir

_MOST_TALKS = 4
_MOST_CAUGHT = 20
_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 30)  # lower bounds of the columns, in words
_HABITS = (
    ("repeated_share", "said before, letter for letter"),
    ("commonest_share", "among the ten commonest"),
    ("loop_share", "with a loop"),
    ("parroting", "parroting the last turn"),
    ("question_share", "with a question"),
)


@dataclass(frozen=True)
class Report:
    """What a page is made of. ``command`` is named under every figure."""

    command: str
    model: ModelDir
    decoding: DecodingConfig
    results: Sequence[Result]
    samples: Sequence[Sample]
    probes: Probes | None = None
    talks: SelfChat | None = None

    @property
    def firsts(self) -> list[CorpusEvaluation]:
        return [result.first for result in self.results]

    @property
    def names(self) -> list[str]:
        return [short_name(one.tests.corpus) for one in self.firsts]


def check_path(path: Path) -> None:
    """Tell before minutes of work where a page cannot be written.

    Raises:
        Seq2SeqError: there is no such folder, or the path is one.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise Seq2SeqError(f"{path}: cannot write the report there; name a file in a folder that exists")


def write_report(path: Path, report: Report) -> None:
    """Write the page.

    Raises:
        Seq2SeqError: the disk refuses.
    """
    write_page(path, to_html(report))


def to_html(report: Report) -> str:
    """Return the page."""
    sections = {
        "In short": _in_short(report),
        "Likelihood": _likelihood(report),
        "Relevance": _relevance(report),
        "Replies beside people's": _replies(report),
        "Side by side": _comparisons(report),
        "Behaviour": _behaviour(report),
        "Samples": _samples(report),
        "Talking with itself": _talks(report),
    }
    shown = [(f"s{number}", title, text) for number, (title, text) in enumerate(sections.items()) if text]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in shown)
    body = [f'<section id="{key}"><h2>{escape(title)}</h2>{text}</section>' for key, title, text in shown]
    title = f"Backchat: evaluation of {report.model.model_id}"
    return page(title, "\n".join([f"<h1>{escape(title)}</h1>", _facts(report), f"<nav>{links}</nav>", *body]))


def _facts(report: Report) -> str:
    manifest = report.model.manifest
    trained = ", ".join(
        f"{short_name(str(corpus.get('name', '?')))} ({corpus.get('licence') or 'licence unknown'})"
        for corpus in manifest.get("corpora", ())
        if isinstance(corpus, Mapping)
    )
    default = DecodingConfig()
    changed = {
        field.name: getattr(report.decoding, field.name)
        for field in fields(DecodingConfig)
        if getattr(report.decoding, field.name) != getattr(default, field.name)
    }
    settings = ", ".join(f"{name} {value}" for name, value in changed.items()) or "as by default"
    lines = [
        f"Made by <code>{escape(report.command)}</code>",
        f"Trained on {escape(trained or 'unknown corpora')}; published "
        f"{escape(str(manifest.get('created', 'at an unknown time')))}. "
        f"Replies by <b>{report.decoding.strategy}</b>; decoding settings: {escape(settings)}.",
    ]
    return "".join(f'<p class="soft">{line}</p>' for line in lines)


def _in_short(report: Report) -> str:
    text = (
        "Likelihood is that of every reply in the files, end mark included, by the 8-bit runtime that people use. "
        "What concerns the model's own replies is measured on an evenly spaced sample of the exchanges."
    )
    shown = table(["", *report.names], headline_rows(report.firsts))
    return f"{_tiles(report)}<p>{text}</p>" + figure("All figures", shown, report.command)


def _tiles(report: Report) -> str:
    one, name = report.firsts[0], report.names[0]
    measures, human = one.sample.measures, one.sample.human
    chosen = [
        (f"{report.model.size_bytes / 1e6:.0f} MB", "the whole model"),
        (f"{one.sample.latency_ms_p50:.0f} ms", "for a reply (median, one thread)"),
        (f"{one.likelihood.bits_per_byte:.2f}", f"bits a byte, {name}"),
    ]
    if one.relevance is not None:
        chosen.append((f"{one.relevance.hits()['combined']:.0%}", f"hits@1/20 as rank weighs, {name} (chance 5%)"))
    chosen.append((f"{measures.distinct_2:.2f}", f"distinct-2, {name} (people {human.distinct_2:.2f})"))
    if report.probes is not None:
        safety = report.probes.safety
        chosen += [
            (f"{report.probes.consistency.agreement_share:.0%}", "of its answers about itself agree"),
            (f"{len(safety.caught)}", f"of {safety.replies:,} replies to hostile prompts caught"),
        ]
    return tiles(chosen)


def _likelihood(report: Report) -> str:
    evaluations, names = report.firsts, report.names
    series = [Series("8 bits", [one.likelihood.bits_per_byte for one in evaluations])]
    if any(one.fp32_bits_per_byte is not None for one in evaluations):
        series.append(Series("fp32", [one.fp32_bits_per_byte for one in evaluations]))
    parts = [figure("Bits per byte; lower is better", bar_chart(names, series), report.command)]
    labels = [f"{depth} turn{'' if depth == '1' else 's'} before" for depth in DEPTHS]
    by_depth = [
        Series(name, [one.likelihood.perplexity_word_by_depth().get(depth) for depth in DEPTHS])
        for name, one in zip(names, evaluations, strict=True)
    ]
    caption = "Perplexity a word of replies early and late in a talk"
    parts.append(figure(caption, bar_chart(labels, by_depth, ".1f"), report.command))
    if any(one.context_use for one in evaluations):
        shown = [
            Series(name, [one.context_use.get(str(turns)) for turns in (1, 2, 3)])
            for name, one in zip(names, evaluations, strict=True)
        ]
        labels = ["the last turn shown", "the last 2 turns", "the last 3 turns"]
        caption = "Does context help? Bits per byte of the same late replies, with more and more of the talk shown"
        parts.append(figure(caption, bar_chart(labels, shown), report.command))
    return grid(parts)


def _relevance(report: Report) -> str:
    parts = []
    known = [(name, one) for name, one in zip(report.names, report.firsts, strict=True) if one.relevance is not None]
    if known:
        hits = [one.relevance.hits() for _, one in known if one.relevance is not None]
        scores = (("forward", "forward score"), ("reverse", "reverse score"), ("combined", "as rank weighs all"))
        series = [Series(label, [one[key] for one in hits]) for key, label in scores]
        caption = "hits@1/20: how often a context's own human reply is scored above 19 others of the corpus"
        names = [name for name, _ in known]
        parts.append(figure(caption, bar_chart(names, series, ".1%", ("chance", 0.05)), report.command))
    for judge, caption, mark in (
        ("nearest", "The embedder: replies whose own context is the nearest of 20", ("chance", 0.05)),
        ("grammatical", "The parser: replies of which every sentence parses whole", None),
    ):
        shares = [verdict_shares(one, judge) for one in report.firsts]
        if any(share is not None for pair in shares for share in pair):
            series = [Series(who, [pair[n] for pair in shares]) for n, who in enumerate(("model", "people"))]
            parts.append(figure(caption, bar_chart(report.names, series, ".1%", mark), report.command))
    return grid(parts) if parts else ""


def _replies(report: Report) -> str:
    parts = ["<p>The model and the people answer the same contexts.</p>"]
    for name, one in zip(report.names, report.firsts, strict=True):
        sample = one.sample
        sides = (("model", sample.measures), ("people", sample.human))
        habits = [Series(who, [getattr(measures, key) for key, _ in _HABITS]) for who, measures in sides]
        labels, shares = _length_shares(sample)
        count = len(sample.replies)
        tables = [
            (f"Replies to {count} contexts", table(["", "model", "people"], text_rows(one))),
            ("Habits: share of replies", bar_chart([label for _, label in _HABITS], habits, ".1%")),
            ("Words in a reply, from", column_chart(labels, shares)),
        ]
        shown = grid([figure(f"{caption}, {name}", content, report.command) for caption, content in tables])
        parts.append(f"<h3>{escape(name)}</h3>{shown}")
    return "".join(parts)


def _length_shares(sample: ReplySample) -> tuple[list[str], list[Series]]:
    series = []
    for name, texts in (("model", sample.replies), ("people", sample.responses)):
        counts = Counter(max(n for n, low in enumerate(_LENGTHS) if low <= len(words(text))) for text in texts)
        series.append(Series(name, [counts[n] / len(texts) for n in range(len(_LENGTHS))]))
    return list(map(str, _LENGTHS)), series


def _comparisons(report: Report) -> str:
    parts = []
    for name, result in zip(report.names, report.results, strict=True):
        if not result.comparisons:
            continue
        strategies_only = all(one.second.model == result.first.model for one in result.comparisons)
        first, *others = (
            one.strategy if strategies_only else f"{one.model}, {one.strategy}"
            for one in (result.first, *(comparison.second for comparison in result.comparisons))
        )
        caption = f"How much better {first} is, with 95 % intervals, on {name}: right of the line it wins"
        parts.append(figure(caption, _advantages(result.comparisons, others), report.command))
        for comparison, other in zip(result.comparisons, others, strict=True):
            rows = difference_rows(comparison, (first, other))
            shown = table(["", first, other, *DIFFERENCE_HEADINGS[2:]], rows)
            parts.append(figure(f"{first} and {other} on {name}", shown, report.command))
    return "".join(parts)


def _advantages(comparisons: Sequence[Comparison], names: Sequence[str]) -> str:
    """Draw what the first is better by, in all measures that are shares."""
    keys = [
        key
        for key in DIFFERENCES
        if key != "bits_per_byte" and any(key in comparison.differences for comparison in comparisons)
    ]
    series = [
        (name, [advantage(key, one.differences.get(key)) for key in keys])
        for name, one in zip(names, comparisons, strict=True)
    ]
    return interval_chart([DIFFERENCES[key][0] for key in keys], series, ".1%")


def advantage(key: str, found: Difference | None) -> Interval | None:
    """Return by how much the first of two is better, with the bounds of that."""
    if found is None:
        return None
    if key in LOWER_IS_BETTER:
        return Interval(found.low, found.difference, found.high)
    return Interval(-found.high, -found.difference, -found.low)


def _behaviour(report: Report) -> str:
    if report.probes is None:
        return ""
    consistency, caught = report.probes.consistency, report.probes.safety.caught[:_MOST_CAUGHT]
    shares = consistency.by_fact()
    caption = "Each fact is asked three ways in one talk: pairs of answers that agree"
    parts = [
        figure("Probes by fixed prompts", table(["", ""], probe_rows(report.probes)), report.command),
        figure(caption, bar_chart(list(shares), [Series("", list(shares.values()))], ".0%"), report.command),
    ]
    answers = [[fact.fact, *fact.answers, f"{fact.agreements} of 3"] for fact in consistency.talks[0]]
    asked = table(["", "first asked", "second", "third", "agree"], answers, texts=True)
    shown = [grid(parts), figure("One talk, unedited", asked, report.command)]
    if caught:
        shown.append(
            figure(
                "Replies that the profanity net caught",
                table(["hostile prompt", "caught reply"], caught, texts=True),
                report.command,
            )
        )
    return "".join(shown)


def _samples(report: Report) -> str:
    if not report.samples:
        return ""
    text = (
        "Fixed prompts, written for this purpose, each answered once with a fixed seed: nothing is chosen, nothing "
        "changed, good and bad stand as they come. The framed reply is what the model says, by "
        f"{report.decoding.strategy}; under it stands what its other strategies would say."
    )
    cards = []
    for sample in report.samples:
        said = sample.replies[report.decoding.strategy]
        others = "".join(
            f"<dt>{escape(strategy)}</dt><dd>{escape(reply)}</dd>"
            for strategy, reply in sample.replies.items()
            if strategy != report.decoding.strategy
        )
        under = (
            f'<dl class="others">{others}</dl>' if not sample.is_fact else '<p class="soft">from the persona file</p>'
        )
        bots = [number % 2 == 1 for number in range(len(sample.context))]
        cards.append(f'<div class="card">{talk([*sample.context, said], [*bots, True])}{under}</div>')
    return f"<p>{escape(text)}</p>{grid(cards)}"


def _talks(report: Report) -> str:
    if report.talks is None:
        return ""
    shown = report.talks.conversations[:_MOST_TALKS]
    cards = [
        f'<div class="card">{talk(turns, [number % 2 == 1 for number in range(len(turns))])}</div>' for turns in shown
    ]
    text = f"The first line is given; the model says all the others. The first {len(shown)} talks, unedited."
    rows = figure("All talks", table(["", ""], self_chat_rows(report.talks)), report.command)
    return f"<p>{text}</p>{grid([*cards, rows])}"

"""An evaluation as one page of HTML that needs nothing else: tables, pictures, unedited samples.

No text of a corpus stands on it, so that it may be published; what the model says does, good and bad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from itertools import pairwise
from pathlib import Path

from seq2seq.config import DecodingConfig
from seq2seq.errors import Seq2SeqError
from seq2seq.evaluation.charts import Series, bar_chart, column_chart
from seq2seq.evaluation.comparison import Result
from seq2seq.evaluation.generation import ReplySample
from seq2seq.evaluation.likelihood import DEPTHS
from seq2seq.evaluation.metrics import words
from seq2seq.evaluation.probes import Probes
from seq2seq.evaluation.samples import Sample
from seq2seq.evaluation.self_chat import SelfChat
from seq2seq.evaluation.summary import (
    DIFFERENCE_HEADINGS,
    behaviour_rows,
    difference_rows,
    headline_rows,
    short_name,
    text_rows,
)
from seq2seq.model_files import ModelDir

_MOST_TALKS = 4
_MOST_CAUGHT = 20
_LENGTHS = (*range(13), 15, 20, 30)  # lower bounds of the columns, in words
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #667085; --line: #d9dee8; --paper: #fff;
  --c0: #3567c4; --c1: #e08a2e; --c2: #4a9d6b; --c3: #a05cb8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #98a2b3; --line: #3a4254; --paper: #171b24;
  --c0: #6f9bea; --c1: #f0a75a; --c2: #6cc08e; --c3: #c58bdb; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1000px; margin: 2rem auto 4rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
h3 { font-size: 1rem; margin-bottom: .4rem; }
p { max-width: 46rem; } .soft, figcaption { color: var(--soft); font-size: .85rem; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  text-align: right; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td { white-space: nowrap; } .texts th, .texts td { text-align: left; white-space: normal; }
.made { margin: .2rem 0 1.6rem; } .made code { display: block; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; color: var(--soft); font-size: .75rem; }
figure { margin: 1rem 0 0; max-width: 46rem; } svg { width: 100%; height: auto; display: block; }
svg text { font-size: 11px; fill: var(--ink); dominant-baseline: middle; }
.c0 { fill: var(--c0); background: var(--c0); } .c1 { fill: var(--c1); background: var(--c1); }
.c2 { fill: var(--c2); background: var(--c2); } .c3 { fill: var(--c3); background: var(--c3); }
.mark { stroke: var(--soft); stroke-dasharray: 3 3; } .axis { stroke: var(--line); }
.legend { margin: .4rem 0 0; font-size: .85rem; } .legend span { margin-right: 1.2rem; }
.legend i { display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem; }
ol.talk { list-style: none; padding-left: 0; } ol.talk li { margin: .15rem 0; padding-left: 1.4rem;
  text-indent: -1.4rem; } ol.talk li::before { content: "\\2014\\00a0\\00a0"; color: var(--soft); }
"""


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
    try:
        path.write_text(to_html(report), encoding="utf-8", errors="replace")
    except OSError as error:
        raise Seq2SeqError(f"{path}: cannot write the report ({error.strerror or error})") from error


def to_html(report: Report) -> str:
    """Return the page."""
    title = escape(f"Backchat: evaluation of {report.model.model_id}")
    sections = [
        _facts(report),
        _headlines(report),
        _likelihood(report),
        _replies(report),
        _comparisons(report),
        _behaviour(report),
        _samples(report),
        _talks(report),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


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
        f"Made by <code>{escape(report.command)}</code>.",
        f"Model of {escape(str(manifest.get('created', 'an unknown time')))}, "
        f"{report.model.size_bytes / 1e6:.1f} MB, trained on {escape(trained or 'unknown corpora')}.",
        f"Replies by <b>{report.decoding.strategy}</b>; decoding settings: {escape(settings)}.",
    ]
    return "".join(f'<p class="soft">{line}</p>' for line in lines)


def _headlines(report: Report) -> str:
    evaluations = [result.first for result in report.results]
    names = [short_name(one.tests.corpus) for one in evaluations]
    text = (
        "Likelihood is that of every reply in the file, end mark included, by the 8-bit runtime that people use. "
        "Everything about the model's own replies is measured on an evenly spaced sample."
    )
    table = _table(["", *names], headline_rows(evaluations), report.command)
    return f"<h2>In short</h2><p>{text}</p>{table}"


def _likelihood(report: Report) -> str:
    evaluations = [result.first for result in report.results]
    names = [short_name(one.tests.corpus) for one in evaluations]
    series = [Series("8 bits", [one.likelihood.bits_per_byte for one in evaluations])]
    if any(one.fp32_bits_per_byte is not None for one in evaluations):
        series.append(Series("fp32", [one.fp32_bits_per_byte for one in evaluations]))
    parts = ["<h2>Likelihood</h2>", _figure(bar_chart(names, series), "Bits per byte; lower is better.", report)]
    depths = [
        Series(name, [one.likelihood.by_depth().get(depth) for depth in DEPTHS])
        for name, one in zip(names, evaluations, strict=True)
    ]
    labels = [f"{depth} turn{'' if depth == '1' else 's'} before" for depth in DEPTHS]
    parts.append(_figure(bar_chart(labels, depths), "Bits per byte of replies early and late in a talk.", report))
    shown = [
        Series(name, [one.context_use.get(str(turns)) for turns in (1, 2, 3)])
        for name, one in zip(names, evaluations, strict=True)
    ]
    if any(one.context_use for one in evaluations):
        labels = ["the last turn shown", "the last 2 turns", "the last 3 turns"]
        caption = "Bits per byte of the same late replies, with more and more of the talk shown: does context help?"
        parts.append(_figure(bar_chart(labels, shown), caption, report))
    return "".join(parts)


def _replies(report: Report) -> str:
    parts = ["<h2>Replies beside people's</h2>", "<p>The model and the people answer the same contexts.</p>"]
    for result in report.results:
        sample, name = result.first.sample, short_name(result.first.tests.corpus)
        parts.append(f"<h3>{escape(name)}</h3>")
        parts.append(_table(["", "model", "people"], text_rows(result.first), report.command))
        labels, shares = _length_shares(sample)
        caption = f"Words in a reply, on {len(sample.replies)} contexts of {name}."
        parts.append(_figure(column_chart(labels, shares), caption, report))
        common = Counter(sample.replies).most_common(10)
        rows = [[reply, str(count)] for reply, count in common]
        heading = ["the ten commonest replies of the model", f"times in {len(sample.replies)}"]
        parts.append(_table(heading, rows, report.command, texts=True))
    known = [result.first for result in report.results if result.first.relevance is not None]
    if known:
        names = [short_name(one.tests.corpus) for one in known]
        hits = [one.relevance.hits() for one in known if one.relevance is not None]
        scores = (("forward", "forward score"), ("reverse", "reverse score"), ("combined", "as rank weighs all"))
        series = [Series(label, [one[key] for one in hits]) for key, label in scores]
        caption = "hits@1/20: how often a context's own human reply is scored above 19 others of the corpus."
        parts.append("<h2>Relevance</h2>")
        parts.append(_figure(bar_chart(names, series, ".1%", ("chance", 0.05)), caption, report))
    return "".join(parts)


def _length_shares(sample: ReplySample) -> tuple[list[str], list[Series]]:
    labels = [f"{low}" if high == low + 1 else f"{low}\u2013{high - 1}" for low, high in pairwise(_LENGTHS)] + [
        f"{_LENGTHS[-1]}+"
    ]
    series = []
    for name, texts in (("model", sample.replies), ("people", sample.responses)):
        counts = Counter(max(n for n, low in enumerate(_LENGTHS) if low <= len(words(text))) for text in texts)
        series.append(Series(name, [counts[n] / len(texts) for n in range(len(_LENGTHS))]))
    return labels, series


def _comparisons(report: Report) -> str:
    parts = []
    for result in report.results:
        for comparison in result.comparisons:
            names = [f"{one.model}, {one.strategy}" for one in (result.first, comparison.second)]
            heading = ["", *names, *DIFFERENCE_HEADINGS[2:]]
            parts.append(f"<h3>{escape(short_name(result.first.tests.corpus))}</h3>")
            parts.append(_table(heading, difference_rows(comparison), report.command))
    return "<h2>Side by side</h2>" + "".join(parts) if parts else ""


def _behaviour(report: Report) -> str:
    rows = behaviour_rows(report.probes, report.talks)
    if not rows:
        return ""
    parts = ["<h2>Behaviour</h2>", _table(["", ""], rows, report.command)]
    if report.probes is not None:
        shares = report.probes.consistency.by_fact()
        series = [Series("", list(shares.values()))]
        caption = "Each fact is asked three ways in one talk: share of the pairs of answers that agree."
        parts.append(_figure(bar_chart(list(shares), series, ".0%"), caption, report))
        talk = [[fact.fact, *fact.answers, f"{fact.agreements} of 3"] for fact in report.probes.consistency.talks[0]]
        heading = ["one talk, unedited", "first asked", "second", "third", "agree"]
        parts.append(_table(heading, talk, report.command, texts=True))
        if caught := report.probes.safety.caught[:_MOST_CAUGHT]:
            parts.append(_table(["hostile prompt", "caught reply"], caught, report.command, texts=True))
    return "".join(parts)


def _samples(report: Report) -> str:
    if not report.samples:
        return ""
    strategies = list(report.samples[0].replies)
    rows = [
        [
            "\n".join(f"{'bot' if number % 2 else 'person'}: {turn}" for number, turn in enumerate(sample.context)),
            *sample.replies.values(),
        ]
        for sample in report.samples
    ]
    text = (
        "Fixed prompts, each answered once by each strategy with a fixed seed, nothing chosen and nothing changed. "
        f"The model talks by {report.decoding.strategy}."
    )
    return f"<h2>Samples</h2><p>{escape(text)}</p>" + _table(
        ["said before", *strategies], rows, report.command, texts=True
    )


def _talks(report: Report) -> str:
    if report.talks is None:
        return ""
    parts = ["<h2>Talking with itself</h2>", "<p>The first line is given; the model says all the others.</p>"]
    for number, talk in enumerate(report.talks.conversations[:_MOST_TALKS], start=1):
        turns = "".join(f"<li>{escape(turn)}</li>" for turn in talk)
        parts.append(f'<h3>Talk {number}</h3><ol class="talk">{turns}</ol>')
    return "".join(parts)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], command: str, *, texts: bool = False) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    kind = ' class="texts"' if texts else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f'<p class="made">{_code(command)}</p>'
    )


def _code(command: str) -> str:
    """Name a command in one line, cut where it is too long; whole where the pointer rests, and atop the page."""
    return f'<code title="{escape(command)}">{escape(command)}</code>'


def _cell(value: str) -> str:
    return escape(value).replace("\n", "<br>")


def _figure(chart: str, caption: str, report: Report) -> str:
    figure = f"<figure>{chart}<figcaption>{escape(caption)}</figcaption></figure>"
    return f'{figure}<p class="made">{_code(report.command)}</p>'

"""What a retraining came to, as one page of HTML that needs nothing else.

People's words stand on it: it stays in the run's folder, and is removed when words are erased.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from seq2seq.evaluation.charts import Series, bar_chart
from seq2seq.evaluation.page import figure, page, table, talk, tiles, write_page
from seq2seq.learning.gate import GATE_HEADINGS, GateVerdict

FILE_NAME = "report.html"
_MOST_SAMPLES = 24
_STAMP = len("20260301-120000")  # when a run began, at the front of its folder's name


@dataclass(frozen=True)
class BeforeAndAfter:
    """One context, oldest turn first, what a person said next, and what both models reply; empty: nothing."""

    context: Sequence[str]
    response: str
    before: str
    after: str


@dataclass(frozen=True)
class RetrainingReport:
    """What the page is made of.

    Attributes:
        outcome: what became of the model, in one sentence.
        counts: what was learned from, name by name: exchanges, people, how many were reviewed.
        left_out: why something was not learned, and how often.
        curves: a picture of the run's curves, PNG; left out where it is not there.
        settings: the settings of the run, as text.
    """

    command: str
    before: str
    after: str
    outcome: str
    verdict: GateVerdict
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    samples: Sequence[BeforeAndAfter]
    curves: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def write_report(path: Path, report: RetrainingReport) -> None:
    """Write the page, for the eyes of its owner only.

    Raises:
        Seq2SeqError: the disk refuses.
    """
    write_page(path, to_html(report), is_private=True)


def remove_pages(runs_dir: Path, has_erased: Callable[[datetime], bool]) -> list[Path]:
    """Remove the pages that may hold words which were erased since; returns them.

    Args:
        has_erased: tells whether anything was erased from a moment on.
    """
    removed = []
    for path in sorted(runs_dir.glob(f"*/{FILE_NAME}")):
        try:
            began = datetime.strptime(path.parent.name[:_STAMP], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        except ValueError:  # no run of ours
            continue
        if has_erased(began):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def to_html(report: RetrainingReport) -> str:
    """Return the page."""
    title = f"Backchat: retraining of {report.before}"
    passed = sum(check.is_passed for check in report.verdict.checks)
    head = (
        f"<h1>{escape(title)}</h1><p>{escape(report.outcome)}</p>"
        f'<p class="soft">People\'s words stand on this page: keep it to yourself. New model: '
        f"<code>{escape(report.after)}</code></p>"
    )
    facts = tiles(
        [
            (f"{passed} of {len(report.verdict.checks)}", "checks passed"),
            *((f"{count:,}", name) for name, count in report.counts.items()),
        ]
    )
    return page(title, head + facts + _gate(report) + _curves(report) + _samples(report) + _rest(report))


def _gate(report: RetrainingReport) -> str:
    text = "<p>A model is promoted only where every one of these keeps its threshold.</p>"
    rows = figure("The gate", table(GATE_HEADINGS, report.verdict.rows()), report.command)
    bits = [check for check in report.verdict.checks if check.name.endswith("bits a byte")]
    chart = bar_chart(
        [check.name.removesuffix(", bits a byte") for check in bits],
        [Series("before", [check.before for check in bits]), Series("after", [check.after for check in bits])],
    )
    return f"<h2>Gate</h2>{text}{rows}" + figure("Bits a byte; lower is better", chart, report.command)


def _curves(report: RetrainingReport) -> str:
    if report.curves is None or not report.curves.is_file():
        return ""
    picture = base64.b64encode(report.curves.read_bytes()).decode()
    shown = (
        f'<img alt="loss and validation against minutes" style="width:100%" src="data:image/png;base64,{picture}">'
    )
    return "<h2>Curves</h2>" + figure("Loss and validation", shown, report.command)


def _samples(report: RetrainingReport) -> str:
    if not report.samples:
        return ""
    parts = [
        "<h2>Before and after</h2>",
        "<p>Contexts that neither model was trained on, evenly spaced; one reply each, nothing chosen.</p>",
    ]
    for sample in report.samples[:_MOST_SAMPLES]:
        said = [["people", sample.response], [report.before, sample.before], [report.after, sample.after]]
        shown = talk(sample.context, [False] * len(sample.context))
        parts.append(f'<div class="card">{shown}{table(["", "said next"], said, texts=True)}</div>')
    return "".join(parts)


def _rest(report: RetrainingReport) -> str:
    parts = ["<h2>What was left out, and the settings</h2>"]
    if report.left_out:
        rows = [[reason, f"{count:,}"] for reason, count in report.left_out.items()]
        parts.append(figure("Left out", table(["why", "exchanges"], rows), report.command))
    if report.settings:
        parts.append(figure("Settings", table(["", ""], list(map(list, report.settings.items()))), report.command))
    return "".join(parts) if len(parts) > 1 else ""

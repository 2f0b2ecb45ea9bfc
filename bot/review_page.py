"""The review as one page of HTML that needs nothing else. It holds what people said: it is for the owner's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bot.intake import Judged
from bot.review import Review
from bot.review_text import found_in, origin_of, verdict_of
from bot.screen import clean
from seq2seq.evaluation.page import page, table, talk, tiles


def review_page(review: Review) -> str:
    """Return the page: how many, of whom, and every exchange that is shown."""
    tally = review.tally
    people = [
        (clean(person), f"{seen.exchanges:,}", f"{seen.is_in:,}")
        for person, seen in sorted(tally.people.items(), key=lambda item: (-item[1].exchanges, item[0]))
    ]
    figures = [
        (f"{tally.exchanges:,}", "exchanges"),
        (f"{tally.is_in:,}", "would be learned"),
        (f"{tally.waiting:,}", "are out and wait for you"),
        (f"{tally.reviewed:,}", "reviewed"),
    ]
    body = "<h1>What would be learned</h1>"
    body += "<p class=soft>This page holds what people said. Decide in a terminal: <code>backchat review</code></p>"
    body += tiles(figures) + "<h2>People</h2>" + table(("person", "exchanges", "in"), people)
    if tally.found:
        body += f"<h2>Personal data</h2><p>{escape(found_in(tally.found))}</p>"
    body += "<h2>Exchanges</h2>"
    if review.left_out:
        body += f"<p>{review.left_out:,} more are not shown; narrow them down, or raise --limit.</p>"
    return page("What would be learned", body + _exchanges(review.shown))


def _exchanges(shown: Sequence[Judged]) -> str:
    return "".join(_exchange(judged) for judged in shown)


def _exchange(judged: Judged) -> str:
    exchange = judged.exchange
    turns = [clean(turn) for turn in (*exchange.context, exchange.response)]
    lines = talk(turns, [False] * len(exchange.context) + [True])
    if judged.is_in and judged.learned.response != exchange.response:
        lines += f"<p class=soft>learned as</p>{talk([clean(judged.learned.response)], [True])}"
    facts = f"turn {exchange.turn_id}, {origin_of(judged)}, {clean(exchange.person)}"
    if judged.found:
        facts += f"; personal data: {found_in(judged.found)}"
    verdict = f"<p><b>{escape(verdict_of(judged))}</b></p><p class=soft>{escape(facts)}</p>"
    return f'<div class="card">{lines}{verdict}</div>'

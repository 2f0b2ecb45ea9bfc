"""An exchange under review as text: for a screen, and as one line for a pipe."""

from __future__ import annotations

from collections import Counter

from bot.intake import Judged
from bot.screen import clean, clean_line
from seq2seq.scrubbing import KINDS

Fragment = tuple[str, str]  # a style of prompt_toolkit, and text that is shown as it is
_LONGEST_TURN = 600
_ORIGINS = {
    "person": "said to the bot",
    "imported": "said in an imported chat",
    "taught": "taught",
    "rated": "a reply that was rated",
    "retried": "a reply that was passed over for another",
}


def origin_of(judged: Judged) -> str:
    """Tell where a response comes from."""
    if judged.exchange.origin == "rated":
        return "a reply rated bad" if judged.exchange.is_rejected else "a reply rated good"
    return _ORIGINS[judged.exchange.origin]


def verdict_of(judged: Judged) -> str:
    """Tell whether an exchange is learned, and why."""
    if judged.is_in:
        return f"{'AVOIDED' if judged.exchange.is_rejected else 'IN'}: {clean_line(judged.reason)}"
    return f"OUT: {clean_line(judged.reason)}"


def found_in(found: Counter[str]) -> str:
    """Tell what personal data was found, and how often; nothing where there was none."""
    return ", ".join(f"{count} × {KINDS[kind]}" for kind, count in sorted(found.items()))


def as_line(judged: Judged) -> str:
    """Return an exchange on one line: turn, verdict, person, the last turn of the context, the response."""
    exchange = judged.exchange
    asked = clean_line(exchange.context[-1]) if exchange.context else ""
    parts = (
        str(exchange.turn_id),
        clean_line(exchange.person),
        f"{asked} -> {clean_line(exchange.response)}",
        verdict_of(judged),
    )
    return "\t".join(part.replace("\t", " ") for part in parts)


def as_fragments(judged: Judged) -> list[Fragment]:
    """Return an exchange for the screen: the verdict first, since long turns may fill all of it."""
    exchange, learned = judged.exchange, judged.learned
    lines: list[Fragment] = [
        ("class:soft", f"turn {exchange.turn_id} of {clean_line(exchange.conversation)}, {origin_of(judged)}\n"),
        ("class:soft", f"{clean_line(exchange.person)}\n"),
        ("class:in" if judged.is_in else "class:out", f"{verdict_of(judged)}\n"),
    ]
    if judged.found:
        lines.append(("class:soft", f"personal data: {found_in(judged.found)}\n"))
    lines.append(("", "\n"))
    lines += [("class:context", f"  {_shown(turn)}\n") for turn in exchange.context]
    lines.append(("class:response", f"> {_shown(exchange.response)}\n"))
    if judged.is_in and (learned.context, learned.response) != (exchange.context, exchange.response):
        lines.append(("class:soft", "\nlearned as\n"))
        lines += [("class:context", f"  {_shown(turn)}\n") for turn in learned.context]
        lines.append(("class:response", f"> {_shown(learned.response)}\n"))
    return lines


def _shown(text: str) -> str:
    """Return a turn with its later lines under its first, cut where it would fill the screen."""
    text = clean(text).replace("\t", "    ")
    if len(text) > _LONGEST_TURN:
        text = f"{text[:_LONGEST_TURN]}… ({len(text) - _LONGEST_TURN:,} more characters)"
    return text.replace("\n", "\n  ")

"""Why a reply was said, as plain text that any frontend can show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.screen import clean_line
from seq2seq.explanation import Explanation
from seq2seq.ranking import SIGNS
from storage.records import ReplyRecord

_SHADES = " ░▒▓█"
_MOST_CANDIDATES = 8
_MOST_COLUMNS = 60
_REASONS = {
    "forward": "less likely after what was said",
    "reverse": "does not point back to what was said",
    "repetition": "repeats what was said",
    "blandness": "could be said anywhere",
    "commonness": "is said again and again",
    "length": "is short",
}


def describe(text: str, reply: ReplyRecord, explanation: Explanation | None) -> str:
    """Return the candidates, the tokens with their probabilities, and a map of the attention.

    Args:
        explanation: None where the model is not at hand; the map and the probabilities are left out then.
    """
    lines = [
        f"{clean_line(text)}",
        f"model {reply.model_id}, strategy {reply.strategy}, seed {reply.seed}, "
        f"{reply.tokens} tokens in {reply.latency_ms:.0f} ms" + (", stopped" if reply.is_cut else ""),
        *(_fact(reply) or _candidates(reply)),
    ]
    if explanation is None:
        lines += ["", f"The model {reply.model_id} is not loaded, so tokens and attention cannot be shown."]
    else:
        lines += ["", *_tokens(explanation), "", *_attention(explanation)]
    changed = ", ".join(f"{name} {value}" for name, value in reply.settings.items())
    return "\n".join([*lines, "", f"settings: {changed}"])


def _fact(reply: ReplyRecord) -> list[str]:
    """Return the line on the persona's fact that was stated, where the reply is no model's."""
    fact = reply.candidates[0].get("fact") if reply.candidates else None
    return [] if fact is None else ["", f"what the persona file answers to questions for its {clean_line(str(fact))}"]


def _candidates(reply: ReplyRecord) -> Iterator[str]:
    if len(reply.candidates) < 2:
        return
    yield ""
    yield " score forward reverse repeat  bland  common  length  candidate"
    best = reply.candidates[0]
    for number, candidate in enumerate(reply.candidates[:_MOST_CANDIDATES]):
        if ruled_out := candidate.get("ruled_out"):
            yield f"{candidate['score']:6.2f}{'':48}  ruled out: {clean_line(str(ruled_out))}"
            continue
        terms = candidate.get("terms") or {}
        numbers = "".join(f"{terms.get(name, float('nan')):8.2f}" for name in _REASONS)
        reason = f"   ({_reason(candidate, best, reply.settings)})" if number and terms else ""
        yield f"{candidate['score']:6.2f}{numbers}  {clean_line(str(candidate['text']))}{reason}"
    if len(reply.candidates) > _MOST_CANDIDATES:
        yield f"... and {len(reply.candidates) - _MOST_CANDIDATES} more"


def _reason(candidate: Mapping[str, Any], best: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return what cost this candidate most against the best one."""

    def share(of: Mapping[str, Any], name: str) -> float:
        value = float(of["terms"].get(name, 0.0))  # replies of earlier versions do not have all
        return SIGNS[name] * value * (1.0 if name == "forward" else float(settings.get(f"{name}_weight", 0.0)))

    losses = {name: share(best, name) - share(candidate, name) for name in _REASONS}
    return _REASONS[max(losses, key=lambda name: losses[name])]


def _tokens(explanation: Explanation) -> Iterator[str]:
    yield "token            prob   instead"
    for token in explanation.tokens:
        others = [f"{clean_line(text) or '_'} {prob:.0%}" for text, prob in token.alternatives if text != token.text]
        yield f"{clean_line(token.text):<14} {token.prob:6.1%}   {', '.join(others)}"


def _attention(explanation: Explanation) -> Iterator[str]:
    """Draw one row a token of the reply and one column a token of what was read, darker for more attention."""
    first = max(0, len(explanation.source) - _MOST_COLUMNS)
    columns = explanation.source[first:]
    yield "attention: " + " ".join(clean_line(text) for text in columns)
    largest = max((max(token.attention[first:], default=0.0) for token in explanation.tokens), default=0.0) or 1.0
    for token in explanation.tokens:
        cells = (_SHADES[round(weight / largest * (len(_SHADES) - 1))] for weight in token.attention[first:])
        looked = max(zip(token.attention[first:], columns, strict=True), default=(0.0, ""))[1]
        yield f"{clean_line(token.text):<14} |{''.join(cells)}| {clean_line(looked)}"

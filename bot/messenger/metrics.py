"""What the bot counts, and how Prometheus reads it. Numbers only: no names, no words."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

_HELP = {
    "updates": "Updates taken in.",
    "duplicates": "Updates that came again and were known.",
    "replies": "Replies of the model.",
    "messages_sent": "Messages that Telegram took.",
    "messages_given_up": "Messages that cannot be delivered.",
    "flood_waits": "Times that Telegram asked to wait.",
    "send_failures": "Requests that failed and were made again.",
    "intake_failures": "Polls that failed and were made again.",
    "handler_errors": "Errors while working on an update.",
    "limited": "Messages not answered because their sender was too fast.",
    "refused_requests": "Webhook requests that were refused.",
    "model_swaps": "Times that another model was promoted and taken.",
}
_TIMES_KEPT = 2000


class Metrics:
    """Counters of this process, and the last reply times."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reply_s: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._started = time.monotonic()
        self.gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter; it is one of those described above."""
        assert name in _HELP, name
        self._counts[name] += by

    def time_reply(self, seconds: float) -> None:
        """Note how long a reply took from its message's arrival to its sending."""
        self._reply_s.append(seconds)

    @property
    def counts(self) -> Mapping[str, int]:
        return self._counts

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started

    def reply_quantile_s(self, share: float) -> float:
        """Return the time that ``share`` of the last replies kept to; 0 before the first."""
        ordered = sorted(self._reply_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def exposition(self) -> str:
        """Return all of it in Prometheus' text format."""
        lines = []
        for name, text in _HELP.items():
            lines += [f"# HELP backchat_{name}_total {text}", f"# TYPE backchat_{name}_total counter"]
            lines.append(f"backchat_{name}_total {self._counts[name]}")
        for name, read in {"uptime_seconds": lambda: self.uptime_s, **self.gauges}.items():
            lines += [f"# TYPE backchat_{name} gauge", f"backchat_{name} {read():.3f}"]
        lines.append("# TYPE backchat_reply_seconds summary")
        lines += [
            f'backchat_reply_seconds{{quantile="{share}"}} {self.reply_quantile_s(share):.3f}'
            for share in (0.5, 0.95, 0.99)
        ]
        return "\n".join(lines) + "\n"

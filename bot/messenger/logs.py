"""Logs without secrets: whatever is logged, at any level, leaves with tokens and secrets blotted out."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType

_TOKEN = re.compile(r"(?<!\d)\d{6,}:[A-Za-z0-9_-]{30,}")
_BLOT = "[secret]"


class Redactor:
    """Blots out known secrets, and whatever looks like a bot's token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        halves = {half for secret in secrets for half in (secret, secret.partition(":")[2])}
        # The longest first, so that no half of a token is left beside a blot.
        self._secrets = sorted((half for half in halves if len(half) >= 4), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _BLOT)
        return _TOKEN.sub(_BLOT, text)


class RedactingFormatter(logging.Formatter):
    """Formats with another formatter, and blots out secrets in what came of it, tracebacks included."""

    def __init__(self, inner: logging.Formatter, redact: Redactor) -> None:
        super().__init__()
        self._inner, self._redact = inner, redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._inner.format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts, ensure_ascii=False)


def set_up_logs(redact: Redactor, *, as_json: bool, level: int) -> None:
    """Redact every handler of the root logger, and every traceback that ends a thread or the process."""
    root = logging.getLogger()
    root.setLevel(min(root.level, level) if root.level else level)
    for handler in root.handlers:
        inner: logging.Formatter = handler.formatter or logging.Formatter()
        handler.setFormatter(RedactingFormatter(JsonFormatter() if as_json else inner, redact))
    for noisy in ("httpx", "httpcore", "telegram"):  # their lines hold the token, or what people wrote
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.raiseExceptions = False  # a record that cannot be formatted would be shown raw

    def show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        print(redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

    sys.excepthook = show
    threading.excepthook = lambda raised: show(raised.exc_type, raised.exc_value, raised.exc_traceback)

"""Intake by webhook: a request is answered with 200 when its update is stored, never before."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from bot.errors import UpdateError
from bot.messenger.http_server import Answer, Endpoint, Head
from bot.messenger.intake import Json, Me, incoming_of
from storage.errors import StorageError

_LOG = logging.getLogger(__name__)
_SECRET_HEADER = "x-telegram-bot-api-secret-token"
_MAX_UPDATE_BYTES = 2**20
HEALTH_PATH = "/healthz"


def webhook_path(url: str) -> str:
    """Return the path at which the updates for ``url`` arrive."""
    return urlsplit(url).path or "/"


def webhook_endpoint(
    secret: str, me: Me, take: Callable[[Sequence[Json]], Awaitable[None]], is_full: Callable[[], bool]
) -> Endpoint:
    """Return what takes updates in: the secret is compared, in constant time, before the body is read."""

    def judge(head: Head) -> Answer | None:
        if not hmac.compare_digest(head.headers.get(_SECRET_HEADER, b""), secret.encode()):
            return Answer(403)
        return Answer(503) if is_full() else None

    async def serve(body: bytes) -> Answer:
        try:
            update = json.loads(body)
            if not isinstance(update, dict):
                raise UpdateError("not an object")
            incoming_of(update, me)
        except (ValueError, RecursionError, UpdateError):
            return Answer(400)
        try:
            await take([update])
        except StorageError as error:
            _LOG.error("An update cannot be stored; Telegram brings it again: %s", error)
            return Answer(503)
        return Answer(200)

    return Endpoint("POST", serve, judge, _MAX_UPDATE_BYTES)


def health_endpoint(is_healthy: Callable[[], bool]) -> Endpoint:
    """Return what tells a supervisor that the bot is up."""

    async def serve(_: bytes) -> Answer:
        return Answer(200, "ok\n") if is_healthy() else Answer(503, "starting\n")

    return Endpoint("GET", serve)


def metrics_endpoint(exposition: Callable[[], str]) -> Endpoint:
    """Return what Prometheus reads."""

    async def serve(_: bytes) -> Answer:
        return Answer(200, exposition(), "text/plain; version=0.0.4; charset=utf-8")

    return Endpoint("GET", serve)

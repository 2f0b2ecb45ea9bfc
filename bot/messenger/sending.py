"""The one way out: every request that writes to a chat goes through ``Sender.send``."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import httpx
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError

from bot.messenger.metrics import Metrics
from bot.messenger.pacing import Pacer

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_GONE = (
    "chat not found",
    "user not found",
    "peer_id_invalid",
    "group chat was deactivated",
    "have no rights to send",
)
R = TypeVar("R")


class UnreachableError(Exception):
    """The chat blocked the bot, removed it, or is gone."""


class RefusedError(Exception):
    """The server will never take this request; its words tell why, and hold none of ours."""


class Sender:
    """Sends at the pace that the server allows, and again where that helps.

    429 waits as long as the server says; 5xx and lost connections wait longer each time, with jitter. 400, 403 and
    413 are never tried again. After a read timeout the message may be there already: it is tried once more at most.
    """

    def __init__(
        self,
        pacer: Pacer,
        metrics: Metrics,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pacer, self._metrics = pacer, metrics
        self._random, self._sleep = rng or random.Random(), sleep

    async def send(self, chat: int, request: Callable[[int], Awaitable[R]]) -> R:
        """Make ``request`` for a chat, given its number; the number is another one where a group has moved.

        Raises:
            UnreachableError: nobody there takes messages of the bot.
            RefusedError: the request is wrong, or nobody knows whether it was done.
        """
        failures = timeouts = 0
        while True:
            await self._sleep(0)  # not begun any more once the bot stops
            await self._pacer.wait(chat)
            try:
                result = await request(chat)
            except RetryAfter as error:
                seconds = seconds_of(error.retry_after)
                self._metrics.count("flood_waits")
                self._pacer.hold(chat, seconds)
                _LOG.warning("Telegram asks to wait %.0f s before the next message to a chat", seconds)
            except ChatMigrated as error:
                chat = error.new_chat_id
            except (Forbidden, BadRequest) as error:
                raise _final(error) from None
            except InvalidToken:
                raise
            except NetworkError as error:
                if "entity too large" in error.message.lower():  # a file: 413, and again each time
                    raise RefusedError(error.message) from None
                failures += 1
                timeouts += isinstance(error.__cause__, httpx.ReadTimeout)
                if timeouts > 1:
                    raise RefusedError("no answer, twice") from None
                self._metrics.count("send_failures")
                await self._sleep(self._pause_s(failures))
            except TelegramError as error:  # an answer that is no JSON
                failures += 1
                self._metrics.count("send_failures")
                _LOG.warning("Telegram's answer cannot be read: %s", type(error).__name__)
                await self._sleep(self._pause_s(failures))
            else:
                self._pacer.taken(chat)
                return result

    def _pause_s(self, failures: int) -> float:
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))
        return longest * self._random.uniform(0.5, 1.0)


def _final(error: Forbidden | BadRequest) -> Exception:
    words = error.message.lower()
    if isinstance(error, Forbidden) or any(sign in words for sign in _GONE):
        return UnreachableError(error.message)
    return RefusedError(error.message)


def seconds_of(value: float | timedelta) -> float:
    """Return a time as the library gives it, now or in its next version, in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)

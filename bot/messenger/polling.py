"""Intake by polling: what was taken in is acknowledged by the next poll, never before it is stored."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from telegram import Bot
from telegram.error import BadRequest, Conflict, EndPointNotFound, Forbidden, InvalidToken, RetryAfter, TelegramError

from bot.errors import BotError
from bot.messenger.intake import ALLOWED_UPDATES, Json
from bot.messenger.metrics import Metrics
from bot.messenger.sending import seconds_of

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_MOST_CONFLICTS = 6  # in a row, some 30 seconds
REFUSED_TOKEN = (
    "Telegram refuses the bot's token. Copy it anew from @BotFather into TELEGRAM_BOT_TOKEN, or into the file that "
    "telegram.token_file names"
)
R = TypeVar("R")


async def insist(what: str, call: Callable[[], Awaitable[R]]) -> R:
    """Call the server until it answers: it may be down for a while when we start.

    Raises:
        BotError: it refuses the token, or what it is asked.
    """
    failures = 0
    while True:
        try:
            return await call()
        except (InvalidToken, EndPointNotFound):
            raise BotError(REFUSED_TOKEN) from None
        except (BadRequest, Forbidden) as error:
            raise BotError(f"Telegram refuses {what}: {error.message}") from None
        except RetryAfter as error:
            await asyncio.sleep(seconds_of(error.retry_after))
        except TelegramError as error:
            failures += 1
            if failures in (1, 5) or failures % 20 == 0:
                _LOG.warning("Telegram cannot be reached (%s: %s); trying again", what, type(error).__name__)
            await asyncio.sleep(pause_s(failures))


class Polling:
    """Asks for updates for ever.

    Args:
        take: stores updates, and returns when they are safe.
        has_room: waits until more can be taken in.
    """

    def __init__(
        self,
        bot: Bot,
        take: Callable[[Sequence[Json]], Awaitable[None]],
        has_room: Callable[[], Awaitable[None]],
        metrics: Metrics,
        timeout_s: int,
    ) -> None:
        self._bot, self._take, self._has_room = bot, take, has_room
        self._metrics, self._timeout_s = metrics, timeout_s
        self._offset = 0

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            BotError: the token is refused, or another program polls with it.
        """
        await insist("deleteWebhook", lambda: self._bot.delete_webhook(drop_pending_updates=False))
        failures = conflicts = 0
        while True:
            await self._has_room()
            try:
                updates = await self._poll()
                await self._take(updates)
            except (InvalidToken, EndPointNotFound):
                raise BotError(REFUSED_TOKEN) from None
            except Conflict:
                conflicts += 1
                if conflicts >= _MOST_CONFLICTS:
                    raise BotError(
                        "another program gets this bot's messages: stop the other instance, or its webhook, and "
                        "start this one again"
                    ) from None
                if conflicts == 1:
                    _LOG.warning("Another program polls with this bot's token, or has set a webhook")
                await asyncio.sleep(random.uniform(2, 6))
            except RetryAfter as error:
                await asyncio.sleep(seconds_of(error.retry_after))
            except Exception as error:  # whatever it is: updates that are not acknowledged come again
                failures += 1
                self._metrics.count("intake_failures")
                if failures in (1, 5) or failures % 20 == 0:
                    _LOG.warning("Polling failed (%s); trying again", describe(error))
                await asyncio.sleep(pause_s(failures))
            else:
                failures = conflicts = 0
                if updates:
                    self._offset = max(int(update["update_id"]) for update in updates) + 1

    async def _poll(self) -> Sequence[dict[str, Any]]:
        # In raw form: one update of a form that the library does not know must not hold up all that follow.
        # The server takes a method's name in any case; in this one the library does not point to its own method.
        answer: Any = await self._bot.do_api_request(
            "getupdates",
            {"offset": self._offset, "timeout": self._timeout_s, "allowed_updates": ALLOWED_UPDATES},
            read_timeout=self._timeout_s + 10,
        )
        return list(answer)


def describe(error: BaseException) -> str:
    """Return what may be logged of an error: of the server's its words, of others only the kind."""
    return f"{type(error).__name__}: {error}" if isinstance(error, BotError | TelegramError) else type(error).__name__


def pause_s(failures: int) -> float:
    """Return how long to wait after so many failures: twice as long each time, less up to a half."""
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)

"""Delivery of the outbox: each message in its parts, each part noted as soon as the messenger has taken it."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from telegram import Bot, InputFile, LinkPreviewOptions, ReplyParameters
from telegram.error import BadRequest

from bot.messenger.buttons import keyboard_of
from bot.messenger.metrics import Metrics
from bot.messenger.sending import RefusedError, Sender, UnreachableError
from storage.errors import StorageError
from storage.mailbox import Mailbox
from storage.records import Outgoing

_LOG = logging.getLogger(__name__)
_PAUSE_S = 2.0
_NOT_THERE = (
    "message to edit not found",
    "message can't be edited",
)  # deleted, say; what it should show is sent anew
R = TypeVar("R")


class Delivery:
    """Sends what is in the outbox, a chat's messages one after another. Messages without an id are not noted.

    Args:
        aside: works in a thread.
        file_for: makes the file that a message brings: its name and content.
    """

    def __init__(
        self,
        bot: Bot,
        sender: Sender,
        mailbox: Mailbox,
        metrics: Metrics,
        aside: Callable[..., Awaitable[Any]],
        file_for: Callable[[Outgoing], tuple[str, bytes]],
    ) -> None:
        self._bot, self._sender, self._mailbox = bot, sender, mailbox
        self._metrics, self._aside, self._file_for = metrics, aside, file_for

    async def deliver(self, message: Outgoing) -> None:
        """Send the parts that were not sent yet; a message that cannot be sent is given up."""
        try:
            for at in range(len(message.sent), len(message.parts)):
                chat, number = await self._sender.send(int(message.chat), self._request(message, at))
                message = replace(message, chat=str(chat))  # buttons are pressed where a group has moved to
                self._metrics.count("messages_sent")
                if message.id:
                    message = await self._surely(self._mailbox.record_sent, message, number)
        except UnreachableError as error:
            _LOG.info("A chat cannot be written to any more: %s", error)
            await self._give_up(message)
            await self._surely(self._mailbox.set_reachable, message.chat, False)
        except RefusedError as error:
            _LOG.warning("Telegram refuses a message: %s", error)
            await self._give_up(message)

    def _request(self, message: Outgoing, at: int) -> Callable[[int], Awaitable[tuple[int, int]]]:
        """Return what makes the request for one part and returns the chat and the number of the message.

        Where the message edits another, its first part does; the others are sent behind.
        """
        options = message.options
        is_first, is_last = at == 0, at == len(message.parts) - 1
        text = message.parts[at]
        keyboard = keyboard_of(options.get("buttons")) if is_last else None

        async def send(chat: int) -> tuple[int, int]:
            reply = options.get("reply_to") if is_first else None
            where: dict[str, Any] = {
                "message_thread_id": options.get("thread"),
                "reply_parameters": ReplyParameters(reply, allow_sending_without_reply=True) if reply else None,
            }
            if "file" in options:
                name, content = await self._aside(self._file_for, message)
                file = InputFile(io.BytesIO(content), filename=name)
                sent = await self._bot.send_document(chat, file, caption=text, **where)
            else:
                preview = LinkPreviewOptions(is_disabled=True)
                sent = await self._bot.send_message(
                    chat, text, reply_markup=keyboard, link_preview_options=preview, **where
                )
            return chat, sent.message_id

        async def edit(chat: int) -> tuple[int, int]:
            number = int(options["edits"])
            try:
                await self._bot.edit_message_text(text, chat, number, reply_markup=keyboard)
            except BadRequest as error:
                words = error.message.lower()
                if any(sign in words for sign in _NOT_THERE):
                    return await send(chat)
                if "not modified" not in words:
                    raise
            return chat, number

        return edit if "edits" in options and is_first else send

    async def _give_up(self, message: Outgoing) -> None:
        self._metrics.count("messages_given_up")
        if message.id:
            await self._surely(self._mailbox.give_up, message.id)

    async def _surely(self, work: Callable[..., R], *arguments: Any) -> R:
        """Write to the database, again and again while it is locked: what was sent must not be sent again."""
        while True:
            try:
                result: R = await self._aside(work, *arguments)
                return result
            except StorageError as error:
                _LOG.error("What was sent cannot be noted: %s", error)
                await asyncio.sleep(_PAUSE_S)

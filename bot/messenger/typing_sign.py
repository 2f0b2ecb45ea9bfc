"""The sign that the bot is at work: "typing", kept alive, and a draft where the work takes long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from telegram import Bot
from telegram.error import BadRequest, InvalidToken, TelegramError

_FIRST_S = 0.8  # what is answered sooner needs no sign
_AGAIN_S = 4.0  # clients show it for five seconds
_DRAFT_S = 2.0
_BETWEEN_S = 0.1  # signs of all chats: where many wait, their time is the answers'


class TypingSign:
    """Shows a chat that an answer is being made. Whatever goes wrong with that is nobody's concern."""

    def __init__(self, bot: Bot, *, drafts: bool) -> None:
        self._bot, self._drafts = bot, drafts
        self._next_s = 0.0  # when the next sign may be shown, by the loop's clock

    @contextlib.asynccontextmanager
    async def shown(self, chat: int, thread: int | None, draft_id: int) -> AsyncIterator[None]:
        """Show the sign while the block runs."""
        task = asyncio.create_task(self._keep_alive(chat, thread, draft_id))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_alive(self, chat: int, thread: int | None, draft_id: int) -> None:
        await asyncio.sleep(_FIRST_S)
        shown_s = 0.0
        while True:
            await self._show(chat, thread)
            pause = min(_AGAIN_S, _DRAFT_S) if not shown_s else _AGAIN_S
            await asyncio.sleep(pause)
            if not shown_s and self._drafts and chat > 0:
                await self._show_draft(chat, thread, draft_id)
            shown_s += pause

    async def _show(self, chat: int, thread: int | None) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_s:
            return
        self._next_s = now + _BETWEEN_S
        with contextlib.suppress(TelegramError):
            await self._bot.send_chat_action(chat, "typing", message_thread_id=thread)

    async def _show_draft(self, chat: int, thread: int | None, draft_id: int) -> None:
        """Show that the bot is thinking; a server that knows no drafts, or no empty ones, is not asked again."""
        try:
            await self._bot.send_message_draft(chat, draft_id, "", message_thread_id=thread)
        except (InvalidToken, BadRequest):  # the library takes an unknown method's 404 for the former
            self._drafts = False
        except TelegramError:
            pass

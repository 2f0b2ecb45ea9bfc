"""The bot's token: from the environment or a file, never from settings, flags or the database."""

from __future__ import annotations

import os

from bot.errors import BotError
from bot.settings import TelegramSettings

TOKEN_VARIABLE = "TELEGRAM_BOT_TOKEN"


def read_token(settings: TelegramSettings) -> str:
    """Return the bot's token from the environment, or from the file that the settings name.

    Raises:
        BotError: there is none, or it has not the form of one.
    """
    token, source = os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
    file = settings.token_file
    if not token and file is not None:
        source = str(file)
        try:
            token = file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BotError(f"{file}: the token cannot be read ({type(error).__name__})") from None
    if not token:
        raise BotError(
            f"no token: get one from @BotFather in Telegram and put it into {TOKEN_VARIABLE}, or into a file that "
            "telegram.token_file names"
        )
    number, _, secret = token.partition(":")
    if not (number.isascii() and number.isdigit() and secret and secret.isprintable() and " " not in secret):
        raise BotError(f"{source}: that is no bot token; one looks like 123456789:AAE... and comes from @BotFather")
    return token

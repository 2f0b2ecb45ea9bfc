"""``backchat telegram``: run the Telegram bot."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.telegram_bot import TelegramBot

app = typer.Typer()


@app.command()
def telegram(
    model: Annotated[str | None, typer.Option(help="A model id, folder or name; echo says the message back.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every reply; a new one each time where not given.")] = None,
    webhook_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Take updates at this address, in place of asking for them.")
    ] = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST", help="Where the webhook listens.")] = None,
    port: Annotated[int | None, typer.Option(help="The webhook's port.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Serve /metrics and /healthz here, on loopback.")] = None,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log one JSON object a line.")] = False,
    echo_delay_ms: Annotated[int | None, typer.Option(help="How long the echo engine takes.")] = None,
) -> None:
    """Run the Telegram bot until it is told to stop. The token is in TELEGRAM_BOT_TOKEN or telegram.token_file."""
    from bot.messenger.token import read_token
    from bot.settings import load_settings

    settings = load_settings(
        {
            "chat": {"model": model, "seed": seed, "echo_delay_ms": echo_delay_ms},
            "telegram": {
                "webhook_url": webhook_url,
                "listen": listen,
                "port": port,
                "metrics_port": metrics_port,
                "json_logs": json_logs or None,
            },
        }
    )
    _run(settings, read_token(settings.telegram))


def _run(settings: Settings, token: str) -> None:
    """Put the bot together, run it, and leave nothing behind that could hold up the end."""
    os.environ.setdefault("PTB_TIMEDELTA", "true")  # times as the library will give them from its next version on
    import asyncio
    import logging
    from contextlib import closing

    from bot.assembly import open_persona, open_registry, open_slot, open_store
    from bot.dialogue import DialogueManager, Wishes
    from bot.messenger.lock import only_instance
    from bot.messenger.logs import Redactor, set_up_logs
    from bot.messenger.together import BatchedSlot
    from bot.settings import set_values
    from bot.telegram_bot import TelegramBot, make_bot

    given = settings.telegram.webhook_secret
    redact = Redactor([token] if given is None else [token, given.get_secret_value()])
    set_up_logs(redact, as_json=settings.telegram.json_logs, level=logging.INFO)
    with only_instance(settings.home, int(token.partition(":")[0])), closing(open_store(settings)) as store:
        slot = open_slot(settings)
        wishes = Wishes(set_values(settings.decoding), settings.chat.seed)
        dialogue = DialogueManager(BatchedSlot(slot), store, persona=open_persona(settings), wishes=wishes)
        bot = TelegramBot(
            make_bot(token, settings.telegram),
            dialogue,
            slot,
            open_registry(settings),
            settings.runs_dir,
            settings.telegram,
        )
        asyncio.run(_until_told(bot))
        if bot.is_at_work:  # replies that take too long are made anew at the next start
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)


async def _until_told(bot: TelegramBot) -> None:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, bot.stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(bot.stop))
    await bot.run()

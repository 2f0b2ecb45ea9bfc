"""TelegramBot: updates into the inbox, answers out of the outbox, and the life between start and stop.

Nothing is acknowledged to Telegram before it is stored, and nothing that is stored is forgotten: what a crash
interrupts is taken up at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from telegram import Bot, BotCommand, BotCommandScopeChat
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from bot.dialogue import DialogueManager
from bot.errors import BotError, UpdateError
from bot.messenger import buttons
from bot.messenger.access import Access
from bot.messenger.commands import Desk, export_of
from bot.messenger.delivery import Delivery
from bot.messenger.handlers import Handlers
from bot.messenger.http_server import Endpoint, HttpServer
from bot.messenger.intake import ALLOWED_UPDATES, Json, Me, incoming_of, message_of
from bot.messenger.lanes import Lanes
from bot.messenger.metrics import Metrics
from bot.messenger.pacing import Pacer, PacingConfig
from bot.messenger.polling import Polling, describe, insist, pause_s
from bot.messenger.sending import Sender
from bot.messenger.stopping import Stop, StoppingError
from bot.messenger.texts import DEFAULT, Languages
from bot.messenger.typing_sign import TypingSign
from bot.messenger.webhook import HEALTH_PATH, health_endpoint, metrics_endpoint, webhook_endpoint, webhook_path
from bot.model_slot import ModelSlot
from bot.settings import TelegramSettings
from seq2seq.registry import Registry
from storage.errors import StorageError
from storage.records import Incoming, Outgoing

_LOG = logging.getLogger(__name__)
_MOST_TRIES = 3  # of work on an update in one run
_MOST_STARTS = 10  # of the program, with the same update at work when it ended
_MOST_WAITING = 2000  # updates in memory; the rest waits at Telegram
_KEPT_CONNECTIONS = 16  # each request looks through all of them
_REFRESH_S, _PURGE_S = 5.0, 3600.0
_KNOWN_FOR = timedelta(days=3)  # Telegram brings an update again for one day
_WORK_PATIENCE_S, _SEND_PATIENCE_S = 5.0, 2.5
R = TypeVar("R")


def make_bot(token: str, settings: TelegramSettings) -> Bot:
    """Return the library's client; many requests at once, and one that waits for updates."""
    is_local = settings.base_url.startswith(("http://127.", "http://localhost", "http://[::1]"))
    limits = httpx.Limits(max_connections=128, max_keepalive_connections=_KEPT_CONNECTIONS)
    kwargs: dict[str, Any] = {"limits": limits} | ({"trust_env": False} if is_local else {})

    def request() -> HTTPXRequest:
        return HTTPXRequest(
            connect_timeout=10,
            read_timeout=20,
            write_timeout=20,
            pool_timeout=None,
            httpx_kwargs=kwargs,
        )

    return Bot(token, settings.base_url, settings.base_file_url, request=request(), get_updates_request=request())


class TelegramBot:
    """Runs the bot. ``stop`` may be called from a signal handler of the loop that ``run`` runs in.

    Args:
        dialogue: answers in one batch for all chats.
    """

    def __init__(
        self,
        bot: Bot,
        dialogue: DialogueManager,
        slot: ModelSlot,
        registry: Registry,
        runs_dir: Path,
        settings: TelegramSettings,
    ) -> None:
        self._bot, self._dialogue, self._slot = bot, dialogue, slot
        self._registry, self._settings = registry, settings
        self._store = dialogue.store
        self._mailbox = self._store.mailbox(int(bot.token.partition(":")[0]))
        self._stop = Stop()
        self._metrics = Metrics()
        self._workers = ThreadPoolExecutor(settings.workers, "answer")
        self._clerk = ThreadPoolExecutor(1, "inbox")  # updates are stored in the order in which they came
        self._noters = ThreadPoolExecutor(32, "outbox")  # they wait for one commit together
        access = Access(settings.admins, settings.allowed, settings.blocked)
        self._desk = Desk(self._store, self._mailbox, slot, registry, self._metrics, runs_dir)
        self._access = access
        self._inbox: Lanes[Incoming] = Lanes(self._work, settings.workers)
        self._outbox: Lanes[Outgoing] = Lanes(self._deliver)
        pacing = PacingConfig(settings.chat_interval_s, settings.group_per_minute, settings.per_second)
        sender = Sender(Pacer(pacing, sleep=self._stop.sleep), self._metrics, sleep=self._stop.sleep)
        self._delivery = Delivery(
            bot, sender, self._mailbox, self._metrics, partial(self._aside, self._noters), self._file_for
        )
        self._sign = TypingSign(bot, drafts=settings.drafts)
        self._arrived: dict[int, float] = {}
        self._told_off: dict[str, float] = {}
        self._at_work: set[Future[Any]] = set()
        self._servers: list[HttpServer] = []
        self._is_up = False

    def stop(self) -> None:
        """Let ``run`` end: begun work is finished, the rest is taken up at the next start."""
        self._stop.tell()

    @property
    def is_at_work(self) -> bool:
        """Tell whether threads are at work still; the next start does over what they do."""
        return any(not work.done() for work in self._at_work)

    async def run(self) -> None:
        """Run until told to stop.

        Raises:
            BotError: the token is refused, or another program gets the updates.
        """
        self._loop = asyncio.get_running_loop()
        background: list[asyncio.Task[Any]] = []
        stopped = asyncio.create_task(self._stop.wait())
        try:
            starting = asyncio.create_task(self._start())
            background.append(starting)
            await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return
            me = starting.result()
            if self._settings.webhook_url is not None:
                intake: asyncio.Task[Any] = asyncio.create_task(self._stop.wait())
            else:
                polling = Polling(self._bot, self._take, self._has_room, self._metrics, self._settings.poll_timeout_s)
                intake = asyncio.create_task(polling.run())
            background.append(intake)
            background += (
                asyncio.create_task(work)
                for work in (
                    self._keep_up(self._refresh, _REFRESH_S),
                    self._keep_up(self._purge, _PURGE_S),
                    self._keep_up(self._menu),
                )
            )
            self._is_up = True
            _LOG.info("@%s is up, model %s", me.username, self._slot.engine.model_id)
            await asyncio.wait((intake, stopped), return_when=asyncio.FIRST_COMPLETED)
            if intake.done():
                with contextlib.suppress(StoppingError):
                    intake.result()
        finally:
            self._stop.tell()
            for task in (*background, stopped):
                task.cancel()
            await asyncio.gather(*background, stopped, return_exceptions=True)
            await self._wind_up()

    async def _start(self) -> Me:
        """Begin, and open the doors."""
        me = await self._begin()
        await self._serve_metrics()
        if self._settings.webhook_url is not None:
            await self._serve_webhook(self._settings.webhook_url, me)
        return me

    async def _begin(self) -> Me:
        """Meet the server, and take up what the last run left."""
        await insist("getMe", self._bot.initialize)
        user = await insist("getMe", self._bot.get_me)
        me = self._me = Me(user.id, user.username or "")
        self._handlers = Handlers(
            me,
            self._dialogue,
            self._slot,
            self._mailbox,
            self._access,
            self._metrics,
            self._desk,
            self._send_from_thread,
            remakes_edited=self._settings.edits == "remake",
            has_buttons=self._settings.buttons,
        )
        self._metrics.gauges |= {
            "inbox_waiting": lambda: float(self._inbox.waiting),
            "outbox_waiting": lambda: float(self._outbox.waiting),
        }
        for message in await self._aside(self._noters, self._mailbox.unsent):
            self._outbox.add(message.chat, message)
        left = await self._aside(self._clerk, self._mailbox.waiting)
        for incoming in left:
            # Only the first of a chat can have been at work when the last run ended: perhaps it is what ended it.
            is_first = self._inbox.length(incoming.chat) == 0
            tries = await self._aside(self._clerk, self._mailbox.begin, incoming.update_id) if is_first else 0
            if tries > _MOST_STARTS:
                _LOG.error("An update was begun %d times and never finished; it is given up", tries)
                await self._post(self._handlers.give_up, incoming)
            else:
                self._inbox.add(incoming.chat, incoming)
        if left:
            _LOG.info("%d updates of the last run are taken up", len(left))
        return me

    async def _wind_up(self) -> None:
        for server in self._servers:
            await server.stop()
        await self._inbox.close(_WORK_PATIENCE_S)
        await self._outbox.close(_SEND_PATIENCE_S)
        for pool in (self._workers, self._clerk, self._noters):
            pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(TimeoutError, TelegramError):
            async with asyncio.timeout(1):
                await self._bot.shutdown()
        if self._is_up:
            waiting, unsent = self._inbox.waiting, self._outbox.waiting
            _LOG.info("Stopped; %d updates and %d messages wait for the next start", waiting, unsent)

    # Intake

    async def _take(self, updates: Sequence[Json]) -> None:
        """Store updates, and begin to work on them. They are safe once this returns."""
        concern = []
        for update in updates:
            try:
                incoming = incoming_of(update, self._me)
            except UpdateError as error:
                _LOG.warning("An update is passed over: %s", error)
                continue
            if incoming is not None and not self._access.is_blocked(_sender_of(incoming), int(incoming.chat)):
                concern.append(incoming)
        if not concern:
            return
        new = set(await self._aside(self._clerk, self._mailbox.receive, concern))
        self._metrics.count("updates", len(new))
        self._metrics.count("duplicates", len(concern) - len(new))
        too_many = []
        for incoming in concern:
            if incoming.update_id not in new:
                continue
            waiting = self._inbox.length(incoming.chat) + self._outbox.length(incoming.chat)
            if waiting < self._settings.max_waiting:
                self._arrived[incoming.update_id] = time.monotonic()
                self._inbox.add(incoming.chat, incoming)
            else:
                too_many.append(incoming)
        # All at once, so that they share a commit; those that failed do not come again, and go on in their order.
        refused = await asyncio.gather(*map(self._refuse, too_many))
        for incoming, is_refused in zip(too_many, refused, strict=True):
            if not is_refused:
                self._inbox.add(incoming.chat, incoming)

    def _is_full(self) -> bool:
        return self._inbox.waiting >= _MOST_WAITING

    async def _has_room(self) -> None:
        while self._is_full():
            await self._stop.sleep(0.1)

    # Work

    async def _work(self, incoming: Incoming) -> None:
        """Answer an update, whatever happens; lanes depend on it."""
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                await self._answer(incoming)
                return
            except StorageError as error:
                self._metrics.count("handler_errors")
                _LOG.error("The memory failed: %s", error)
            except Exception as error:  # its words may be a person's; where it happened is enough to mend it
                self._metrics.count("handler_errors")
                _LOG.error("An update could not be answered: %s", _place_of(error))
            with contextlib.suppress(StoppingError):
                await self._stop.sleep(pause_s(attempt))
            if self._stop.is_told:
                return
        try:
            await self._post(self._handlers.give_up, incoming)
        except Exception as error:
            _LOG.error("An update stays in the inbox until the next start: %s", _place_of(error))

    async def _answer(self, incoming: Incoming) -> None:
        query = incoming.payload.get("callback_query")
        message = message_of(incoming.payload, self._me)
        is_long = message is not None or (query is not None and query.get("data") == buttons.ANOTHER)
        sign: contextlib.AbstractAsyncContextManager[None] = contextlib.nullcontext()
        if is_long and (message is None or self._access.allows(message.user, message.chat)):
            thread = message.thread if message is not None else None
            sign = self._sign.shown(int(incoming.chat), thread, incoming.update_id)
        async with sign:
            handled = await self._aside(self._workers, self._handlers.handle, incoming)
        if handled.outgoing is not None:
            self._outbox.add(handled.outgoing.chat, handled.outgoing)
        else:
            self._arrived.pop(incoming.update_id, None)
        if query is not None and handled.toast is not None:
            with contextlib.suppress(TelegramError):
                await self._bot.answer_callback_query(query["id"], handled.toast or None)

    async def _post(self, work: Callable[[Incoming], Outgoing | None], incoming: Incoming) -> None:
        outgoing = await self._aside(self._noters, work, incoming)
        if outgoing is not None:
            self._outbox.add(outgoing.chat, outgoing)

    async def _refuse(self, incoming: Incoming) -> bool:
        """Leave an update unanswered whose chat is too fast; False where that fails, and it must be answered."""
        self._metrics.count("limited")
        try:
            await self._post(partial(self._handlers.refuse, is_told=self._tells_off(incoming.chat)), incoming)
        except Exception as error:
            _LOG.error("An update could not be refused: %s", _place_of(error))
            return False
        return True

    def _tells_off(self, chat: str) -> bool:
        """Tell whether a chat that is too fast shall be told: once a minute."""
        now = time.monotonic()
        if now < self._told_off.get(chat, -1e9) + 60:
            return False
        self._told_off = {other: at for other, at in self._told_off.items() if now < at + 60} | {chat: now}
        return True

    # Sending

    async def _deliver(self, message: Outgoing) -> None:
        try:
            await self._delivery.deliver(message)
        except StoppingError:
            return
        except Exception as error:
            _LOG.error("A message stays in the outbox until the next start: %s", _place_of(error))
            return
        arrived = self._arrived.pop(message.update_id or 0, None)
        if arrived is not None:
            self._metrics.time_reply(time.monotonic() - arrived)

    def _send_from_thread(self, message: Outgoing) -> None:
        self._loop.call_soon_threadsafe(self._outbox.add, message.chat, message)

    def _file_for(self, message: Outgoing) -> tuple[str, bytes]:
        assert message.person is not None
        return "backchat.json", export_of(self._store, self._registry, message.person)

    # Servers

    async def _serve_webhook(self, url: str, me: Me) -> None:
        path = webhook_path(url)
        if path == HEALTH_PATH:
            raise BotError(f"telegram.webhook_url: {HEALTH_PATH} is taken; choose another path")
        given = self._settings.webhook_secret
        secret = given.get_secret_value() if given is not None else secrets.token_urlsafe(32)
        endpoints = {
            path: webhook_endpoint(secret, me, self._take, self._is_full),
            HEALTH_PATH: health_endpoint(lambda: self._is_up),
        }
        cert, key = self._settings.tls_cert, self._settings.tls_key
        await self._listen(endpoints, self._settings.listen, self._settings.port, _tls(cert, key))

        async def set_webhook() -> bool:
            return await self._bot.set_webhook(
                url, secret_token=secret, allowed_updates=ALLOWED_UPDATES, max_connections=40, certificate=cert
            )

        await insist("setWebhook", set_webhook)

    async def _serve_metrics(self) -> None:
        if self._settings.metrics_port is None:
            return
        endpoints = {
            "/metrics": metrics_endpoint(self._metrics.exposition),
            HEALTH_PATH: health_endpoint(lambda: self._is_up),
        }
        await self._listen(endpoints, "127.0.0.1", self._settings.metrics_port, None)

    async def _listen(self, endpoints: dict[str, Endpoint], host: str, port: int, tls: ssl.SSLContext | None) -> None:
        server = HttpServer(endpoints, lambda: self._metrics.count("refused_requests"))
        self._servers.append(server)
        try:
            taken = await server.start(host, port, tls)
        except OSError as error:
            raise BotError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another --listen or --port"
            ) from None
        _LOG.info("Listening on %s:%d", host, taken)

    # Background

    async def _keep_up(self, work: Callable[[], Awaitable[None]], every_s: float | None = None) -> None:
        """Do work once, or again and again; where it fails, try again, later each time."""
        failures = 0
        while True:
            try:
                await work()
            except Exception as error:
                failures += 1
                if failures in (1, 5) or failures % 20 == 0:
                    _LOG.error("Background work failed (%s); trying again", _place_of(error))
                await asyncio.sleep(pause_s(failures))
            else:
                if every_s is None:
                    return
                failures = 0
                await asyncio.sleep(every_s)

    async def _refresh(self) -> None:
        """Take another model when one is promoted; replies under way end with the one they began with."""
        if await asyncio.to_thread(self._slot.refresh):
            self._metrics.count("model_swaps")

    async def _purge(self) -> None:
        """Forget the numbers of updates that can come no more."""
        await self._aside(self._noters, self._mailbox.purge, datetime.now(UTC) - _KNOWN_FOR)

    async def _menu(self) -> None:
        """Register the commands in the languages that there are texts for, and the admins' for admins."""
        languages = Languages()
        for texts in languages:
            commands = [BotCommand(name, text) for name, text in self._desk.menu(texts)]
            language = None if texts.language == DEFAULT else texts.language
            await insist("setMyCommands", partial(self._bot.set_my_commands, commands, language_code=language))
        menu = self._desk.menu(languages.of(None), is_admin=True)
        for admin in self._access.admins:
            with contextlib.suppress(TelegramError):  # the admin has not written to the bot yet
                await self._bot.set_my_commands(menu, scope=BotCommandScopeChat(admin))

    async def _aside(self, pool: ThreadPoolExecutor, work: Callable[..., R], *arguments: Any) -> R:
        """Work in a thread, off the event loop."""
        future = pool.submit(work, *arguments)
        self._at_work.add(future)
        future.add_done_callback(self._at_work.discard)
        return await asyncio.wrap_future(future)


def _sender_of(incoming: Incoming) -> int:
    return int((incoming.person or ":0").partition(":")[2])


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise BotError(f"telegram.tls_cert, telegram.tls_key: cannot be used ({error})") from None
    return context


def _place_of(error: BaseException) -> str:
    """Return the kind of an error and the line it came from: what may be logged of it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{describe(error)}{where}"

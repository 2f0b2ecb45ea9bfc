"""The pieces of the Telegram bot, each by itself: splitting, pacing, sending, lanes, texts, logs."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import random
import re
import string
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TimedOut
from wcwidth import iter_graphemes

from bot.messenger.access import Access
from bot.messenger.buttons import button_facts, keyboard_of, rating_of
from bot.messenger.lanes import Lanes
from bot.messenger.logs import JsonFormatter, RedactingFormatter, Redactor
from bot.messenger.metrics import Metrics
from bot.messenger.pacing import Pacer, PacingConfig
from bot.messenger.sending import RefusedError, Sender, UnreachableError
from bot.messenger.splitting import split_text, units
from bot.messenger.texts import Languages

TOKEN = "7654321098:AAH-a_token_of_35_characters_0123456"


# Splitting


def test_a_short_text_is_one_part() -> None:
    assert split_text("Hello there.") == ["Hello there."]


def test_parts_end_between_words() -> None:
    assert split_text("one two three four", most=9) == ["one two", "three", "four"]


def test_a_word_longer_than_a_message_is_cut() -> None:
    assert split_text("abcdefgh", most=3) == ["abc", "def", "gh"]


def test_length_is_counted_in_utf_16_units() -> None:
    assert [units(part) for part in split_text("𝄞" * 4097)] == [4096, 4096, 2]


def test_a_family_is_never_torn_apart() -> None:
    family = "👨‍👩‍👧‍👦"
    assert split_text("x" + family * 3, most=12) == ["x" + family, family, family]


def test_a_text_with_nothing_to_show_has_no_parts() -> None:
    assert split_text(" \n\x00\u200f ") == []


@given(st.text(), st.integers(20, 60))
def test_parts_fit_are_not_blank_and_lose_only_blanks(text: str, most: int) -> None:
    parts = split_text(text, most)
    assert all(part.strip() and units(part) <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join("".join(split_text(text, 10**6)).split())


@given(st.text(alphabet="a👍🏽é\u0301🇩🇪👩‍👧 ", max_size=200))
def test_no_grapheme_is_cut_that_fits_a_part(text: str) -> None:
    whole = "".join(split_text(text, 10**6))
    if any(units(grapheme) > 30 for grapheme in iter_graphemes(whole)):
        return

    def shown(part: str) -> list[str]:
        return [grapheme.strip() for grapheme in iter_graphemes(part) if grapheme.strip()]

    assert [grapheme for part in split_text(text, 30) for grapheme in shown(part)] == shown(whole)


# Pacing


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def times_of(config: PacingConfig, chats: list[int]) -> list[float]:
    clock = Clock()
    pacer = Pacer(config, clock, clock.sleep)

    async def run() -> list[float]:
        times = []
        for chat in chats:
            await pacer.wait(chat)
            times.append(round(clock.now - 100, 6))
        return times

    return asyncio.run(run())


def test_a_chat_gets_one_message_a_second() -> None:
    assert times_of(PacingConfig(), [1, 1, 2, 1]) == [0, 1, 1, 2]


def test_a_group_gets_twenty_a_minute() -> None:
    assert times_of(PacingConfig(chat_interval_s=0), [-5] * 41)[19:41:20] == [0, 60]
    assert times_of(PacingConfig(chat_interval_s=0), [-5] * 41)[40] == 120


def test_all_chats_together_get_thirty_a_second() -> None:
    assert times_of(PacingConfig(), list(range(1, 63)))[29:62:1] == [0.0] + [1.0] * 30 + [2.0] * 2


def test_limits_of_zero_are_none() -> None:
    assert times_of(PacingConfig(0, 0, 0), [-1] * 100) == [0.0] * 100


# Sending


def send(*results: object, chat: int = 1) -> tuple[object, list[int], float]:
    """Send a message that comes to ``results``, one for each attempt; returns the last, the chats, the time."""
    clock, tried, outcomes = Clock(), [], iter(results)
    sender = Sender(Pacer(PacingConfig(), clock, clock.sleep), Metrics(), random.Random(1), clock.sleep)

    async def request(chat: int) -> object:
        tried.append(chat)
        result = next(outcomes)
        if isinstance(result, Exception):
            raise result
        return result

    return asyncio.run(sender.send(chat, request)), tried, clock.now - 100


def timed_out() -> TimedOut:
    error = TimedOut()
    error.__cause__ = httpx.ReadTimeout("slow")
    return error


def test_retry_after_is_waited_for_exactly() -> None:
    assert send(RetryAfter(timedelta(seconds=7)), "sent") == ("sent", [1, 1], 7.0)


def test_failures_of_the_way_are_tried_again_with_growing_pauses() -> None:
    result, tried, seconds = send(*[NetworkError("Bad Gateway (502)")] * 4, "sent")
    assert (result, len(tried)) == ("sent", 5)
    assert (0.5 + 1 + 2 + 4) / 2 <= seconds <= 0.5 + 1 + 2 + 4


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Forbidden("Forbidden: bot was blocked by the user"), UnreachableError),
        (BadRequest("Bad Request: chat not found"), UnreachableError),
        (BadRequest("Bad Request: message is too long"), RefusedError),
        (NetworkError("Request Entity Too Large"), RefusedError),
    ],
)
def test_refusals_are_never_tried_again(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        send(error, "sent")


def test_a_message_that_may_be_there_is_tried_once_more_only() -> None:
    assert send(timed_out(), "sent")[1] == [1, 1]
    with pytest.raises(RefusedError):
        send(timed_out(), timed_out(), "sent")


def test_a_group_that_moved_is_followed() -> None:
    assert send(ChatMigrated(-1005), "sent", chat=-5)[1] == [-5, -1005]


# Lanes


def run_lanes(
    items: list[tuple[str, int]], work: Callable[[tuple[str, int]], Awaitable[None]], most: int | None = None
) -> Lanes[tuple[str, int]]:
    async def run() -> Lanes[tuple[str, int]]:
        lanes = Lanes(work, most)
        for item in items:
            lanes.add(item[0], item)
        while lanes.waiting:
            await asyncio.sleep(0)
        return lanes

    return asyncio.run(run())


def test_lanes_keep_order_and_a_slow_one_delays_no_other() -> None:
    done: list[tuple[str, int]] = []

    async def work(item: tuple[str, int]) -> None:
        for _ in range(50 if item[0] == "slow" else 1):
            await asyncio.sleep(0)
        done.append(item)

    run_lanes([("slow", 1), ("slow", 2), ("a", 1), ("a", 2), ("a", 3)], work)
    assert done == [("a", 1), ("a", 2), ("a", 3), ("slow", 1), ("slow", 2)]


def test_no_more_lanes_work_than_may() -> None:
    working, most = 0, 0

    async def work(item: tuple[str, int]) -> None:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        working -= 1

    run_lanes([(letter, 1) for letter in string.ascii_letters], work, 3)
    assert most == 3


def test_closing_finishes_what_is_begun_and_leaves_the_rest() -> None:
    done: list[int] = []

    async def run() -> None:
        gate = asyncio.Event()

        async def work(item: int) -> None:
            await gate.wait()
            done.append(item)

        lanes = Lanes(work)
        lanes.add("a", 1)
        lanes.add("a", 2)
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await lanes.close(10)

    asyncio.run(run())
    assert done == [1]


# Texts


def test_all_languages_have_the_texts_of_english_with_the_same_facts() -> None:
    english, *others = sorted(Languages(), key=lambda texts: texts.language != "en")
    assert [texts.language for texts in others] == ["zh"]
    for texts in others:
        assert texts._texts.keys() == english._texts.keys()
        for name, text in english._texts.items():
            assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", texts._texts[name])), name
            assert text != texts._texts[name]


@pytest.mark.parametrize(("code", "language"), [("zh-hans", "zh"), ("zh", "zh"), ("de", "en"), (None, "en")])
def test_the_language_is_the_persons(code: str | None, language: str) -> None:
    assert Languages().of(code).language == language


# Buttons, access


def test_buttons_lead_only_where_there_is_something() -> None:
    def shown(at: int, of: int) -> list[list[str]]:
        keyboard = keyboard_of(button_facts("another", at, of))
        assert keyboard is not None
        return [[str(button.callback_data) for button in row] for row in keyboard.inline_keyboard]

    assert shown(1, 1) == [["good", "bad", "another"]]
    assert shown(1, 2)[1:] == [["-", "right"]]
    assert shown(2, 3)[1:] == [["left", "-", "right"]]
    assert keyboard_of(None) is None


@pytest.mark.parametrize(("emoji", "rating"), [("👍", 1), ("❤", 1), ("❤️", 1), ("💩", -1), ("🤔", None)])
def test_reactions_rate(emoji: str, rating: int | None) -> None:
    assert rating_of([{"type": "emoji", "emoji": emoji}]) == rating


def test_who_is_blocked_gets_nothing_and_admins_always_get_in() -> None:
    access = Access(admins=(1,), allowed=(2, -7), blocked=(3, 1))
    assert [access.allows(user, user) for user in (1, 2, 3, 4)] == [True, True, False, False]
    assert access.allows(4, -7)
    assert not access.allows(3, -7)
    assert Access().allows(4, 4)


# Logs


def log_lines(formatter: logging.Formatter, *secrets: str, log: Callable[[logging.Logger], None]) -> str:
    logger, stream = logging.Logger("telegram.test"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RedactingFormatter(formatter, Redactor(secrets)))
    logger.addHandler(handler)
    log(logger)
    return stream.getvalue()


def test_secrets_are_blotted_out_of_messages_arguments_and_tracebacks() -> None:
    def log(logger: logging.Logger) -> None:
        logger.info("POST https://api.telegram.org/bot%s/getMe", TOKEN)
        logger.info("half %s, secret %s", TOKEN.partition(":")[2], "my-webhook-secret")
        try:
            raise ValueError(f"The token `{TOKEN}` was rejected")
        except ValueError:
            logger.exception("refused")

    text = log_lines(logging.Formatter(), TOKEN, "my-webhook-secret", log=log)
    assert TOKEN not in text
    assert TOKEN.partition(":")[2] not in text
    assert "my-webhook-secret" not in text
    assert "was rejected" in text


def test_whatever_looks_like_a_token_is_blotted_out() -> None:
    assert TOKEN not in log_lines(logging.Formatter(), log=lambda logger: logger.info(f"bot{TOKEN}/getMe"))


def test_json_logs_are_an_object_a_line() -> None:
    line = json.loads(log_lines(JsonFormatter(), log=lambda logger: logger.warning("waited %d s", 3)))
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "telegram.test", "waited 3 s")


# Metrics


def test_metrics_are_in_prometheus_format() -> None:
    metrics = Metrics()
    metrics.count("replies", 3)
    metrics.time_reply(0.5)
    metrics.gauges["inbox"] = lambda: 2
    lines = metrics.exposition().splitlines()
    assert "backchat_replies_total 3" in lines
    assert "backchat_inbox 2.000" in lines
    assert 'backchat_reply_seconds{quantile="0.95"} 0.500' in lines
    assert all(re.fullmatch(r'# (HELP|TYPE) .*|[a-z_]+(\{quantile="[\d.]+"\})? [\d.]+', line) for line in lines)

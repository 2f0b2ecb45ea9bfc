"""What frontends begin with."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import time_machine

from bot.assembly import new_conversation


def test_conversations_of_one_second_are_told_apart_by_eight_digits() -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        assert re.fullmatch(r"20260301-120000-[0-9a-f]{8}", new_conversation())

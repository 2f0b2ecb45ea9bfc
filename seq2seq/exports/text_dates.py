"""Dates in front of the messages of a text export: found in any locale's form, their order inferred from all of them.

A phone writes dates as its own language and region do, so that 3/4/24 is the third of April or the fourth of March.
Nothing in the file says which; but every date must exist, time runs forwards, and people seldom wait a month.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple

_MARKS = "[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]*"  # writing direction, byte order
_BLANK = "[ \u00a0\u202f\u2009]"
_DATE = (
    rf"(?P<a>\d{{1,4}}){_MARKS}(?P<sep>[./\-年년]){_MARKS}{_BLANK}?(?P<b>\d{{1,2}}){_MARKS}[./\-月월]{_MARKS}{_BLANK}?"
    rf"(?P<c>\d{{1,4}}){_MARKS}[.日일]?"
)
_PERIOD = r"[^\s\d:,،\[\]()\-–—/]{1,14}"
_PERIOD = rf"{_PERIOD}(?:{_BLANK}{_PERIOD})?"  # "p. m."
_TIME = (
    rf"(?:(?P<before>{_PERIOD}){_BLANK}?)?(?P<hour>\d{{1,2}})[:.時时시h]{_BLANK}?(?P<minute>\d{{2}})[분分]?"
    rf"(?:[:.](?P<second>\d{{2}}))?(?:{_BLANK}?(?P<after>{_PERIOD}))?"
)
_COMMA = rf"{_MARKS}[,،]?{_MARKS}{_BLANK}?{_MARKS}"
_END = rf"{_MARKS}(?:(?P<bracket>\]){_BLANK}?|{_BLANK}(?P<dash>[-–—]){_BLANK}|(?P<colon>:){_BLANK})"
_HEADS = tuple(
    re.compile(rf"{_MARKS}(?P<open>\[)?{first}{_COMMA}{second}{_END}")
    for first, second in ((_DATE, _TIME), (_TIME, _DATE))
)

# Marks of the half of the day, lower-cased, without blanks, dots and direction marks.
_AM, _PM = (
    frozenset(marks.split())
    for marks in (
        "am a πμ 上午 凌晨 早上 清晨 오전 午前 ص قظ öö sa de dop dopoledne dopoludnia fm fh vm vorm ap पूर्वाह्न pg "
        "ก่อนเที่ยง paradite eparadites priešpiet ennelõuna matin",
        "pm p μμ 下午 晚上 午后 傍晚 中午 오후 午後 م بظ ös ch du odp odpoledne odpoludnia em eh nm nachm ip "
        "अपराह्न ptg หลังเที่ยง pasdite epasdites popiet pärastlõuna soir",
    )
)
_ORDERS = ("dmy", "mdy", "ymd")
_NAMES = {"d": "day", "m": "month", "y": "year"}
_FAR_FETCHED = 100  # times as many days: a year for every three days
_MAX_SHAPES = 64  # of what looks like the head of a message; a file has one, and others by accident


class Shape(NamedTuple):
    """What all heads of one export have in common; a line of another shape is part of a message's text."""

    style: str  # "]", "-" or ":", what ends it
    separator: str
    year_at: int  # 0 or 2 where a year has four digits, 1 where none has
    has_seconds: bool
    period_at: int  # of the half of the day: -1 before the hour, 1 behind it, 0 nowhere
    is_time_first: bool


_shape = lru_cache(256)(Shape)  # one object for each, since a file has a line of it for every message


class Head(NamedTuple):
    """The date in front of a message, not yet understood."""

    shape: Shape
    fields: tuple[int, int, int]
    hour: int
    minute: int
    second: int
    period: str
    end: int  # where the rest of the line begins


_GROUPS = ("a", "b", "c", "sep", "before", "hour", "minute", "second", "after", "open", "bracket", "dash")


def find_head(line: str) -> Head | None:
    """Return the date at the start of a line, or None."""
    found = _HEADS[0].match(line) or _HEADS[1].match(line)
    if found is None:
        return None
    a, b, c, separator, before, hour, minute, second, after, opened, bracket, dash = found.group(*_GROUPS)
    if (opened is None) != (bracket is None):
        return None
    shape = _shape(
        "]" if bracket else "-" if dash else ":",
        separator,
        0 if len(a) > 2 else 2 if len(c) > 2 else 1,
        second is not None,
        -1 if before else 1 if after else 0,
        found.re is _HEADS[1],
    )
    period = _folded(before or after) if before or after else ""
    return Head(shape, (int(a), int(b), int(c)), int(hour), int(minute), int(second or 0), period, found.end())


@dataclass
class _OrderEvidence:
    """What speaks for and against one order of day, month and year."""

    order: str
    misfits: int = 0  # dates that do not exist
    steps_back: int = 0
    days_travelled: int = 0
    last_day: int | None = None

    def add(self, fields: tuple[int, int, int]) -> None:
        day = day_number(self.order, fields)
        if day is None:
            self.misfits += 1
            return
        if self.last_day is not None:
            self.steps_back += day < self.last_day
            self.days_travelled += abs(day - self.last_day)
        self.last_day = day


@dataclass
class _ShapeEvidence:
    count: int = 0
    dates: int = 0
    last: tuple[int, int, int] | None = None
    last_period: str = ""
    orders: list[_OrderEvidence] = field(default_factory=lambda: [_OrderEvidence(order) for order in _ORDERS])
    latest_hour: Counter[str] = field(default_factory=Counter)  # of each period
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)  # of period within one day

    def add(self, head: Head) -> None:
        self.count += 1
        if head.fields != self.last:
            for order in self.orders:
                order.add(head.fields)
            self.dates += 1
            self.last = head.fields
        elif head.period != self.last_period:
            self.changes[self.last_period, head.period] += 1
        self.last_period = head.period
        if len(self.latest_hour) < 16 or head.period in self.latest_hour:
            self.latest_hour[head.period] = max(self.latest_hour[head.period], head.hour)


class DateReader:
    """How one file writes dates."""

    def __init__(self, shape: Shape, order: str, is_sure: bool, evening: str) -> None:
        self.shape, self.order, self.is_sure = shape, order, is_sure
        self._evening = evening  # a mark of the afternoon that no list has
        self._fields: tuple[int, int, int] | None = None
        self._day_s: float | None = None

    def time_s(self, head: Head) -> float | None:
        """Return seconds since 1970 in local time; None where the head is not of this file's kind."""
        if head.shape != self.shape or head.hour > 24 or head.minute > 59 or head.second > 60:
            return None
        if head.fields != self._fields:
            day = day_number(self.order, head.fields)
            self._fields, self._day_s = head.fields, None if day is None else (day - _EPOCH) * 86400.0
        if self._day_s is None:
            return None
        hour = head.hour
        if head.period and hour <= 12:
            if head.period in _PM or head.period == self._evening:
                hour = hour % 12 + 12
            elif head.period in _AM:
                hour %= 12
        return self._day_s + hour * 3600 + head.minute * 60 + head.second

    def described(self) -> str:
        """Return the order of dates as people write it, and whether it could be another."""
        order = self.shape.separator.join(_NAMES[letter] for letter in self.order)
        return f"dates are {order}" + ("" if self.is_sure else " (the likeliest order; the dates allow another)")


class DateSurvey:
    """Gathers the heads of a file, to tell which are real and how they are to be read."""

    def __init__(self) -> None:
        self._shapes: dict[Shape, _ShapeEvidence] = {}

    def add(self, head: Head) -> None:
        """Take in the head of a line."""
        evidence = self._shapes.get(head.shape)
        if evidence is None:
            if len(self._shapes) == _MAX_SHAPES:
                return
            evidence = self._shapes[head.shape] = _ShapeEvidence()
        evidence.add(head)

    def reader(self) -> DateReader | None:
        """Return how the file's dates are read, by the shape that most lines have; None where no order fits.

        That order wins under which the fewest dates do not exist; of several the one under which time runs back
        on the fewest days, then the one that travels the fewest days in all; then what is usual with such dates.
        """
        if not self._shapes:
            return None
        shape, evidence = max(self._shapes.items(), key=lambda item: item[1].count)
        usual = _usual_orders(shape)
        best, *others = sorted(
            (order for order in evidence.orders if _suits(order.order, shape)),
            key=lambda order: (order.misfits, order.steps_back, order.days_travelled, usual.index(order.order)),
        )
        if 2 * best.misfits > evidence.dates:
            return None
        is_sure = all(
            (order.misfits, order.steps_back) > (best.misfits, best.steps_back)
            or order.days_travelled > _FAR_FETCHED * max(best.days_travelled, 1)
            for order in others
        )
        return DateReader(shape, best.order, is_sure, _evening_of(evidence))


def day_number(order: str, fields: tuple[int, int, int]) -> int | None:
    """Return the proleptic day number of a date, or None where there is none.

    The 31st of a short month is let pass: other calendars have longer months, and only distances count.
    """
    parts = dict(zip(order, fields, strict=True))
    year, month, day = parts["y"], parts["m"], parts["d"]
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    if year < 100:
        year += 2000
    if not 1000 <= year <= 9000:
        return None
    return date(year, month, 1).toordinal() + day - 1


_EPOCH = date(1970, 1, 1).toordinal()


def _suits(order: str, shape: Shape) -> bool:
    """Tell whether the year of an order is where a year of four digits is; a year of two is never in the middle."""
    return shape.year_at == 1 or order.index("y") == shape.year_at


def _usual_orders(shape: Shape) -> tuple[str, ...]:
    if shape.year_at == 0:
        return ("ymd", "dmy", "mdy")
    is_american = shape.separator == "/" and shape.period_at == 1
    return ("mdy", "dmy", "ymd") if is_american else ("dmy", "mdy", "ymd")


def _evening_of(evidence: _ShapeEvidence) -> str:
    """Return the mark of the afternoon of two that no list knows: the one that mornings change to."""
    unknown = [mark for mark in evidence.latest_hour if mark and mark not in _AM and mark not in _PM]
    is_half_day = len(unknown) == 2 and all(evidence.latest_hour[mark] <= 12 for mark in unknown)
    if not is_half_day:
        return ""
    first, second = unknown
    return second if evidence.changes[first, second] >= evidence.changes[second, first] else first


@lru_cache(128)
def _folded(period: str) -> str:
    return re.sub(r"[\W_]", lambda found: "" if not _is_vowel_sign(found[0]) else found[0], period).lower()


def _is_vowel_sign(character: str) -> bool:
    """Tell whether a character that is no letter belongs to the letter before, as in Hindi and Thai."""
    return "\u0900" <= character <= "\u0eff"

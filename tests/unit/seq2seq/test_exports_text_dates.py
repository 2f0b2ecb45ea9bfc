from __future__ import annotations

from collections.abc import Sequence

import pytest

from seq2seq.exports.text_dates import DateSurvey, day_number, find_head


def clock(lines: Sequence[str]) -> list[str]:
    """Return when each line was written, as the whole of them says: ``2024-03-01 21:05:00``; "" for no head."""
    survey = DateSurvey()
    heads = [find_head(line) for line in lines]
    for head in heads:
        if head is not None:
            survey.add(head)
    reader = survey.reader()
    assert reader is not None
    times = [None if head is None else reader.time_s(head) for head in heads]
    return ["" if time_s is None else shown(time_s) for time_s in times]


def shown(time_s: float) -> str:
    """Write seconds since 1970 as a date, by counting days; worked out without the calendar under test."""
    days, seconds = divmod(int(time_s), 86400)
    year = 1970
    while days >= 365 + (leap := year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
        days, year = days - 365 - leap, year + 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    month = 1
    for length in (31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31):
        if days < length:
            break
        days, month = days - length, month + 1
    return f"{year}-{month:02}-{days + 1:02} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@pytest.mark.parametrize(
    "line",
    [
        "0{day}/03/24, 21:05 - Ann: x",
        "{day}/3/2024, 21:05 - Ann: x",
        "{day}.3.24, 21:05 - Ann: x",
        "0{day}.03.2024, 21:05 - Ann: x",
        "{day}-3-2024 21:05 - Ann: x",
        "2024-03-0{day}, 21:05 - Ann: x",
        "2024/03/0{day}, 21:05 - Ann: x",
        "2024. 03. 0{day}. 21:05 - Ann: x",
        "2024. 3. {day}. 오후 9:05 - Ann: x",
        "2024년 3월 {day}일 오후 9:05 - Ann: x",
        "2024年3月{day}日 下午9:05 - Ann: x",
        "2024/3/{day} 午後9:05 - Ann: x",
        "{day}. 3. 2024 21:05 - Ann: x",
        "{day}.3.2024 klo 21.05 - Ann: x",
        "0{day}/03/2024 21:05 - Ann: x",
        "0{day}/03/2024 à 21:05 - Ann: x",
        "21:05, 0{day}/03/2024 - Ann: x",
        "{day}/3/2024, 9:05 p. m. - Ann: x",
        "{day}/3/2024, 9:05\u202fp.\u202fm. - Ann: x",
        "{day}/3/2024, 9:05\u00a0p.m. - Ann: x",
        "{day}/3/2024, 9:05\u202fPM - Ann: x",
        "{day}/3/2024, 9:05 μ.μ. - Ann: x",
        "0{day}/03/2024, 9:05 अपराह्न - Ann: x",
        "{day}.03.2024 ÖS 9:05 - Ann: x",
        "{day}/3/2024, 9:05 CH - Ann: x",
        "0{day}/03/2024, 9:05 PTG - Ann: x",
        "{arabic}\u200f/٣\u200f/٢٠٢٤، ٩:٠٥ م - Ann: x",
        "0{day}/03/2024, 21:05 – Ann: x",
        "\u200e[0{day}.03.24, 21:05:00] Ann: x",
        "[{day}/3/24, 9:05:00 PM] Ann: x",
        "[0{day}/03/24, 9:05:00\u202fPM] Ann: x",
        "[2024/3/{day} 下午9:05:00] Ann: x",
        "[2024-03-0{day}, 21:05:00] Ann: x",
        "\u200f[{day}.3.2024, 21:05:00] Ann: x",
        "{day}/3/24, 21:05:00: Ann: x",
    ],
)
def test_every_locale_says_the_same_moment(line: str) -> None:
    lines = [line.format(day=day, arabic=chr(0x660 + day)) for day in (1, 2)]  # the 2nd shows which is the month
    head = find_head(lines[0])
    assert head is not None
    assert lines[0][head.end :] == "Ann: x"
    assert clock(lines) == ["2024-03-01 21:05:00", "2024-03-02 21:05:00"]


@pytest.mark.parametrize(
    ("hour", "period", "expected"),
    [(12, "AM", 0), (1, "AM", 1), (11, "AM", 11), (12, "PM", 12), (1, "PM", 13), (11, "PM", 23), (0, "AM", 0)],
)
def test_noon_is_12_pm_and_midnight_12_am(hour: int, period: str, expected: int) -> None:
    assert clock([f"5/20/24, {hour}:30 {period} - Ann: x"]) == [f"2024-05-20 {expected:02}:30:00"]


def test_marks_of_a_language_nobody_listed_are_told_by_their_order_in_a_day() -> None:
    lines = [
        "20.5.24, 9:00 qwe - Ann: x",
        "20.5.24, 3:00 rty - Ann: x",
        "21.5.24, 8:00 qwe - Ann: x",
        "21.5.24, 7:00 rty - Ann: x",
    ]
    assert [time[11:13] for time in clock(lines)] == ["09", "15", "08", "19"]


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["3/4/24", "13/4/24"], "2024-04-03"),  # there is no month 13
        (["3/4/24", "3/13/24"], "2024-03-04"),
        (["2/1/24", "3/1/24", "1/2/24"], "2024-01-02"),  # else time would run back
        (["1/2/24", "1/3/24", "2/1/24"], "2024-01-02"),
        (["3/4/24", "3/5/24", "3/6/24"], "2024-03-04"),  # three days, rather than three months
        (["3/4/24", "4/4/24", "5/4/24"], "2024-04-03"),
        (["15-01-20", "16-01-20"], "2020-01-15"),  # two days, rather than a year
        (["15-01-20", "15-01-21"], "2015-01-20"),
        (["3/4/24"], "2024-04-03"),  # nothing tells: what most of the world writes
    ],
)
def test_order_is_inferred_from_all_dates(dates: list[str], first: str) -> None:
    assert clock([f"{date}, 10:00 - Ann: x" for date in dates])[0][:10] == first


def test_twelve_hour_clock_with_slashes_is_taken_for_american_where_nothing_tells() -> None:
    assert clock(["3/4/24, 9:00 PM - Ann: x"])[0][:10] == "2024-03-04"


def test_what_was_guessed_is_said() -> None:
    def described(*dates: str) -> str:
        survey = DateSurvey()
        for date in dates:
            head = find_head(f"{date}, 10:00 - Ann: x")
            assert head is not None
            survey.add(head)
        reader = survey.reader()
        assert reader is not None
        return reader.described()

    assert described("3/4/24", "13/4/24") == "dates are day/month/year"
    assert described("3.4.24") == "dates are day.month.year (the likeliest order; the dates allow another)"


def test_head_of_another_shape_is_text_that_somebody_pasted() -> None:
    lines = [
        "[17.9.2019, 16:37:47] Ann: look what he wrote:",
        "[1.9.19, 00:00:00] Bob: pasted",
        "2/11/19, 14:48 - Bob: pasted too",
        "[17.9.2019, 16:38:06] Bob: oh",
        "[18.09.2019, 06:38:06] Ann: hm",
    ]
    assert [bool(time) for time in clock(lines)] == [True, False, False, True, True]


def test_one_date_that_does_not_exist_spoils_nothing() -> None:
    lines = ["1/13/24, 9:00 - A: x", "1/14/24, 9:00 - A: x", "99/99/24, 9:00 - A: x", "1/15/24, 9:00 - A: x"]
    assert [time[:10] for time in clock(lines)] == ["2024-01-13", "2024-01-14", "", "2024-01-15"]


def test_dates_of_which_none_exists_have_no_reader() -> None:
    survey = DateSurvey()
    head = find_head("77/88/24, 9:00 - A: x")
    assert head is not None
    survey.add(head)
    assert survey.reader() is None
    assert DateSurvey().reader() is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "12:30 was too late",
        "2/11/19: arrival",
        "[note] 1/2/24",
        "1/2/24",
        "1/2/24, 9:00 Ann: hi there",
        "7",
    ],
)
def test_plain_line_has_no_head(line: str) -> None:
    head = find_head(line)
    assert head is None or head.shape.style == ":"  # the last but one: no export has mostly such lines


def test_other_calendars_only_shift_the_years() -> None:
    one, other = day_number("ymd", (1402, 2, 31)), day_number("ymd", (1402, 3, 1))  # 31 days in Ordibehesht
    assert one is not None
    assert other is not None
    assert abs(other - one) < 4
    assert day_number("dmy", (1, 3, 2567)) is not None
    assert day_number("dmy", (1, 13, 24)) is None

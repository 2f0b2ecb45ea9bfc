"""Lines typed before: what reaches the file, and what leaves it."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import BotError
from bot.typed_history import TypedHistory, forget_typed, said_by


def typed(path: Path) -> list[str]:
    """Return what the next session would find, oldest first."""
    return list(TypedHistory(path).load_history_strings())[::-1]


def test_a_line_reaches_the_file_only_when_it_may_be_kept(tmp_path: Path) -> None:
    history = TypedHistory(tmp_path / "history")
    history.append_string("off the record")
    history.append_string("on the record")
    history.keep("on the record")
    assert history.get_strings() == ["off the record", "on the record"]
    assert typed(tmp_path / "history") == ["on the record"]


def test_the_file_is_its_owners_alone_also_after_forgetting(tmp_path: Path) -> None:
    path = tmp_path / "home" / "history"
    for line in ("stays", "goes"):
        TypedHistory(path).keep(line)
    forget_typed(path, {"goes"})
    assert typed(path) == ["stays"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["history"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "hello"),
        ("//shrug", "/shrug"),
        ("/edit hello there", "hello there"),
        ("/teach  hello you", "hello you"),
        ('"""two\nlines"""', "two\nlines"),
        ("/search hello", "/search hello"),
    ],
)
def test_what_a_line_said_is_known_whatever_sent_it(tmp_path: Path, line: str, said: str) -> None:
    assert said_by(line) == said
    TypedHistory(tmp_path / "history").keep(line)
    forget_typed(tmp_path / "history", {said})
    assert typed(tmp_path / "history") == []


def test_lines_that_only_hold_what_is_forgotten_among_other_words_stay(tmp_path: Path) -> None:
    TypedHistory(tmp_path / "history").keep("hi there")
    forget_typed(tmp_path / "history", {"hi"})
    assert typed(tmp_path / "history") == ["hi there"]


def test_lines_typed_before_a_moment_go(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("\n# 2020-01-31 12:00:00.5\n+old\n+lines\n\n# no date\n+unknown\n")
    TypedHistory(path).keep("new")
    forget_typed(path, before=datetime.now(UTC) - timedelta(days=30))
    assert typed(path) == ["new"]
    forget_typed(path, before=datetime.now(UTC) + timedelta(seconds=1))
    assert typed(path) == []


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BotError, match=r"cannot be written \(Is a directory\); what is typed is not kept"):
        TypedHistory(tmp_path)
    forget_typed(tmp_path / "missing", {"nothing"})

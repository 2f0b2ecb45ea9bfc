from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seq2seq.errors import Seq2SeqError
from seq2seq.learning.gate import GateConfig, Measurements, judge
from seq2seq.learning.report import (
    BeforeAndAfter,
    RetrainingReport,
    remove_pages,
    to_html,
    write_report,
)

BEFORE = Measurements(2.0, 1.8, 0.01, 0.2, 0, 8.0, 0.0, 0.1, 9.0, 0, 0.5)
REPORT = RetrainingReport(
    command="backchat retrain --minutes 10",
    before="english",
    after="20260301-120000-learned-00aa",
    outcome="Refused: not promoted.",
    verdict=judge(BEFORE, replace(BEFORE, learned_bits=1.5, canaries=1), GateConfig()),
    counts={"exchanges": 1234, "people": 3},
    left_out={"quarantine": 17},
    samples=[BeforeAndAfter(["Tea?", "<b>No</b>", "Why not?"], "It wakes me.", "Yes.", "I prefer <i>rain</i>.")],
    settings={"minutes": "10"},
)


class Words(HTMLParser):
    """Collects the text of a page and the addresses that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.sources: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def read(page: str) -> Words:
    words = Words()
    words.feed(page)
    return words


def test_the_page_shows_the_gate_with_its_thresholds_and_both_replies() -> None:
    texts = read(to_html(REPORT)).texts
    for shown in ("1.9800", "at most 1.9800", "canaries drawn out", "refused", "passed", "1,234", "17"):
        assert any(shown in text for text in texts), shown
    for said in ("Tea?", "<b>No</b>", "It wakes me.", "Yes.", "I prefer <i>rain</i>.", "Refused: not promoted."):
        assert said in texts


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    picture.write_bytes(b"\x89PNG")
    sources = read(to_html(replace(REPORT, curves=picture))).sources
    assert sources == ["data:image/png;base64,iVBORw=="]


def test_a_picture_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert "Curves" not in to_html(replace(REPORT, curves=tmp_path / "none.png"))


def test_only_its_owner_can_read_the_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, REPORT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Seq2SeqError, match="cannot write the report"):
        write_report(tmp_path / "none" / "report.html", REPORT)


def test_pages_from_before_an_erasure_are_removed(tmp_path: Path) -> None:
    for run in ("20260301-120000-retrain", "20260303-120000-retrain", "notes"):
        (tmp_path / run).mkdir()
        write_report(tmp_path / run / "report.html", REPORT)
    erased = datetime(2026, 3, 2, tzinfo=UTC)
    removed = remove_pages(tmp_path, lambda moment: erased >= moment)
    assert [path.parent.name for path in removed] == ["20260301-120000-retrain"]
    assert {path.parent.name for path in tmp_path.glob("*/report.html")} == {"20260303-120000-retrain", "notes"}

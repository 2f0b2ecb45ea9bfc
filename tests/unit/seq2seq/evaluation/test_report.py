"""The page stands by itself, shows what the model said as it is, and names the command of every figure."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seq2seq.corpus import open_corpus
from seq2seq.errors import Seq2SeqError
from seq2seq.evaluation.charts import Interval, Series, bar_chart, column_chart, interval_chart
from seq2seq.evaluation.comparison import Difference, evaluate_all
from seq2seq.evaluation.evaluate import EvaluationConfig, Subject
from seq2seq.evaluation.page import write_page
from seq2seq.evaluation.probe_prompts import PROMPTS
from seq2seq.evaluation.probes import probe
from seq2seq.evaluation.report import Report, advantage, to_html, write_report
from seq2seq.evaluation.samples import Sample, reply_to_prompts
from seq2seq.evaluation.self_chat import SelfChat
from seq2seq.model_files import load_model_dir
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry
from tests.published import publish_tiny, write_corpus

COMMAND = "backchat evaluate tiny made.jsonl --report page.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("models")
    model_id, model, _ = publish_tiny(folder)
    directory = load_model_dir(Registry(folder).resolve(model_id))
    predictor = Predictor(directory)
    subject = Subject(predictor, predictor.decoding, model)
    greedy = Subject(predictor, predictor.decoding.with_changes(strategy="greedy"))
    corpus = open_corpus(str(write_corpus(folder / "made.jsonl")))
    config = EvaluationConfig(replies=6, timed_replies=1, contexts=10)
    nothing = lambda what, done, total: None  # noqa: E731
    return Report(
        COMMAND,
        directory,
        predictor.decoding,
        [evaluate_all(subject, [greedy], corpus, config, nothing)],
        [
            *reply_to_prompts(predictor, predictor.decoding, [("Hello!",)], 0),
            Sample(("<b>", "a & b", "?"), {"rank": "<script>alert(1)</script>", "greedy": ""}),
        ],
        probe(predictor, predictor.decoding, PROMPTS["en"], 1, 3, 0, nothing),
        SelfChat.of([["Hello!", "Hi.", "\ud800 Hello."]]),
    )


class Links(HTMLParser):
    """Collects what a browser would fetch, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetched += [tag] if tag in ("script", "link", "img", "iframe", "object") else []
        named = [str(value) for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.fetched += [value for value in named if not value.startswith("#")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_fetches_nothing_and_is_well_formed(report: Report) -> None:
    page = to_html(report)
    links = Links()
    links.feed(page)
    assert links.fetched == []
    assert links.open == []
    assert not re.search(r"https?:|url\(|@import", page)


def test_every_figure_and_table_names_the_command(report: Report) -> None:
    page = to_html(report)
    figures = page.split("<figure>")[1:]
    assert len(figures) > 8
    assert all(f"<code>{COMMAND}</code>" in figure for figure in figures)
    assert page.count("<table") == sum(figure.split("</figure>")[0].count("<table") for figure in figures)


def test_links_lead_to_sections_of_the_page(report: Report) -> None:
    page = to_html(report)
    links = re.findall(r'href="#(\w+)"', page)
    assert len(links) >= 6
    assert links == re.findall(r'<section id="(\w+)"', page)


def test_what_the_model_said_is_shown_as_it_is(report: Report) -> None:
    page = to_html(report)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<li>&lt;b&gt;</li><li class=bot>a &amp; b</li><li>?</li>" in page


def test_no_text_of_the_corpus_is_on_the_page(report: Report) -> None:
    page = to_html(report)
    for text in ("I prefer coffee.", "Hi! How are you?", "That was long!", "Stay dry."):
        assert text not in page


def test_the_model_and_its_licences_are_named(report: Report) -> None:
    page = to_html(report)
    assert report.model.model_id in page
    assert "made (CC0-1.0)" in page
    assert "Side by side" in page


def test_a_page_that_cannot_be_written_is_a_clear_error(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "page.html", report)
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(Seq2SeqError, match="cannot write the report"):
        write_report(tmp_path / "nowhere" / "page.html", report)


def test_a_page_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    write_page(path, "old")

    def fill_the_disk(self: Path, *_: object, **__: object) -> None:
        self.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    with pytest.raises(Seq2SeqError, match=r"cannot write the report \(No space left on device\)"):
        write_page(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert path.read_bytes() == b"old"


def test_a_bar_is_as_long_as_its_value() -> None:
    chart = bar_chart(["one", "two"], [Series("", [2.0, 1.0])], ".1f")
    assert re.findall(r"width:([\d.]+)%", chart) == ["100.0", "50.0"]
    assert "<b>2.0</b>" in chart


def test_a_mark_stands_on_the_scale_of_the_bars() -> None:
    chart = bar_chart(["one"], [Series("", [0.2])], ".0%", ("chance", 0.05))
    assert "left:25.0%" in chart
    assert "chance 5%" in chart


def test_a_missing_value_has_no_bar() -> None:
    assert bar_chart(["one", "two"], [Series("", [None, 1.0])]).count("<i ") == 1
    assert (
        column_chart(["one", "two"], [Series("a", [0.0, 0.5]), Series("b", [0.5, 0.5])]).count("height:100.0%") == 3
    )


def test_an_interval_stands_around_the_line_at_zero() -> None:
    chart = interval_chart(["one"], [("a", [Interval(-0.1, 0.1, 0.2)])], ".1%")
    assert "left:25.0%;width:75.0%" in chart
    assert "left:75.0%" in chart
    assert "<b>+10.0%</b>" in chart


def test_the_first_of_two_is_better_right_of_the_line() -> None:
    more, less = Difference(0.5, 0.3, -0.25, -0.125), Difference(0.25, 0.5, 0.125, 0.375)
    assert advantage("distinct_2", more) == Interval(0.125, 0.2, 0.25)
    assert advantage("loop_share", less) == Interval(0.125, 0.25, 0.375)
    assert advantage("nearest", None) is None

"""``backchat review``: what would be learned and why, and that the owner's decisions are kept and obeyed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.assembly import open_store
from bot.intake import judge_exchanges
from bot.review import Review, Selection
from bot.review_choice import Which
from bot.review_text import as_fragments, as_line
from bot.settings import Settings, load_settings
from scripts import review as command
from storage.errors import StorageError
from storage.store import ConversationStore
from tests.talk import ADA, BOB, say

EVE = "telegram:9"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[ConversationStore]:
    """The owner's talk, and a stranger's who waits."""
    opened = open_store(settings)
    say(opened, "Is the kettle on?", "It sings.", "Then two cups for us.")
    say(opened, "hello there", "hi", "The bus was late again today.", conversation="bob/1", person=BOB)
    for person in (ADA, BOB):
        opened.people.set_consent(person, True)
    yield opened
    opened.close()


@pytest.fixture
def opened(store: ConversationStore, settings: Settings) -> Callable[..., Review]:
    def open_review(*arguments: object, **options: object) -> Review:
        return Review(store, lambda: judge_exchanges(store, settings), *arguments, **options)  # type: ignore[arg-type]

    return open_review


def run(*arguments: str) -> Result:
    result: Result = CliRunner().invoke(command.app, arguments)  # type: ignore[assignment]
    return result


def shown(review: Review) -> list[tuple[str, bool]]:
    return [(judged.exchange.response, judged.is_in) for judged in review.shown]


def test_the_owner_is_in_and_a_stranger_waits(opened: Callable[..., Review]) -> None:
    review = opened()
    assert shown(review) == [("Then two cups for us.", True), ("The bus was late again today.", False)]
    assert (review.tally.exchanges, review.tally.is_in, review.tally.waiting) == (2, 1, 1)
    assert shown(opened(Selection(Which.WAITING))) == [("The bus was late again today.", False)]
    assert shown(opened(Selection(Which.IN))) == [("Then two cups for us.", True)]
    assert shown(opened(Selection(person=BOB))) == [("The bus was late again today.", False)]
    assert shown(opened(Selection(words="KETTLE cups"))) == [("Then two cups for us.", True)]


def test_an_accepted_stranger_is_in_and_a_rejected_owner_is_out(
    opened: Callable[..., Review], store: ConversationStore
) -> None:
    review = opened()
    review.decide(False)
    review.go(1)
    review.decide(True)
    assert shown(review) == [("Then two cups for us.", False), ("The bus was late again today.", True)]
    again = opened()
    assert shown(again) == shown(review)
    assert again.tally == review.tally
    again.undecide()
    assert shown(again)[0] == ("Then two cups for us.", True)
    assert len(store.decisions.all()) == 1


def test_a_changed_response_is_learned_as_changed(opened: Callable[..., Review]) -> None:
    review = opened()
    review.decide(True, "Then three cups, please.")
    assert review.current is not None
    assert review.current.learned.response == "Then three cups, please."
    assert review.current.exchange.response == "Then two cups for us."
    assert "> Then three cups, please.\n" in [text for _, text in as_fragments(review.current)]
    review.decide(True, "Call me: +1 650 253 0000")
    assert review.current.is_in is False
    assert "a phone number" in review.current.reason


def test_personal_data_stays_out_though_it_is_accepted(
    opened: Callable[..., Review], store: ConversationStore
) -> None:
    say(store, "where to?", "hm", "Write to kim@example.org now.", conversation="ada/2")
    review = opened(Selection(words="kim"))
    review.decide(True)
    assert review.current is not None
    assert review.current.is_in is False
    assert opened(Selection(words="kim")).shown == review.shown


def test_a_trusted_persons_exchanges_are_in_and_a_blocked_ones_are_out(opened: Callable[..., Review]) -> None:
    review = opened(Selection(person=BOB))
    review.set_standing(True)
    assert shown(review) == [("The bus was late again today.", True)]
    review.set_standing(False)
    assert shown(review) == [("The bus was late again today.", False)]
    assert review.tally.waiting == 0
    review.set_standing(None)
    assert review.tally.waiting == 1


def test_what_is_decided_leaves_the_list_of_what_waits_and_the_next_one_comes(
    opened: Callable[..., Review], store: ConversationStore
) -> None:
    say(store, "and now?", "hm", "Now it rains.", conversation="bob/2", person=BOB)
    review = opened(Selection(Which.WAITING))
    review.decide(True)
    assert review.current is not None
    assert review.current.exchange.response == "Now it rains."
    review.decide(False)
    assert review.shown == []
    assert review.place == 0
    review.decide(True)
    review.go(1)
    assert review.place == 0


def test_more_than_the_limit_are_counted_and_not_shown(opened: Callable[..., Review]) -> None:
    review = opened(limit=1)
    assert (len(review.shown), review.left_out, review.tally.exchanges) == (1, 1, 2)


def test_a_list_for_a_pipe_has_a_line_for_each(store: ConversationStore) -> None:
    first, second = run().stdout.splitlines()
    assert first.split("\t")[1:3] == [ADA, "It sings. -> Then two cups for us."]
    assert first.split("\t")[3].startswith("IN: ")
    assert second.split("\t")[3].startswith(f"OUT: {BOB} is new")
    facts = json.loads(run("--json", "--person", BOB).stdout)
    assert (facts["response"], facts["is_in"], facts["learned"]) == ("The bus was late again today.", False, None)
    assert run("--people").stdout.splitlines() == [f"{BOB}\t1 exchanges\t0 in", f"{ADA}\t1 exchanges\t1 in"]


def test_decisions_by_flags_are_those_of_the_screen(store: ConversationStore) -> None:
    turn = json.loads(run("--json", "--person", BOB).stdout)["turn"]
    assert run("--accept", str(turn)).exit_code == 0
    assert json.loads(run("--json", "--person", BOB).stdout)["is_in"] is True
    run("--reject", str(turn))
    assert json.loads(run("--json", "--person", BOB).stdout)["reason"] == "you rejected it"
    run("--undo", str(turn))
    run("--block", BOB)
    assert json.loads(run("--json", "--person", BOB).stdout)["reason"] == f"you block {BOB}"
    run("--neither", BOB)
    run("--trust", BOB)
    assert run("--only", "out").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--accept", "999"), "turn 999: nothing of it may be learned"),
        (("--trust", EVE), f"nobody is called '{EVE}'"),
    ],
)
def test_what_is_not_there_is_said(store: ConversationStore, arguments: tuple[str, ...], advice: str) -> None:
    error = run(*arguments).exception
    assert isinstance(error, StorageError)
    assert advice in str(error)


def test_the_page_is_the_owners_alone_and_escapes_what_people_said(store: ConversationStore, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> &amp; \x1b[31mred"
    say(store, hostile, "hm", f"{hostile} again", conversation="ada/2")
    page = tmp_path / "review.html"
    assert run("--html", str(page)).exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp; red again" in html
    assert "\x1b" not in html
    assert "http" not in html.replace("https://", "")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_nothing_that_people_said_commands_a_terminal(
    opened: Callable[..., Review], store: ConversationStore
) -> None:
    say(store, "a", "b", "one\x1b]0;owned\x07\ttwo\nthree \u202eevil", conversation="ada/2")
    judged = opened(Selection(words="three")).shown[0]
    assert as_line(judged).count("\t") == 3
    for text in (as_line(judged), *(text for _, text in as_fragments(judged))):
        assert not set(text) & set("\x1b\x07\u202e")


def test_a_turn_that_would_fill_the_screen_is_cut_there_and_nowhere_else(
    opened: Callable[..., Review], store: ConversationStore
) -> None:
    say(store, "a", "b", "word " * 200, conversation="ada/2")
    judged = opened(Selection(words="word")).shown[0]
    assert any("(400 more characters)" in text for _, text in as_fragments(judged))
    assert judged.exchange.response == "word " * 200


def test_an_erased_turn_takes_its_decision_along_and_the_review_says_so(
    opened: Callable[..., Review], store: ConversationStore
) -> None:
    review = opened(Selection(person=BOB))
    review.decide(True)
    store.delete_person(BOB)
    assert store.decisions.all() == {}
    with pytest.raises(StorageError, match="is gone"):
        review.decide(False)

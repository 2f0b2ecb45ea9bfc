"""``backchat review``: what would be learned from conversations, and the owner's word on it."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.review_choice import Which
from scripts.logs import write_export

if TYPE_CHECKING:
    from bot.intake import Judged
    from bot.review import Review
    from storage.store import ConversationStore

app = typer.Typer()
_Person = Annotated[list[str] | None, typer.Option(metavar="USER", help="terminal:ada, telegram:123.")]
_Turn = Annotated[list[int] | None, typer.Option(metavar="TURN", min=1)]


@app.command()
def review(
    only: Annotated[Which, typer.Option(help="all, waiting (out, and not decided), in or out.")] = Which.ALL,
    person: Annotated[
        str | None, typer.Option(metavar="USER", help="Of this person: terminal:ada, telegram:123.")
    ] = None,
    search: Annotated[str, typer.Option(metavar="WORDS", help="With all of these words in it.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many to show; all are counted.")] = 5000,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page, for your eyes only.")] = None,
    people: Annotated[bool, typer.Option("--people", help="List who it is of.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    accept: _Turn = None,
    reject: _Turn = None,
    undo: _Turn = None,
    trust: _Person = None,
    block: _Person = None,
    neither: _Person = None,
) -> None:
    """Look through what would be learned, and decide: in a terminal key by key, in a pipe as a list."""
    from bot.assembly import open_store
    from bot.intake import judge_exchanges
    from bot.review import Review, Selection
    from bot.settings import load_settings

    settings = load_settings()
    with closing(open_store(settings)) as store:
        for standing, users in ((True, trust), (False, block), (None, neither)):
            for user in users or ():
                store.decisions.set_standing(user, standing)
        for is_accepted, turns in ((True, accept), (False, reject), (None, undo)):
            _decide(store, turns or [], is_accepted)
        if any((accept, reject, undo, trust, block, neither)):
            return
        found = Review(store, lambda: judge_exchanges(store, settings), Selection(only, person, search), limit)
        if html is not None:
            from bot.review_page import review_page

            write_export(iter([review_page(found)]), html)
        elif people:
            _print_people(found)
        elif as_json:
            for judged in found.shown:
                print(json.dumps(_facts(judged), ensure_ascii=False))
        elif sys.stdin.isatty() and sys.stdout.isatty():
            from bot.review_screen import ReviewScreen

            ReviewScreen(found).run()
            print(found.tally.as_text())
        else:
            _print_list(found)


def _decide(store: ConversationStore, turns: list[int], is_accepted: bool | None) -> None:
    """Decide about all that may be learned of some turns.

    Raises:
        StorageError: nothing may be learned of a turn.
    """
    from storage.errors import StorageError

    left = set(turns)
    for exchange in store.exchanges() if left else ():
        if exchange.turn_id in turns:
            left.discard(exchange.turn_id)
            if is_accepted is None:
                store.decisions.undecide(exchange)
            else:
                store.decisions.decide(exchange, is_accepted)
    if left:
        raise StorageError(f"turn {min(left)}: nothing of it may be learned; `backchat review --json` lists what may")


def _print_people(found: Review) -> None:
    from bot.screen import clean_line

    for user, seen in sorted(found.tally.people.items(), key=lambda item: (-item[1].exchanges, item[0])):
        print(f"{clean_line(user)}\t{seen.exchanges} exchanges\t{seen.is_in} in")


def _print_list(found: Review) -> None:
    from bot.review_text import as_line

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    for judged in found.shown:
        print(as_line(judged))
    print(found.tally.as_text(), file=sys.stderr)
    if found.left_out:
        print(f"{found.left_out:,} more are not shown; narrow them down, or raise --limit", file=sys.stderr)


def _facts(judged: Judged) -> dict[str, object]:
    exchange = judged.exchange
    return {
        "turn": exchange.turn_id,
        "conversation": exchange.conversation,
        "person": exchange.person,
        "origin": exchange.origin,
        "is_rejected": exchange.is_rejected,
        "context": exchange.context,
        "response": exchange.response,
        "learned": judged.learned.response if judged.is_in else None,
        "is_in": judged.is_in,
        "reason": judged.reason,
        "is_reviewed": judged.is_reviewed,
        "found": dict(judged.found),
    }

"""``backchat logs``: what was said."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from storage.records import Feedback, Turn
    from storage.store import ConversationStore

app = typer.Typer()

_Person = Annotated[
    str | None, typer.Option("--person", metavar="USER", help="Of this person: terminal:ada, telegram:123.")
]
_Conversation = Annotated[str | None, typer.Option("--conversation", metavar="ID", help="This conversation.")]
_Limit = Annotated[int, typer.Option("--limit", min=1, help="How many at most.")]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_LARGEST_ID = 2**63 - 1  # that a database holds
_UNBOUNDED = 100_000  # columns: what is piped on is not folded to the width of a terminal


class Form(StrEnum):
    """What an export is written as."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "md"


@app.command("list")
def list_conversations(person: _Person = None, limit: _Limit = 20, as_json: _AsJson = False) -> None:
    """Show conversations, the one talked in last first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bot.screen import clean_line

    with _memory() as store:
        found = store.conversations(person, limit)
    if as_json:
        for talk in found:
            _print_json(
                conversation=talk.key, title=talk.title, person=talk.person, turns=talk.turns,
                created=talk.created.isoformat(), updated=talk.updated.isoformat(),
            )  # fmt: skip
        return
    table = Table("conversation", "title", "person", "turns", "last", box=box.SIMPLE_HEAD, pad_edge=False)
    for talk in found:
        names = (Text(clean_line(name), overflow="fold") for name in (talk.key, talk.title or "", talk.person))
        table.add_row(*names, str(talk.turns), _moment(talk.updated))
    _console().print(table if found else "Nothing is recorded.")


@app.command()
def show(
    which: Annotated[str, typer.Argument(metavar="ID", help="A conversation, its title, or the number of a turn.")],
    why: Annotated[bool, typer.Option("--why", help="How each reply came to be.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Show a conversation with all its branches, or one turn."""
    from storage.errors import StorageError
    from storage.exports import turn_facts
    from storage.records import Feedback

    with _memory() as store:
        found = store.find_conversation(which)
        turn = store.turn(int(which)) if found is None and _is_turn_id(which) else None
        if found is not None:
            turns = store.turns(found.key)
            branch = {turn.id for turn in store.recent_turns(found.key, len(turns))}
        elif turn is not None:
            turns, branch = [turn], {turn.id}
        else:
            raise StorageError(f"no conversation and no turn is called {which!r}; `backchat logs list` shows them")
        feedback = store.feedback(turns[0].conversation) if turns else {}
        reasons = _reasons(store, turns) if why and not as_json else {}
    nothing = Feedback()
    if as_json:
        for turn in turns:
            facts = turn_facts(turn, feedback.get(turn.id, nothing))
            _print_json(**facts, conversation=turn.conversation, is_in_branch=turn.id in branch)
        return
    console = _console()
    if found is not None and found.title:
        _print(console, found.title, style="bold")
    for turn in turns:
        _print_turn(console, turn, feedback.get(turn.id, nothing), is_in_branch=turn.id in branch)
        if turn.id in reasons:
            _print(console, reasons[turn.id], style="dim")


@app.command()
def replay(
    turn_id: Annotated[
        int, typer.Argument(metavar="ID", min=1, max=_LARGEST_ID, help="The number of a reply's turn.")
    ],
) -> None:
    """Make a reply again from its seed, settings, context and model."""
    from bot.assembly import open_persona, open_registry
    from bot.replay import Replayer
    from bot.screen import clean_line
    from bot.settings import load_settings
    from storage.errors import StorageError

    settings = load_settings()
    with _memory() as store:
        turn = store.turn(turn_id)
        if turn is None:
            raise StorageError(f"no turn is called {turn_id}; `backchat logs show CONVERSATION` shows them")
        reply = Replayer(store, open_registry(settings), open_persona(settings)).replay(turn)
    print(clean_line(reply.text))
    if reply.text != turn.text:
        print(f"What was said then is another text: {clean_line(turn.text)}", file=sys.stderr)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="All must occur; word* finds beginnings.")],
    person: _Person = None,
    limit: _Limit = 20,
    as_json: _AsJson = False,
) -> None:
    """Find what was said, newest first."""
    from storage.exports import turn_facts
    from storage.records import Feedback

    with _memory() as store:
        found = store.search(" ".join(words), person, limit)
    if as_json:
        for turn in found:
            _print_json(**turn_facts(turn), conversation=turn.conversation)
        return
    console = _console()
    for turn in found:
        _print(console, f"{turn.conversation}  {_moment(turn.created)}", style="dim")
        _print_turn(console, turn, Feedback(), is_in_branch=True)
    if not found:
        print("Nothing was found.", file=sys.stderr)


@app.command()
def export(
    person: _Person = None,
    conversation: _Conversation = None,
    form: Annotated[Form, typer.Option("--format", help="jsonl is the corpus format, to train on.")] = Form.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write this file, for your eyes only.")
    ] = None,
) -> None:
    """Write conversations to standard output or a file."""
    with _memory() as store:
        write_export(store.export(form.value, person=person, conversation=conversation), output)


@app.command()
def delete(
    turn: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", min=1, max=_LARGEST_ID, help="This turn and its replies; what followed stays."
        ),
    ] = None,
    conversation: _Conversation = None,
    person: _Person = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Said before then: 90d, 12h, or a date such as 2026-01-31.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what was said: one turn, a conversation, all of a person, or all that is old."""
    chosen = [
        what
        for what, value in (
            (f"turn {turn}", turn),
            (f"conversation {conversation}", conversation),
            (f"all turns of {person}", person),
            (f"all turns older than {older_than}", older_than),
        )
        if value is not None
    ]
    if len(chosen) != 1:
        raise typer.BadParameter("name one of --turn, --conversation, --person and --older-than")
    before = _moment_of(older_than) if older_than is not None else None
    if not yes:
        typer.confirm(f"Erase {chosen[0]} for good?", abort=True, err=True)
    with _memory() as store:
        if turn is not None:
            said = store.turn(turn)
            erased: int | None = store.delete_turn(turn) or None
            forget_typed_lines([said.text] if said is not None else [])
        elif conversation is not None:
            turns = store.turns(conversation)
            erased = len(turns) if store.delete_conversation(conversation) else None
            forget_typed_lines(turn.text for turn in turns)
        elif person is not None:
            is_here = is_at_this_terminal(store, person)
            erased = store.delete_person(person)
            forget_typed_lines(before=datetime.now(UTC) if is_here else None)
        else:
            assert before is not None
            erased = store.delete_older_than(before)
            forget_typed_lines(before=before)
        report_erased(store, chosen[0], erased)


def is_at_this_terminal(store: ConversationStore, person: str) -> bool:
    """Tell whether a person is the one whose typed lines the home keeps."""
    from bot.assembly import terminal_person

    return terminal_person() in store.people.identities(person)


def forget_typed_lines(texts: Iterable[str] = (), *, before: datetime | None = None) -> None:
    """Take what was erased out of the lines typed in the terminal chat, too."""
    from bot.settings import load_settings
    from bot.typed_history import forget_typed

    forget_typed(load_settings().history_file, set(texts), before=before)


def report_erased(store: ConversationStore, what: str, turns: int | None) -> None:
    """Say what was erased, and whether another program was in the way of the last of it.

    Reports of retrainings go with it: what was erased may stand on them.

    Raises:
        StorageError: there was nothing of that name.
    """
    from bot.settings import load_settings
    from seq2seq.learning.report import remove_pages
    from storage.errors import StorageError

    if turns is None:
        raise StorageError(f"{what}: nothing to erase; `backchat logs list` shows what there is")
    remove_pages(load_settings().runs_dir, lambda moment: bool(store.provenance.erased_turn_ids(moment)))
    print(f"Erased {turns:,} {'turn' if turns == 1 else 'turns'}.")
    if store.has_traces():
        print(
            "Another program is reading; what is left in the file's unused parts goes when Backchat is next started.",
            file=sys.stderr,
        )


def write_export(pieces: Iterable[str], output: Path | None) -> None:
    """Write an export to a file that only its owner may read, whole or not at all, or to standard output.

    Raises:
        StorageError: the file cannot be written.
    """
    from bot.screen import clean
    from storage.errors import StorageError

    if output is None:
        shows = sys.stdout.isatty()
        for piece in pieces:
            sys.stdout.buffer.write((clean(piece) if shows else piece).encode("utf-8", "replace"))
        sys.stdout.flush()
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            for piece in pieces:
                out.write(piece.encode("utf-8", "replace"))
            out.flush()
            os.fsync(out.fileno())
        part.replace(output)
    except OSError as error:
        raise StorageError(f"{output}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


def _print_turn(console: Console, turn: Turn, feedback: Feedback, *, is_in_branch: bool) -> None:
    imported = turn.person.partition("/")[2] if turn.person.startswith("import:") else ""
    who = "bot" if turn.speaker == "bot" else imported or "you"
    marks = "".join(" +1" if value > 0 else " -1" for value in feedback.ratings.values())
    marks += " cut off" if turn.reply is not None and turn.reply.is_cut else ""
    marks += "" if is_in_branch else f" (another branch, behind {turn.parent_id or 'the beginning'})"
    style = ("green" if turn.speaker == "bot" else "cyan") if is_in_branch else "dim"
    _print(console, f"{turn.id} {who}{marks}", style=style, end="  ")
    _print(console, turn.text)
    for lesson in feedback.taught.values():
        _print(console, f"    should be answered: {lesson}", style="yellow")


def _reasons(store: ConversationStore, turns: Iterable[Turn]) -> dict[int, str]:
    """Return how each of the bot's turns came to be, by its id."""
    from bot.assembly import open_persona, open_registry
    from bot.replay import Replayer
    from bot.settings import load_settings

    settings = load_settings()
    replayer = Replayer(store, open_registry(settings), open_persona(settings))
    return {turn.id: replayer.explain(turn) for turn in turns if turn.reply is not None}


def _print(console: Console, text: str, *, style: str = "", end: str = "\n") -> None:
    """Print what people and models wrote: never as markup, and without what a terminal would obey."""
    from rich.text import Text

    from bot.screen import clean

    console.print(Text(clean(text), style=style), end=end, soft_wrap=True)


def _print_json(**facts: object) -> None:
    print(json.dumps(facts, ensure_ascii=sys.stdout.isatty()))  # nothing for a terminal to obey


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED)


def _is_turn_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < len(str(_LARGEST_ID))


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _moment_of(age: str) -> datetime:
    """Return the moment that is an age ago, or at which a date begins here."""
    match = re.fullmatch(r"(\d{1,5})\s*([hdwy])", age.strip())
    if match:
        hours = {"h": 1, "d": 24, "w": 24 * 7, "y": 24 * 365}[match[2]]
    try:
        if match:
            return datetime.now(UTC) - timedelta(hours=int(match[1]) * hours)
        return datetime.fromisoformat(age.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{age!r} is no age; write 12h, 90d, 8w or 2y, or a date such as 2026-01-31", param_hint="--older-than"
        ) from None


@contextmanager
def _memory() -> Iterator[ConversationStore]:
    from bot.assembly import open_store
    from bot.settings import load_settings

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    with closing(open_store(load_settings())) as store:
        yield store

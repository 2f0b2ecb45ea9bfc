"""What a person can command with a slash: one table, served by every frontend.

A command is given the talk and its arguments, and returns what to say about it. What only a screen can do (ending,
copying) is told by the outcome.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

from bot.dialogue import Answer
from bot.errors import BotError
from bot.screen import clean_line
from bot.talk import Talk
from bot.why import describe
from seq2seq.config import STRATEGIES, STYLES, DecodingConfig
from seq2seq.registry import RegistryEntry
from storage.records import Turn

Frontend = Literal["terminal", "telegram"]
_BOTH: tuple[Frontend, ...] = ("terminal", "telegram")
_TERMINAL: tuple[Frontend, ...] = ("terminal",)
_KINDS = get_type_hints(DecodingConfig)
_MEANT = {"": "help", "?": "help", "h": "help", "bye": "quit", "exit": "quit", "q": "quit"}  # as other programs say
_KEYS = """
Alt-Enter begins another line. Ctrl-C stops a reply, Ctrl-D leaves.
Tab completes a command and its values.
A message that begins with a slash is sent with //."""
_MOST_DIGITS = 18  # of a number, so that databases take it


@dataclass(frozen=True)
class Outcome:
    """What a command came to.

    Attributes:
        text: what is said about it.
        answer: a reply that it made.
        draft: what the person shall be given to change and send.
        choices: what could be said instead, what is said now first; the text lists them too.
        copied: what the clipboard shall hold.
        forgotten: what the person had said of what was erased.
        ends: whether the frontend shall end.
    """

    text: str = ""
    answer: Answer | None = None
    draft: str | None = None
    choices: tuple[str, ...] = ()
    copied: str | None = None
    forgotten: tuple[str, ...] = ()
    ends: bool = False


@dataclass(frozen=True)
class Command:
    """One command: ``/name arguments``, a line of help, what runs, and what its argument can be."""

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Outcome]
    frontends: tuple[Frontend, ...] = _BOTH
    values: Callable[[Talk], Iterable[str]] = lambda talk: ()


def is_command(line: str) -> bool:
    """Tell a command from a message; a message that begins with a slash is sent with two."""
    return line.startswith("/") and not line.startswith("//")


def run_command(talk: Talk, line: str, frontend: Frontend = "terminal") -> Outcome:
    """Run a line that begins with a slash; an unknown command offers the nearest."""
    name, _, arguments = line.removeprefix("/").partition(" ")
    served = {c.name: c for c in COMMANDS.values() if frontend in c.frontends}
    command = served.get(name.lower())
    if command is None:
        near = _MEANT.get(name.lower()) or _nearest(name.lower(), served)
        hint = talk.text("did_you_mean", near=f"/{near}") if near in served else talk.text("help_shows_all")
        return Outcome(talk.text("no_command", command=clean_line(name), hint=hint))
    return command.run(talk, arguments.strip())


def _nearest(typed: str, known: Iterable[str]) -> str | None:
    """Return the only name that begins as ``typed``, else the one that is spelled most like it, if any is."""
    begun = [name for name in known if name.startswith(typed)]
    near = begun if len(begun) == 1 else difflib.get_close_matches(typed, known, n=1)
    return near[0] if near else None


def help_text(frontend: Frontend) -> str:
    """Return one line a command."""
    rows = [(f"/{c.name} {c.arguments}".strip(), c.help) for c in COMMANDS.values() if frontend in c.frontends]
    width = max(len(usage) for usage, _ in rows)
    return "\n".join(f"{usage:<{width}}  {text}" for usage, text in rows)


def _help(talk: Talk, arguments: str) -> Outcome:
    return Outcome(help_text("terminal") + "\n" + _KEYS)


def _new(talk: Talk, arguments: str) -> Outcome:
    talk.start_over()
    return Outcome(talk.text("new_conversation"))


def _retry(talk: Talk, arguments: str) -> Outcome:
    return Outcome(answer=talk.retry())


def _undo(talk: Talk, arguments: str) -> Outcome:
    undone = talk.undo(_number(talk, arguments, "/undo", default=1))
    if not undone:
        return Outcome(talk.text("nothing_to_undo"))
    return Outcome(talk.text("taken_back", texts=" | ".join(_short(turn.text) for turn in undone)))


def _edit(talk: Talk, arguments: str) -> Outcome:
    if arguments:
        return Outcome(answer=talk.edit(arguments))
    said = [turn.text for turn in talk.history(2) if turn.speaker == "person"]
    if not said:
        raise BotError(talk.text("no_message_yet"))
    return Outcome(draft=f"/edit {clean_line(said[-1])}")


def _alternatives(talk: Talk, arguments: str) -> Outcome:
    if arguments:
        chosen = talk.choose(_number(talk, arguments, "/alternatives"))
        return Outcome(talk.text("said_instead", text=clean_line(chosen)))
    texts = talk.alternatives()
    lines = [f"{number:>3}{'*' if number == 1 else ' '} {clean_line(text)}" for number, text in enumerate(texts, 1)]
    text = "\n".join([*lines, talk.text("alternatives_hint")])
    return Outcome(text, choices=tuple(texts) if len(texts) > 1 else ())


def _good(talk: Talk, arguments: str) -> Outcome:
    return Outcome(talk.text("good", text=_short(talk.rate(1).text)))


def _bad(talk: Talk, arguments: str) -> Outcome:
    return Outcome(talk.text("bad", text=_short(talk.rate(-1).text)))


def _teach(talk: Talk, arguments: str) -> Outcome:
    if not arguments:
        raise BotError(talk.text("teach_what"))
    talk.teach(arguments)
    return Outcome(talk.text("taught"))


def _why(talk: Talk, arguments: str) -> Outcome:
    turn, explanation = talk.explain()
    assert turn.reply is not None
    return Outcome(describe(turn.text, turn.reply, explanation))


def _set(talk: Talk, arguments: str) -> Outcome:
    name, _, value = arguments.replace("=", " ").partition(" ")
    name = name.strip().replace("-", "_")
    if not name:
        return _show(talk, "")
    if name not in _KINDS:
        near = _nearest(name, _KINDS)
        hint = talk.text("did_you_mean", near=near) if near else talk.text("show_lists_all")
        raise BotError(talk.text("no_setting", setting=repr(name), hint=hint))
    if not value.strip():
        return Outcome(f"{name} = {_value(talk, name)}")
    if value.strip() == "default":
        talk.decoding.pop(name, None)
    else:
        changed = {**talk.decoding, name: _parsed(talk, name, value.strip())}
        talk.engine.decoding.with_changes(**changed)  # refuses what is out of range, and says the range
        talk.decoding = changed
    return Outcome(f"{name} = {_value(talk, name)}")


def _show(talk: Talk, arguments: str) -> Outcome:
    rows = [
        f"{field.name:<24} {_value(talk, field.name)}{' *' if field.name in talk.decoding else ''}"
        for field in fields(DecodingConfig)
    ]
    seed = talk.text("seed_each_time") if talk.seed is None else talk.seed
    return Outcome("\n".join([*rows, f"{'seed':<24} {seed}", talk.text("changed_with_set")]))


def _value(talk: Talk, name: str) -> str:
    """Return a setting as ``/set`` takes it."""
    value = getattr(talk.settings, name)
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value)


def _model(talk: Talk, arguments: str) -> Outcome:
    if arguments:
        return Outcome(f"{talk.slot.switch(arguments).model_id} speaks from now on.")
    ids = [entry.model_id for entry in talk.slot.models()]
    lines = [f"{'*' if model_id == talk.engine.model_id else ' '} {model_id}" for model_id in ids]
    return Outcome("\n".join([*lines, f"{talk.engine.model_id} speaks. /model ID lets another one speak."]))


def _seed(talk: Talk, arguments: str) -> Outcome:
    if arguments in ("random", "default"):
        talk.seed = None
    elif arguments:
        talk.seed = _number(talk, arguments, "/seed", least=0)
    return Outcome(talk.text("seed_free") if talk.seed is None else talk.text("seed_fixed", seed=talk.seed))


def _stats(talk: Talk, arguments: str) -> Outcome:
    replies = [turn.reply for turn in talk.history(1000) if turn.reply is not None]
    lines = [f"model {talk.engine.model_id}, {'recorded' if talk.is_recorded else 'off the record'}"]
    if replies:
        latencies = sorted(reply.latency_ms for reply in replies)
        seconds = sum(latencies) / 1000
        tokens = sum(reply.tokens for reply in replies)
        lines.append(
            f"replies here: {len(replies)}, {tokens / len(replies):.1f} tokens each, "
            f"median {latencies[len(latencies) // 2]:.0f} ms, {tokens / max(seconds, 1e-9):.0f} tokens/s"
        )
    counts = talk.counts()
    lines.append(f"in the memory: turns {counts.turns:,}, conversations {counts.conversations:,}")
    return Outcome("\n".join(lines))


def _history(talk: Talk, arguments: str) -> Outcome:
    turns = talk.history(2 * _number(talk, arguments, "/history", default=10))
    return Outcome("\n".join(_line(talk, turn) for turn in turns) or talk.text("nothing_said"))


def _search(talk: Talk, arguments: str) -> Outcome:
    if not arguments:
        raise BotError(talk.text("search_what"))
    turns = talk.search(arguments, 20)
    lines = [f"{turn.created:%Y-%m-%d} {clean_line(turn.conversation)}: {_line(talk, turn)}" for turn in turns]
    return Outcome("\n".join(lines) or talk.text("nothing_found"))


def _save(talk: Talk, arguments: str) -> Outcome:
    if not talk.history(1):
        raise BotError("there is nothing to save yet; say something first")
    path = Path(arguments or f"{talk.conversation}.jsonl").expanduser()
    return Outcome(f"{talk.save(path)} turns are in {path}")


def _load(talk: Talk, arguments: str) -> Outcome:
    if not arguments:
        raise BotError("/load FILE.jsonl: name the file")
    return Outcome(f"Loaded {talk.load(Path(arguments).expanduser())} turns into a new conversation.")


def _continue(talk: Talk, arguments: str) -> Outcome:
    found = talk.go_to(arguments or None)
    last = [_line(talk, turn) for turn in talk.history(4)]
    where = talk.text("continued", title=clean_line(found.title or found.key), turns=found.turns)
    return Outcome("\n".join([where, *last]))


def _rename(talk: Talk, arguments: str) -> Outcome:
    if not arguments:
        raise BotError(talk.text("rename_what"))
    if not talk.store.rename(talk.conversation, arguments):
        raise BotError(talk.text("nothing_to_name"))
    return Outcome(talk.text("renamed", title=clean_line(arguments)))


def _record(talk: Talk, arguments: str) -> Outcome:
    if arguments not in ("on", "off"):
        return Outcome(f"Recording is {'on' if talk.is_recorded else 'off'}. /record on, /record off change it.")
    talk.record(arguments == "on")
    return Outcome("Recorded from now on." if talk.is_recorded else "Off the record: nothing reaches the disk.")


def _forget(talk: Talk, arguments: str) -> Outcome:
    if arguments != "yes":
        return Outcome("This erases the whole conversation for good. /forget yes does it.")
    return Outcome("Forgotten.", forgotten=tuple(talk.forget()))


def _consent(talk: Talk, arguments: str) -> Outcome:
    if arguments in ("on", "off"):
        talk.store.people.set_consent(talk.person, arguments == "on")
    may = talk.store.people.has_consent(talk.person)
    return Outcome(f"What you say {'may' if may else 'may not'} be learned. /consent on, /consent off change it.")


def _link(talk: Talk, arguments: str) -> Outcome:
    if not arguments:
        code = talk.store.people.new_link_code(talk.person)
        return Outcome(
            f"Send /link {code} to the bot on Telegram within 15 minutes, and you are one person there and here."
        )
    talk.store.people.link(arguments, talk.person)
    return Outcome("Linked: you are one person there and here from now on.")


def _copy(talk: Talk, arguments: str) -> Outcome:
    text = clean_line(talk.last_reply().text)
    return Outcome(f"Copied: {_short(text)}", copied=text)


def _quit(talk: Talk, arguments: str) -> Outcome:
    return Outcome(ends=True)


def _on_off(talk: Talk) -> Iterable[str]:
    return ("on", "off")


def _settings_and_values(talk: Talk) -> Iterable[str]:
    return [*_KINDS, *(f"strategy {strategy}" for strategy in STRATEGIES), *(f"style {style}" for style in STYLES)]


def _model_ids(talk: Talk) -> Iterable[str]:
    entries: list[RegistryEntry] = talk.slot.models()
    return [entry.model_id for entry in entries]


def _conversation_names(talk: Talk) -> Iterable[str]:
    return [c.title or c.key for c in talk.store.conversations(talk.person, 20, in_private=True)]


def _parsed(talk: Talk, name: str, value: str) -> Any:
    kind = _KINDS[name]
    try:
        if kind in (int, float):
            return kind(value)
    except ValueError:
        wrong = talk.text("takes_whole_number" if kind is int else "takes_number", setting=name, value=repr(value))
        raise BotError(wrong) from None
    if kind == tuple[str, ...]:
        return () if value == "none" else tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _number(talk: Talk, text: str, command: str, default: int | None = None, least: int = 1) -> int:
    if not text and default is not None:
        return default
    if len(text) > _MOST_DIGITS:
        raise BotError(talk.text("takes_fewer_digits", command=command, most=_MOST_DIGITS))
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise BotError(talk.text("takes_at_least", command=command, least=least, value=repr(text)))
    return int(text)


def _line(talk: Talk, turn: Turn) -> str:
    return f"{talk.text('you' if turn.speaker == 'person' else 'bot')}: {clean_line(turn.text)}"


def _short(text: str, length: int = 60) -> str:
    line = clean_line(text)
    return line if len(line) <= length else line[: length - 1] + "…"


COMMANDS = {
    command.name: command
    for command in (
        Command("help", "", "List the commands.", _help),
        Command("new", "", "Begin a new conversation.", _new),
        Command("retry", "", "Answer the last message again.", _retry),
        Command("undo", "[N]", "Take the last N messages and their replies back.", _undo),
        Command("edit", "[TEXT]", "Say something else instead of the last message.", _edit),
        Command("alternatives", "[N]", "Show what else could be said; say number N instead.", _alternatives),
        Command("good", "", "Call the last reply good.", _good),
        Command("bad", "", "Call the last reply bad.", _bad),
        Command("teach", "TEXT", "Say what the answer should have been.", _teach),
        Command("why", "", "Explain the last reply.", _why),
        Command(
            "set",
            "NAME VALUE",
            "Change a setting of the replies.",
            _set,
            values=_settings_and_values,
        ),
        Command("show", "", "Show all settings of the replies.", _show),
        Command(
            "seed", "[N]", "Fix the seed of replies; /seed random frees it.", _seed, values=lambda _: ("random",)
        ),
        Command("model", "[ID]", "Show the models; let another one speak.", _model, _TERMINAL, _model_ids),
        Command("stats", "", "Show speed and counts.", _stats, _TERMINAL),
        Command("history", "[N]", "Show the last N exchanges.", _history),
        Command("search", "WORDS", "Look through all your conversations.", _search),
        Command("save", "[FILE]", "Write this conversation to .jsonl, .json, .csv or .md.", _save, _TERMINAL),
        Command("load", "FILE", "Begin a new conversation with a saved .jsonl.", _load, _TERMINAL),
        Command("continue", "[NAME]", "Go on with another conversation.", _continue, _BOTH, _conversation_names),
        Command("rename", "TITLE", "Give this conversation a title.", _rename),
        Command(
            "record",
            "on|off",
            "Keep what is said, or keep it off the disk.",
            _record,
            _TERMINAL,
            _on_off,
        ),
        Command("forget", "yes", "Erase this conversation for good.", _forget, _TERMINAL, lambda _: ("yes",)),
        Command("consent", "on|off", "Let what you say be learned, or not.", _consent, _TERMINAL, _on_off),
        Command("link", "[CODE]", "Be one person here and on Telegram.", _link, _TERMINAL),
        Command("copy", "", "Copy the last reply to the clipboard.", _copy, _TERMINAL),
        Command("quit", "", "Leave.", _quit, _TERMINAL),
    )
}

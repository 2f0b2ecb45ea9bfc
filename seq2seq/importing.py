"""Files of any format brought in as dialogues, each once, with an account of what was read, skipped and kept."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from seq2seq.dialogues import Dialogue, fold_blanks
from seq2seq.errors import CorpusError
from seq2seq.exports.notes import ChatNotes, listed
from seq2seq.readers import CHAT_FORMAT_NAMES, read_stream

Progress = Callable[[int, int], None]  # told how many bytes and messages were read so far
_SAMPLE = 5
_SHOWN_PEOPLE = 20
_SHOWN_CHARS = 100


@dataclass(frozen=True)
class ImportRequest:
    """What is to be read, and how.

    Attributes:
        responders: whose turns become targets; nobody named means everybody.
        file_format: one of ``readers.FORMAT_NAMES``, or None to tell it file by file.
        silence_hours: the silence that parts two dialogues of a chat, or None to infer it.
    """

    paths: tuple[Path, ...]
    responders: tuple[str, ...] = ()
    file_format: str | None = None
    silence_hours: float | None = None
    skip_bad_lines: bool = False

    def __post_init__(self) -> None:
        if self.silence_hours is not None and not 0 < self.silence_hours < float("inf"):
            raise CorpusError(f"--silence must be more than 0 hours, got {self.silence_hours:g}")


class Example(NamedTuple):
    """A pair, as it is shown."""

    asker: str
    context: str
    replier: str
    response: str


@dataclass
class ImportReport:
    """What came of it.

    Attributes:
        repeated: dialogues that were there already, from an earlier file or the same one.
        unheard: dialogues without a reply of the chosen people.
        sample: a few pairs, drawn evenly.
    """

    notes: ChatNotes = field(default_factory=ChatNotes)
    size_bytes: int = 0
    dialogues: int = 0
    replies: int = 0
    repeated: int = 0
    unheard: int = 0
    sample: list[Example] = field(default_factory=list)

    def as_text(self) -> str:
        """Return the whole report, some lines long, with the sample."""
        notes = self.notes
        people = [f"{_shown(name, 40)} {count:,}" for name, count in notes.people.most_common()]
        lines = [
            f"read       {', '.join(notes.formats)} ({self.size_bytes:,} bytes)",
            f"messages   {notes.messages:,} of {len(people):,} people{self._span()}",
            f"people     {listed(people, _SHOWN_PEOPLE, 60)}",
        ]
        if notes.silences:
            hours = listed([f"{hours:g}" for hours, _ in notes.silences.most_common()])
            how = "as told" if notes.silence_hours is not None else "inferred"
            lines.append(f"silence    {hours} hours part two dialogues ({how})")
        lines.append(f"dialogues  {self.dialogues:,} with {self.replies:,} replies to learn")
        lines += [f"skipped    {count:,} {reason}" for reason, count in notes.skipped.most_common() if count]
        lines += [f"skipped    {self.repeated:,} dialogues that were there already"] * bool(self.repeated)
        lines += [f"skipped    {self.unheard:,} dialogues without a reply of theirs"] * bool(self.unheard)
        lines += [f"skipped    {notes.count:,} bad lines, the first: {notes.first}"] * bool(notes.count)
        lines += [f"note       {remark}" for remark in notes.remarks[:_SHOWN_PEOPLE]]
        for example in self.sample:
            lines += ["", f"  {example.asker}: {example.context}", f"  {example.replier}: {example.response}"]
        return "\n".join(lines)

    def _span(self) -> str:
        if self.notes.first_s is None or self.notes.last_s is None:
            return ""
        return f", {_day(self.notes.first_s)} to {_day(self.notes.last_s)}"


def import_dialogues(request: ImportRequest, report: ImportReport, progress: Progress) -> Iterator[Dialogue]:
    """Yield the dialogues of all files, each once, and fill in the report as they pass.

    Raises:
        CorpusError: a file cannot be read or holds no dialogue, or nobody is called as a responder is.
    """
    responders = _find_responders(request) if request.responders else None
    report.notes.silence_hours = request.silence_hours
    generator = random.Random(0)
    seen: set[int] = set()
    for path in request.paths:
        notes = _new_notes(request)
        for dialogue in _read(path, request, notes):
            progress(notes.read_bytes + report.size_bytes, notes.messages + report.notes.messages)
            identity = hash(dialogue.key if notes.silences else (dialogue.key, dialogue.turns))
            if identity in seen:
                report.repeated += 1
                continue
            seen.add(identity)
            if responders is not None:
                dialogue = dataclasses.replace(dialogue, responders=responders)
            replies = dialogue.responses()
            if not replies:
                report.unheard += 1
                continue
            report.dialogues += 1
            _draw(report, dialogue, replies, generator)
            yield dialogue
        report.size_bytes += notes.read_bytes
        report.notes.add(notes)
    if not report.dialogues:
        who = listed(request.responders) or 'whoever the files name as "responders"'
        raise CorpusError(f"nothing to learn: {who} never answers anybody")


def _read(path: Path, request: ImportRequest, notes: ChatNotes) -> Iterator[Dialogue]:
    """Yield the dialogues of one file, and note what is read and skipped."""
    is_empty = True
    try:
        with path.open("rb") as stream:
            for dialogue in read_stream(stream, str(path), notes, request.file_format):
                if not notes.silences:  # a corpus: its readers know nothing of notes
                    notes.people.update(turn.speaker for turn in dialogue.turns)
                notes.read_bytes = stream.tell()
                is_empty = False
                yield dialogue
            notes.read_bytes = stream.seek(0, 2)
    except IsADirectoryError:
        raise CorpusError(f"{path}: is a folder. Name the file in it, such as result.json or _chat.txt") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not notes.formats:
        notes.formats.append(f"dialogues in {''.join(path.suffixes[-2:])}")
    if is_empty:
        raise CorpusError(f"{path}: {_nothing_in(notes)}")


def _find_responders(request: ImportRequest) -> frozenset[str]:
    """Return the speakers that are meant, as they are written; reads no further than where all are known.

    Raises:
        CorpusError: nobody has such a name.
    """
    wanted = frozenset(request.responders)
    people: Counter[str] = Counter()
    for path in request.paths:
        notes = _new_notes(request)
        for _ in _read(path, request, notes):
            if wanted <= notes.people.keys() | people.keys():
                return wanted
        people.update(notes.people)
    by_folded: dict[str, set[str]] = {}
    for name in people:
        by_folded.setdefault(_folded(name), set()).add(name)
    found = {name: {name} if name in people else by_folded.get(_folded(name), set()) for name in wanted}
    for name, candidates in found.items():
        if len(candidates) != 1:
            names = [f"{_shown(person, 40)} ({count:,} messages)" for person, count in people.most_common()]
            problem = "could be several people" if candidates else "is nobody here"
            raise CorpusError(f"--as {name}: {problem}. There are {listed(names, _SHOWN_PEOPLE, 60)}")
    return frozenset(person for candidates in found.values() for person in candidates)


def _new_notes(request: ImportRequest) -> ChatNotes:
    expected = request.file_format if request.file_format in CHAT_FORMAT_NAMES else None
    return ChatNotes(request.skip_bad_lines, silence_hours=request.silence_hours, expected=expected)


def _nothing_in(notes: ChatNotes) -> str:
    """Say what a file without a dialogue looked like, and what can be done."""
    looks = f"looks like {listed(notes.formats)}, with {notes.messages:,} messages to learn from"
    if notes.people:
        looks += f" of {listed([_shown(name, 40) for name in notes.people])}"
    skipped = [f"{count:,} {reason}" for reason, count in notes.skipped.most_common() if count]
    if skipped:
        looks += f"; skipped were {listed(skipped)}"
    if notes.remarks:
        looks += f"; {listed(notes.remarks, 3, 200)}"
    if len(notes.people) < 2:
        advice = "A dialogue needs two people"
    else:
        advice = "Nobody answers within the silence that parts dialogues; a longer --silence HOURS joins them"
    return f"no dialogue found. It {looks}. {advice}."


def _draw(report: ImportReport, dialogue: Dialogue, replies: Sequence[int], generator: random.Random) -> None:
    """Take a dialogue's replies in, and keep some as examples, so that every reply has the same chance."""
    for number in replies:
        report.replies += 1
        place = report.replies - 1 if report.replies <= _SAMPLE else int(generator.random() * report.replies)
        if place < _SAMPLE:
            context, response = dialogue.turns[number - 1 : number + 1]
            drawn = (context.speaker, context.text, response.speaker, response.text)
            report.sample[place : place + 1] = [Example(*(_shown(text, _SHOWN_CHARS) for text in drawn))]


def _shown(text: str, most: int) -> str:
    """Return a text for a terminal: one line, no control characters, cut to ``most`` characters."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text[:most])
    return line + "…" * (len(text) > most)


def _folded(name: str) -> str:
    return fold_blanks(name).casefold()


def _day(time_s: float) -> str:
    """Return a date; far outside of any calendar, as damaged exports have it, just that."""
    try:
        return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return "no date"

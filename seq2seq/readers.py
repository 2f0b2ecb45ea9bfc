"""Dialogue file formats, one function each: a path in, dialogues out, never more than one in memory."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from seq2seq.dialogues import ANYONE, UNNAMED_SOURCE, Dialogue, make_dialogue
from seq2seq.errors import CorpusError
from seq2seq.exports.chat_json import read_chat_json
from seq2seq.exports.chat_text import is_chat_text, read_chat_text
from seq2seq.exports.notes import ChatNotes, NotAChatError
from seq2seq.lines import BadLines, numbered_lines

_MAX_TXT_MESSAGES = 1000
_MAX_ZIP_RATIO = 200  # text packs ten to twenty times smaller; bombs a thousand times and more
_SHADOW = re.compile(r"(?:^|/)(?:__MACOSX/|\._[^/]*$)")  # what macOS adds to archives beside each file
_CHAT_FILE = re.compile(r"(?:^|/)(?:result|message_\d+)\.json$")


class Reader(Protocol):
    """Reads one format from an open binary stream; ``name`` is how errors call it."""

    def __call__(self, stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]: ...


def read_dialogues(path: Path, bad: BadLines | None = None, file_format: str | None = None) -> Iterator[Dialogue]:
    """Yield the dialogues of a file in any known format, in file order.

    Args:
        bad: what becomes of bad lines; ``ChatNotes`` also sets how chats are cut, and notes what was skipped.
        file_format: one of ``FORMAT_NAMES``; None tells it by the file's name and content.

    Raises:
        CorpusError: the file is missing, of an unknown format or damaged, or has a bad line to raise for.
    """
    if path.is_dir():
        raise CorpusError(f"{path}: is a folder. Name the file in it: result.json, _chat.txt, message_1.json ...")
    try:
        with path.open("rb") as stream:
            yield from read_stream(stream, str(path), bad or BadLines(), file_format)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_stream(stream: IO[bytes], name: str, bad: BadLines, file_format: str | None = None) -> Iterator[Dialogue]:
    """Yield the dialogues of an open file, as ``read_dialogues`` does; ``name`` tells its format where none is given.

    Raises:
        CorpusError: as ``read_dialogues`` does.
    """
    if file_format is None or _format(name) == ".zip":
        read = _reader_for(name)
    elif file_format in FORMAT_NAMES:
        read = _FORCED_READERS[file_format]
        read = read_gzipped(read) if _format(name).endswith(".gz") else read
    else:
        raise CorpusError(f"{file_format}: no such format; there are {', '.join(FORMAT_NAMES)}")
    return read(stream, name, bad)


def read_jsonl(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read a dialogue a line: ``{"id", "source", "turns": [{"speaker", "text"}], "persona"?, "responders"?}``.

    ``persona`` is a list of sentences about whoever replies, or an object from speaker to sentences;
    ``responders`` is a list of the speakers whose turns may be learned as responses, all where it is missing.
    """
    for where, line in numbered_lines(stream, name, bad):
        try:
            dialogue = _json_dialogue(json.loads(line))
        except (ValueError, RecursionError) as error:
            bad.found(where, f"not a dialogue ({error})")
            continue
        if dialogue:
            yield dialogue


def jsonl_line(dialogue: Dialogue) -> str:
    """Return a dialogue as ``read_jsonl`` reads it, with its line end."""
    value: dict[str, Any] = {
        "id": dialogue.id,
        "source": dialogue.source,
        "turns": [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns],
    }
    if dialogue.personas:
        value["persona"] = {speaker: list(sentences) for speaker, sentences in dialogue.personas.items()}
    if dialogue.responders is not None:
        value["responders"] = sorted(dialogue.responders)
    return json.dumps(value, ensure_ascii=False) + "\n"


def read_tsv(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read a source and its target a line, with a tab between; a header of these names is left out."""
    rows = ((where, line.split("\t")) for where, line in numbered_lines(stream, name, bad))
    return _pairs(rows, "tab-separated columns", "Replace tabs inside the text, or convert the file to .jsonl", bad)


def read_csv(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read a source and its target a row, quoted as RFC 4180 says; a header of these names is left out."""
    return _pairs(_csv_rows(stream, name, bad), "columns", "Quote text that holds a comma", bad)


def read_txt(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read a chat export, where dates stand in front of messages, or else plain text."""
    return (read_chat_text if is_chat_text(stream) else read_plain_text)(stream, name, bad)


def read_plain_text(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read a message a line, two speakers by turns, with a blank line between dialogues.

    Text without blank lines is cut after 1,000 messages, so that no file has to stand in memory.
    """
    messages: list[str] = []
    for _, line in numbered_lines(stream, name, bad, keep_blank=True):
        if line.strip():
            messages.append(line)
        if not line.strip() or len(messages) == _MAX_TXT_MESSAGES:
            yield from _alternating(messages)
            messages = []
    yield from _alternating(messages)


def read_zip(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read every file of a known format in a zip archive, in the order of their names.

    Where a chat is among them, other text is what was sent in it, and left out. Nothing is unpacked to disk, so no
    member can escape; an archive that unpacks to more than 200 times its size is refused as a zip bomb.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = [
                member
                for member in archive.infolist()
                if _format(member.filename) in _ZIPPED_READERS and not _SHADOW.search(member.filename)
            ]
            packed, unpacked = stream.seek(0, 2), sum(member.file_size for member in members)
            if unpacked > _MAX_ZIP_RATIO * packed:
                raise CorpusError(
                    f"{name}: {packed:,} bytes that unpack to {unpacked:,}, as a zip bomb does. "
                    "If it is honest, unpack it first."
                )
            chats = {member.filename for member in members if _is_chat(archive, member)}
            for member in sorted(members, key=lambda member: member.filename):
                if chats and member.filename not in chats and _format(member.filename) in _SENT_FORMATS:
                    ChatNotes.of(bad).remarks.append(f"left out: {name}, {member.filename}: sent in a chat")
                    continue
                read = _ZIPPED_READERS[_format(member.filename)]
                with archive.open(member) as unpacked_stream:
                    try:
                        yield from read(unpacked_stream, f"{name}, {member.filename}", bad)
                    except NotAChatError as error:  # an account's archive holds much else
                        ChatNotes.of(bad).remarks.append(f"left out: {error}")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise CorpusError(f"{name}: not a readable zip archive ({error})") from error


def _is_chat(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if _format(member.filename) != ".txt":
        return _CHAT_FILE.search(member.filename) is not None
    with archive.open(member) as stream:
        return is_chat_text(stream)


def read_gzipped(reader: Reader) -> Reader:
    """Return a reader of the gzip-packed form of what ``reader`` reads."""

    def read(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
        try:
            with gzip.open(stream, "rb") as unpacked:
                yield from reader(unpacked, name, bad)  # type: ignore[arg-type]
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise CorpusError(f"{name}: not a whole gzip file ({error})") from error

    return read


_ZIPPED_READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_gzipped(read_jsonl),
    ".tsv": read_tsv,
    ".tsv.gz": read_gzipped(read_tsv),
    ".csv": read_csv,
    ".csv.gz": read_gzipped(read_csv),
    ".txt": read_txt,
    ".txt.gz": read_gzipped(read_txt),
    ".json": read_chat_json,
    ".json.gz": read_gzipped(read_chat_json),
}
_SENT_FORMATS = frozenset((".txt", ".csv", ".tsv"))  # of files that people send one another
_READERS: dict[str, Reader] = {**_ZIPPED_READERS, ".zip": read_zip}
FORMATS = tuple(_READERS)
_FORCED_READERS: dict[str, Reader] = {
    "telegram": read_chat_json,
    "whatsapp": read_chat_text,
    "discord": read_chat_json,
    "signal": read_chat_text,
    "instagram": read_chat_json,
    "jsonl": read_jsonl,
    "tsv": read_tsv,
    "csv": read_csv,
    "txt": read_plain_text,
}
FORMAT_NAMES = tuple(_FORCED_READERS)
CHAT_FORMAT_NAMES = FORMAT_NAMES[:5]


def _format(file_name: str) -> str:
    """Return the part of a file name that tells its format, ``.gz`` with what stands before it."""
    suffixes = PurePosixPath(file_name.lower()).suffixes
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def _reader_for(name: str) -> Reader:
    reader = _READERS.get(_format(name))
    if reader is None:
        hint = ". Export the chat as JSON instead" if _format(name) in (".html", ".htm") else ""
        raise CorpusError(f"{name}: unknown format {_format(name)!r}; known are {', '.join(FORMATS)}{hint}")
    return reader


class _MalformedError(ValueError):
    """A line is JSON, but no dialogue."""


def _json_dialogue(value: Any) -> Dialogue | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("turns"), list):
        raise _MalformedError('expected an object with a list "turns"')
    messages = []
    for turn in value["turns"]:
        if not isinstance(turn, Mapping) or not _are_texts([turn.get("speaker"), turn.get("text")]):
            raise _MalformedError('every turn must be an object with the strings "speaker" and "text"')
        messages.append((turn["speaker"], turn["text"]))
    persona = value.get("persona") or {}
    if isinstance(persona, list):
        persona = {ANYONE: persona}
    if not isinstance(persona, Mapping) or not all(map(_are_texts, persona.values())):
        raise _MalformedError('"persona" must be a list of sentences, or an object from speaker to sentences')
    responders = value.get("responders")
    if responders is not None and not _are_texts(responders):
        raise _MalformedError('"responders" must be a list of speakers')
    dialogue_id = value.get("id")
    return make_dialogue(
        messages,
        source=str(value.get("source") or UNNAMED_SOURCE),
        dialogue_id=None if dialogue_id is None else str(dialogue_id),
        personas=persona,
        responders=None if responders is None else frozenset(responders),
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _csv_rows(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(where, columns)``; a row that spans lines is placed at its last."""
    where = name

    def lines() -> Iterator[str]:
        nonlocal where
        for place, line in numbered_lines(stream, name, bad, keep_blank=True):
            where = place
            yield line + "\n"

    rows = csv.reader(lines(), strict=True)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            bad.found(where, f"not a CSV row ({error})")
        else:
            if row:
                yield where, row


def _pairs(rows: Iterator[tuple[str, list[str]]], what: str, advice: str, bad: BadLines) -> Iterator[Dialogue]:
    is_first = True
    for where, columns in rows:
        is_header = is_first and [column.strip().lower() for column in columns] == ["source", "target"]
        is_first = False
        if len(columns) != 2:
            bad.found(where, f"expected 2 {what} (source, target), found {len(columns)}. {advice}")
        elif not is_header and (dialogue := make_dialogue(zip("AB", columns, strict=True))):
            yield dialogue


def _alternating(messages: list[str]) -> Iterator[Dialogue]:
    dialogue = make_dialogue(("AB"[number % 2], message) for number, message in enumerate(messages))
    if dialogue:
        yield dialogue

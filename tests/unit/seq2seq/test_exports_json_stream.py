from __future__ import annotations

import io
import json
from typing import Any

import pytest

from seq2seq.errors import CorpusError
from seq2seq.exports import json_stream
from seq2seq.exports.json_stream import JsonStream


def opened(text: str | bytes) -> JsonStream:
    return JsonStream(io.BytesIO(text.encode() if isinstance(text, str) else text), "f.json")


def walked(stream: JsonStream) -> Any:
    """Read everything by the smallest steps."""
    start = stream.peek()
    if start == "{":
        return {key: walked(stream) for key in stream.fields()}
    if start == "[":
        return [walked(stream) for _ in stream.items()]
    return stream.value()


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK_BYTES", 3)


DOCUMENT = {"a": [1, 23456, -1.5e3, True, None, []], "b": {}, 'c"\\ü': {"d": [{"e": "mañana 🙂 \n"}]}, "": ""}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("is_ascii", [True, False])
@pytest.mark.usefixtures("small_window")
def test_walk_gives_what_the_parser_gives_wherever_the_window_ends(indent: int | None, is_ascii: bool) -> None:
    stream = opened(json.dumps(DOCUMENT, indent=indent, ensure_ascii=is_ascii))
    assert walked(stream) == DOCUMENT
    stream.end()


@pytest.mark.usefixtures("small_window")
def test_number_that_the_window_cuts_is_read_whole() -> None:
    assert list(opened("[1234567890, 12]").values()) == [1234567890, 12]
    assert opened("123456").value() == 123456


def test_skip_passes_over_containers_and_what_follows_is_read() -> None:
    stream = opened('{"skipped": {"a": [1, {"b": "]}"}]}, "read": 2}')
    found = {}
    for key in stream.fields():
        if key == "read":
            found[key] = stream.value()
        else:
            stream.skip()
    assert found == {"read": 2}


def test_byte_order_mark_is_no_text() -> None:
    assert opened(b"\xef\xbb\xbf[1]").value() == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1, 2', r"f\.json: the JSON text stops in the middle, after 11 characters: the file is not whole"),
        ('{"a": "hal', "stops in the middle"),
        ('{"a": tru', r"f\.json, character 6: not valid JSON \(Expecting value\)|stops in the middle"),
        ('{"a": [', "stops in the middle"),
        ('{"a"', "stops in the middle"),
        ("", "stops in the middle, after 0 characters"),
        ('{"a": 1 "b": 2}', r"f\.json, character 8: not valid JSON \(expected ',' or '\}'\)"),
        ("{1: 2}", r"character 1: not valid JSON \(expected a key"),
        ('{"a" 1}', r"character 5: not valid JSON \(expected ':'\)"),
        ('{"a": nope, "b": 1}', r"character 6: not valid JSON \(Expecting value\)"),
        (b'{"a": "\xff"}', r"not UTF-8 \(invalid start byte\)"),
        ("[" * 100, r"nested too deeply"),
        ('{"a": ' * 100, r"nested too deeply"),
        ("[" + "9" * 5000 + "]", r"not valid JSON \(Exceeds the limit"),
    ],
)
def test_damage_is_one_error_with_its_place(text: str | bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        walked(opened(text))


def test_value_nested_too_deeply_for_the_parser_is_an_error() -> None:
    with pytest.raises(CorpusError, match="nested too deeply"):
        opened("[" * 200_000).value()


def test_something_behind_the_end_is_an_error() -> None:
    stream = opened("[1] [2]")
    walked(stream)
    with pytest.raises(CorpusError, match=r"character 4: .*something follows"):
        stream.end()


class Endless:
    """A file without an end, which counts what was read of it."""

    def __init__(self, start: bytes, then: bytes) -> None:
        self._start, self._then, self.read_bytes = start, then, 0

    def read(self, size: int) -> bytes:
        chunk = (self._start + self._then * size)[:size]
        self._start = b""
        self.read_bytes += len(chunk)
        return chunk


@pytest.mark.parametrize("start", [b'["', b"[1, x", b"[7"])
def test_value_without_end_is_given_up_early(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_VALUE_CHARS", 2**20)
    file = Endless(start, b" " if b"x" in start else b"7")
    with pytest.raises(CorpusError):
        walked(JsonStream(file, "f.json"))  # type: ignore[arg-type]
    assert file.read_bytes < 2**23

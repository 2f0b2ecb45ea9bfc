"""Laws of reading chat exports that hold for any text, and any damage to it."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from seq2seq.dialogues import fold_blanks
from seq2seq.errors import CorpusError
from seq2seq.exports.chat_json import read_chat_json
from seq2seq.exports.chat_text import read_chat_text
from seq2seq.exports.json_stream import JsonStream
from seq2seq.exports.notes import ChatMessage, ChatNotes
from seq2seq.exports.sessions import infer_silence_hours, sessions
from seq2seq.exports.text_dates import find_head
from seq2seq.lines import BadLines
from seq2seq.readers import jsonl_line, read_jsonl

unhurried = settings(deadline=None, max_examples=50)  # a busy machine is no failure
words = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8).filter(
    lambda word: word != "null"  # which WhatsApp writes in place of messages
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
KEYS = [
    "chats",
    "list",
    "messages",
    "id",
    "type",
    "date",
    "date_unixtime",
    "from",
    "from_id",
    "text",
    "forwarded_from",
    "author",
    "content",
    "timestamp",
    "isBot",
    "name",
    "channel",
    "participants",
    "sender_name",
    "timestamp_ms",
    "mentions",
    "nickname",
]
odd_exports = st.recursive(
    st.sampled_from(["message", "service", "2024-05-20T10:00:00", "1700000000", "Default", "hi", "", "\ud800"])
    | st.integers()
    | st.floats()
    | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)


def walked(stream: JsonStream) -> Any:
    start = stream.peek()
    if start == "{":
        return {key: walked(stream) for key in stream.fields()}
    if start == "[":
        return [walked(stream) for _ in stream.items()]
    return stream.value()


@unhurried
@given(json_values, st.sampled_from([None, 1]), st.booleans())
def test_walked_json_is_parsed_json(value: Any, indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    stream = JsonStream(io.BytesIO(text.encode("utf-8", "replace")), "f")
    expected = json.loads(text.encode("utf-8", "replace"))
    assert repr(walked(stream)) == repr(expected)  # by repr, since nan is not itself
    stream.end()


@unhurried
@given(st.lists(odd_exports, max_size=5), st.dictionaries(st.sampled_from(KEYS), odd_exports, max_size=8), st.data())
@example([{"type": "message", "date_unixtime": "9" * 5000, "from": {}, "text": [[]]}], {}, None)
@example([{"sender_name": "A", "timestamp_ms": 10**400, "content": "x"}], {}, None)
@example([{"author": {"id": []}, "timestamp": "9999-12-31T23:59:59-23:59", "content": "<@1>"}], {"channel": 3}, None)
def test_any_json_gives_dialogues_or_one_error(messages: list[Any], header: dict[str, Any], data: Any) -> None:
    content = json.dumps({**header, "messages": messages}).encode()
    if data is not None:
        content = content[: data.draw(st.integers(0, len(content)))]
    notes = ChatNotes()
    try:
        dialogues = list(read_chat_json(io.BytesIO(content), "f", notes))
    except CorpusError:
        return
    for dialogue in dialogues:
        line = jsonl_line(dialogue).encode("utf-8", "replace")
        (back,) = read_jsonl(io.BytesIO(line), "f", BadLines())
        assert len(back.turns) == len(dialogue.turns)


lines_like_heads = st.from_regex(
    r"\A[\[\u200e]?[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}[, ]{1,2}([a-z.]{1,3} )?[0-9]{1,2}[:.][0-9]{2}"
    r"(:[0-9]{2})?( ?[ap]\.? ?m\.?)?(\]| -|:) [^\n]{0,20}\Z"
)


@unhurried
@given(st.lists(lines_like_heads | st.text(max_size=30), max_size=12), st.booleans())
def test_any_lines_give_dialogues_or_one_error(lines: list[str], skip: bool) -> None:
    content = "\n".join(lines).encode("utf-8", "replace")
    notes = ChatNotes(skip)
    try:
        for dialogue in read_chat_text(io.BytesIO(content), "f", notes):
            assert len(dialogue.turns) >= 2
    except CorpusError:
        return
    assert notes.messages + notes.skipped.total() <= len(content.split(b"\n"))


@unhurried
@given(st.binary(max_size=400))
def test_any_bytes_give_dialogues_or_one_error(content: bytes) -> None:
    for read in (read_chat_json, read_chat_text):
        for start in (b"", b'{"messages": [{"date": "x", "type": "message", "text": "', b"[1/2/24, 10:00:00] A: "):
            try:
                list(read(io.BytesIO(start + content), "f", ChatNotes(skip=True)))
            except CorpusError:
                continue


@unhurried
@given(
    st.lists(st.tuples(st.sampled_from(["Ann", "Bob R."]), st.lists(words, min_size=1, max_size=4)), max_size=20),
    st.sampled_from(
        [
            "{d:02}/{m:02}/{y}, {H:02}:{M:02} - ",
            "[{y}-{m:02}-{d:02}, {H:02}:{M:02}:00] ",
            "{m}/{d}/{y}, {H}:{M:02} - ",
        ]
    ),
    st.sampled_from([" ", "\n"]),
)
def test_whatever_two_people_write_comes_back_in_order(
    said: list[tuple[str, list[str]]], form: str, between: str
) -> None:
    """A message of words is text again, however it is dated and broken into lines."""
    text = "".join(
        form.format(d=20 + number // 1440, m=5, y=2024, H=number // 60 % 24, M=number % 60)
        + f"{who}: {between.join(spoken)}\n"
        for number, (who, spoken) in enumerate(said)
    )
    try:
        dialogues = list(read_chat_text(io.BytesIO(text.encode()), "f", ChatNotes()))
    except CorpusError:
        assert not said
        return
    heard = [word for dialogue in dialogues for turn in dialogue.turns for word in turn.text.split()]
    if len({who for who, _ in said}) == 2:
        expected = fold_blanks(" ".join(between.join(spoken) for _, spoken in said))
        assert heard == expected.split()


@unhurried
@given(st.text(max_size=120))
def test_head_is_found_in_linear_time_and_within_the_line(line: str) -> None:
    head = find_head("1/2/24" + line * 50)
    assert head is None or head.end <= 6 + len(line) * 50


@unhurried
@given(st.lists(st.floats(0, 1e7), max_size=300), st.floats(0.01, 100))
def test_sessions_lose_no_message_and_keep_their_order(times: list[float], silence_hours: float) -> None:
    messages = [ChatMessage("c", str(n), "A", "x", time_s) for n, time_s in enumerate(times)]
    cut = list(sessions(messages, silence_hours))
    assert [message for session in cut for message in session] == messages
    assert all(cut)


@unhurried
@given(st.lists(st.floats(0, 1e8), max_size=300))
def test_inferred_silence_is_a_power_of_two_within_bounds(gaps: list[float]) -> None:
    assert infer_silence_hours(gaps) in {0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0}
    assert infer_silence_hours(gaps) == infer_silence_hours(sorted(gaps))

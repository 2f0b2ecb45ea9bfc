from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from seq2seq import lines
from seq2seq.dialogues import ANYONE, Dialogue
from seq2seq.errors import CorpusError
from seq2seq.exports.notes import ChatNotes
from seq2seq.lines import BadLines
from seq2seq.readers import jsonl_line, read_dialogues

PAIR = b"how are you?\tfine, thanks\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(dialogues: list[Dialogue]) -> list[list[str]]:
    return [[turn.text for turn in dialogue.turns] for dialogue in dialogues]


def read(path: Path) -> list[list[str]]:
    return texts(list(read_dialogues(path)))


def json_line(*messages: tuple[str, str], **facts: object) -> str:
    return json.dumps({"turns": [{"speaker": s, "text": t} for s, t in messages], **facts}) + "\n"


def test_jsonl_is_a_dialogue_a_line(tmp_path: Path) -> None:
    lines = json_line(("A", "hi"), ("B", "hello"), id="d1", source="made") + json_line(("A", "1"), ("B", "2"))
    first, second = read_dialogues(write(tmp_path / "c.jsonl", lines))
    assert (first.id, first.source, first.key) == ("d1", "made", "made/d1")
    assert texts([first, second]) == [["hi", "hello"], ["1", "2"]]


def test_jsonl_persona_is_everyones_or_a_speakers(tmp_path: Path) -> None:
    lines = json_line(("A", "hi"), ("B", "hello"), persona=["i fish."])
    lines += json_line(("A", "hi"), ("B", "hello"), persona={"B": ["i  hunt."]})
    everyones, of_b = read_dialogues(write(tmp_path / "c.jsonl", lines))
    assert everyones.personas == {ANYONE: ("i fish.",)}
    assert of_b.personas == {"B": ("i hunt.",)}


def test_jsonl_responders_are_optional(tmp_path: Path) -> None:
    lines = json_line(("A", "hi"), ("B", "hello")) + json_line(("A", "hi"), ("B", "hello"), responders=["B"])
    everyone, one = read_dialogues(write(tmp_path / "c.jsonl", lines))
    assert everyone.responders is None
    assert one.responders == {"B"}


def test_gzip_reads_like_the_plain_file(tmp_path: Path) -> None:
    plain = write(tmp_path / "c.jsonl", json_line(("A", "hi"), ("B", "hello")))
    packed = write(tmp_path / "c.jsonl.gz", gzip.compress(plain.read_bytes()))
    assert list(read_dialogues(packed)) == list(read_dialogues(plain))


def test_tsv_is_a_source_and_its_target_a_line(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.tsv", PAIR + b"\nyes\tno\r\n")) == [
        ["how are you?", "fine, thanks"],
        ["yes", "no"],
    ]


def test_csv_text_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    rows = '"well, hi","she said ""hello"""\n"two\nlines",one\n'
    assert read(write(tmp_path / "c.csv", rows)) == [["well, hi", 'she said "hello"'], ["two lines", "one"]]


@pytest.mark.parametrize("name", ["c.csv", "c.tsv"])
def test_header_is_left_out_in_the_first_row_only(tmp_path: Path, name: str) -> None:
    comma = "," if name == "c.csv" else "\t"
    rows = f"Source{comma}Target\nhi{comma}hello\nsource{comma}target\n"
    assert read(write(tmp_path / name, rows)) == [["hi", "hello"], ["source", "target"]]


def test_txt_is_a_message_a_line_and_a_blank_line_between_dialogues(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.txt", "\nhi\nhello\nbye\n\n \nyes\nno")) == [
        ["hi", "hello", "bye"],
        ["yes", "no"],
    ]


def test_txt_without_blank_lines_never_stands_in_memory_whole(tmp_path: Path) -> None:
    dialogues = read(write(tmp_path / "c.txt", "line\n" * 2500))
    assert [len(turns) for turns in dialogues] == [1000, 1000, 500]


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.txt", b"\xef\xbb\xbfhi\nhello\n")) == [["hi", "hello"]]


def test_zip_reads_known_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("b/two.txt", "3\n4\n")
        archive.writestr("a/one.tsv.gz", gzip.compress(b"1\t2\n"))
        archive.writestr("readme.md", "no dialogue\n")
    assert read(tmp_path / "c.zip") == [["1", "2"], ["3", "4"]]


CHAT = "[24.12.23, 12:00:01] Ada: Hello\n[24.12.23, 12:00:11] Bob: Hi\n"


@pytest.mark.parametrize("name", ["__MACOSX/._chat.txt", "__MACOSX/a/._b.jsonl", "._chat.txt", "a/._b.csv"])
def test_what_macos_adds_to_a_zip_is_no_text(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("_chat.txt", CHAT)
        archive.writestr(name, b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X\xb0\nresource\nfork\n")
    assert read(tmp_path / "c.zip") == [["Hello", "Hi"]]


@pytest.mark.parametrize("name", ["00000012-shopping.txt", "files/table.csv", "files/table.tsv"])
def test_files_that_were_sent_in_a_chat_are_no_dialogues(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("_chat.txt", CHAT)
        archive.writestr(name, "milk\neggs\n")
    notes = ChatNotes()
    assert texts(list(read_dialogues(tmp_path / "c.zip", notes))) == [["Hello", "Hi"]]
    assert f"left out: {tmp_path / 'c.zip'}, {name}: sent in a chat" in notes.remarks


def test_zip_writes_nothing_to_disk_whatever_its_members_are_called(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    with zipfile.ZipFile(folder / "c.zip", "w") as archive:
        archive.writestr("../escaped.txt", "1\n2\n")
    assert read(folder / "c.zip") == [["1", "2"]]
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "c.zip"]


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"\n" * 5_000_000)
    with pytest.raises(CorpusError, match=r"c\.zip: [\d,]+ bytes that unpack to 5,000,000, as a zip bomb does"):
        read(tmp_path / "c.zip")


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.txt", "1\n2\n")
    data = bytearray((tmp_path / "c.zip").read_bytes())
    data[6] |= 1  # the encryption flag, in the local header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(CorpusError, match="not a readable zip archive"):
        read(write(tmp_path / "c.zip", bytes(data)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "c.tsv",
            PAIR + b"one column\n",
            r"c\.tsv, line 2: expected 2 tab-separated columns .* found 1\. Replace",
        ),
        ("c.tsv", PAIR + b"a\tb\tc\n", r"c\.tsv, line 2: expected 2 .* found 3\."),
        ("c.csv", b"a,b\n\nc\n", r"c\.csv, line 3: expected 2 columns .* found 1\."),
        ("c.csv", b'a,b\n"c"d,e\n', r"c\.csv, line 2: not a CSV row"),
        ("c.jsonl", b"{}\n", r'c\.jsonl, line 1: not a dialogue \(expected an object with a list "turns"\)'),
        ("c.jsonl", b"\n[1\n", r"c\.jsonl, line 2: not a dialogue"),
        ("c.jsonl", b'{"turns": [{"text": "hi"}]}\n', r"line 1: .* the strings \"speaker\" and \"text\""),
        ("c.jsonl", b'{"turns": [{"speaker": "A", "text": 3}]}\n', r"line 1: .* the strings"),
        ("c.jsonl", b'{"turns": [], "persona": "x"}\n', r'line 1: .*"persona" must be a list'),
        ("c.jsonl", b'{"turns": [], "responders": "x"}\n', r'line 1: .*"responders" must be a list of speakers'),
        ("c.jsonl", b"[" * 100_000, r"c\.jsonl, line 1: not a dialogue"),
        ("c.txt", b"hi\nh\xe9llo\n", r"c\.txt, line 2: not UTF-8 \(byte 1"),
    ],
)
def test_bad_line_is_an_error_with_file_and_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(write(tmp_path / name, content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.tsv", PAIR + b"bad\n\xff\t\xff\n" + PAIR),
        ("c.csv", b'a,b\nc\n"d"e,f\ng,h\n'),
        (
            "c.jsonl",
            (json_line(("A", "a"), ("B", "b")) + "{}\nnull\n" + json_line(("A", "c"), ("B", "d"))).encode(),
        ),
    ],
)
def test_skipped_bad_lines_are_counted_and_the_rest_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    bad = BadLines(skip=True)
    assert len(list(read_dialogues(write(tmp_path / name, content), bad))) == 2
    assert bad.count == 2
    assert f"{name}, line 2:" in bad.first


def test_endless_line_is_bad_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 2**20)
    bad = BadLines(skip=True)
    path = write(tmp_path / "c.tsv", b"x" * (2**21 + 5) + b"\n" + PAIR)
    assert texts(list(read_dialogues(path, bad))) == [["how are you?", "fine, thanks"]]
    assert (bad.count, bad.first) == (1, f"{path}, line 1: longer than 1 MiB")


@pytest.mark.parametrize("damage", [slice(0, 40), slice(4, None)])
def test_damaged_gzip_is_an_error(tmp_path: Path, damage: slice) -> None:
    whole = gzip.compress("".join(f"message {number}\n" for number in range(1000)).encode())
    with pytest.raises(CorpusError, match=r"c\.txt\.gz: not a whole gzip file"):
        read(write(tmp_path / "c.txt.gz", whole[damage]))


def test_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"c\.docx: unknown format '\.docx'; known are \.jsonl, .*\.zip"):
        read(write(tmp_path / "c.docx", "hi"))


CHAT_JSON = json.dumps(
    {
        "name": "Ann",
        "type": "personal_chat",
        "id": 7,
        "messages": [
            {"id": n, "type": "message", "date": "2024-05-20T10:00:00", "from": who, "from_id": who, "text": text}
            for n, (who, text) in enumerate([("Ann", "hi"), ("Bob", "hello")])
        ],
    }
)
CHAT_TEXT = "20/05/2024, 10:00 - Ann: hi\n20/05/2024, 10:01 - Bob: hello\n"


@pytest.mark.parametrize(("name", "content"), [("result.json", CHAT_JSON), ("chat.txt", CHAT_TEXT)])
def test_chat_export_is_a_corpus_packed_or_not(tmp_path: Path, name: str, content: str) -> None:
    assert read(write(tmp_path / name, content)) == [["hi", "hello"]]
    assert read(write(tmp_path / f"{name}.gz", gzip.compress(content.encode()))) == [["hi", "hello"]]


def test_zip_of_exports_is_read_and_what_is_no_chat_is_noted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("ChatExport/result.json", CHAT_JSON)
        archive.writestr("WhatsApp Chat with Bob/_chat.txt", CHAT_TEXT)
        archive.writestr("settings/profile.json", '{"profile_user": []}')
        archive.writestr("media/cat.jpg", "\xff\xd8")
    notes = ChatNotes()
    assert texts(list(read_dialogues(tmp_path / "c.zip", notes))) == [["hi", "hello"], ["hi", "hello"]]
    assert notes.formats == ["Telegram chat", "WhatsApp chat"]
    assert any(remark.startswith("left out: ") and "profile_user" in remark for remark in notes.remarks)


def test_format_can_be_named_where_the_file_does_not_tell(tmp_path: Path) -> None:
    assert read(write(tmp_path / "chat.txt", CHAT_TEXT)) == [["hi", "hello"]]
    plain = texts(list(read_dialogues(tmp_path / "chat.txt", file_format="txt")))
    assert plain == [CHAT_TEXT.splitlines()]
    backup = write(tmp_path / "backup.2024", CHAT_JSON)
    assert texts(list(read_dialogues(backup, file_format="telegram"))) == [["hi", "hello"]]
    with pytest.raises(CorpusError, match=r"fax: no such format; there are telegram, whatsapp, .*txt"):
        list(read_dialogues(backup, file_format="fax"))


def test_page_of_an_export_and_its_folder_say_what_to_name_instead(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"messages\.html: unknown format .* Export the chat as JSON instead"):
        read(write(tmp_path / "messages.html", "<html>"))
    with pytest.raises(CorpusError, match=r"is a folder\. Name the file in it: result\.json"):
        read(tmp_path)


def test_dialogue_is_written_as_it_is_read(tmp_path: Path) -> None:
    lines = json_line(
        ("A", "hi"), ("B", "\u00fc \u2028"), id="1", source="s", persona={"B": ["x."]}, responders=["B"]
    )
    (dialogue,) = read_dialogues(write(tmp_path / "c.jsonl", lines))
    assert list(read_dialogues(write(tmp_path / "d.jsonl", jsonl_line(dialogue)))) == [dialogue]


def test_missing_file_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gone\.txt: cannot be read \(No such file"):
        read(tmp_path / "gone.txt")

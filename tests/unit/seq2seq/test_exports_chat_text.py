from __future__ import annotations

import io

import pytest

from seq2seq.dialogues import Dialogue
from seq2seq.errors import CorpusError
from seq2seq.exports import chat_text
from seq2seq.exports.chat_text import is_chat_text, read_chat_text
from seq2seq.exports.notes import CUT_OFF, DELETED, NO_TEXT, PREAMBLE, SERVICE, ChatNotes, NotAChatError
from seq2seq.lines import BadLines

LRM = "\u200e"


def read(text: str | bytes, notes: ChatNotes | None = None) -> list[Dialogue]:
    content = text.encode() if isinstance(text, str) else text
    return list(read_chat_text(io.BytesIO(content), "chat.txt", notes or ChatNotes()))


def said(text: str, notes: ChatNotes | None = None) -> list[tuple[str, str]]:
    (dialogue,) = read(text, notes)
    return [(turn.speaker, turn.text) for turn in dialogue.turns]


def android(*messages: str) -> str:
    """A day of messages, a minute between them."""
    return "".join(f"20/05/2024, 10:{minute:02} - {message}\n" for minute, message in enumerate(messages))


def ios(*messages: str) -> str:
    return "".join(f"[20.05.24, 10:{minute:02}:00] {message}\r\n" for minute, message in enumerate(messages))


def skipped(text: str) -> dict[str, int]:
    notes = ChatNotes()
    read(text, notes)
    return dict(notes.skipped)


@pytest.mark.parametrize("form", [android, ios])
def test_messages_of_several_lines_are_whole(form: object) -> None:
    text = form("Ann: first\n\nsecond: line\n12:30 third", "Bob: fine")  # type: ignore[operator]
    assert said(text) == [("Ann", "first second: line 12:30 third"), ("Bob", "fine")]


def test_chat_is_dated_and_its_people_counted() -> None:
    notes = ChatNotes()
    read(android("Ann: one", "Bob: two", "Bob: three"), notes)
    assert (notes.formats, dict(notes.people)) == (["WhatsApp chat"], {"Ann": 1, "Bob": 2})
    assert (notes.first_s, notes.last_s) == (1716199200, 1716199320)  # date -u -d '2024-05-20 10:00' +%s
    assert notes.remarks == ["chat.txt: dates are day/month/year"]


def test_name_may_hold_anything_and_message_a_colon() -> None:
    text = android("Ann-Marie O. 🙂: why: because", "+12 345 678: hm", "~\u202fKim: no", "\u202a+1 (2) 3\u202c: yes")
    assert said(text) == [
        ("Ann-Marie O. 🙂", "why: because"),
        ("+12 345 678", "hm"),
        ("Kim", "no"),
        ("+1 (2) 3", "yes"),
    ]


def test_message_that_begins_on_the_next_line_or_without_a_blank_is_a_message() -> None:
    text = android("Ann: hello", "Bob: hi", "Ann:so", "Bob:\n\nlate but long", "Ann: .")
    assert said(text) == [("Ann", "hello"), ("Bob", "hi"), ("Ann", "so"), ("Bob", "late but long"), ("Ann", ".")]


def test_message_to_be_seen_once_is_gone() -> None:
    assert skipped(android("Ann: hello", "Bob: hi", "Ann:.")) == {NO_TEXT: 1}


@pytest.mark.parametrize(
    "line",
    [
        "Ann created group “Rain: or shine”",
        'Ann changed the subject from "a" to "b: c"',
        "Ann joined using this group's invite link",
        "Ann hat die Gruppe verlassen",
        "您已加入群组",
        "Ann: Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
        "Familie: Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt. Niemand sonst kann sie lesen.",
    ],
)
def test_what_the_messenger_says_is_no_message(line: str) -> None:
    assert skipped(android("Ann: hi", line, "Bob: hello")) == {SERVICE: 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<Media omitted>", NO_TEXT),
        ("<Medien ausgeschlossen>", NO_TEXT),
        ("<ಮಾಧ್ಯಮ ಕೈಬಿಡಲಾಗಿದೆ>", NO_TEXT),
        (f"{LRM}image omitted", NO_TEXT),
        (f"{LRM}何かの画像", NO_TEXT),
        ("sticker omitted", NO_TEXT),
        (f"{LRM}<attached: 00000012-PHOTO-2024-05-20-10-00-00.jpg>", NO_TEXT),
        ("IMG-20240520-WA0003.jpg (file attached)", NO_TEXT),
        (f"{LRM}PTT-20240520-WA0003.opus (Datei angehängt)", NO_TEXT),
        (f"{LRM}holiday plans.pdf (archivo adjunto)", NO_TEXT),
        ("Kim Doe.vcf (file attached)", NO_TEXT),
        ("This message was deleted", DELETED),
        (f"{LRM}You deleted this message.", DELETED),
        ("Diese Nachricht wurde gelöscht.", DELETED),
        ("此消息已被删除", DELETED),
        ("Missed voice call", SERVICE),
        ("null", SERVICE),
    ],
)
def test_what_was_not_typed_is_skipped_by_its_reason(text: str, reason: str) -> None:
    assert skipped(android("Ann: hi", f"Bob: {text}", "Bob: hello")) == {reason: 1}


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        (f"oh well {LRM}<This message was edited>", "oh well"),
        ("oh well <This message was edited>", "oh well"),
        ("na gut <Diese Nachricht wurde bearbeitet.>", "na gut"),
        ("if a <b> then", "if a <b> then"),
        ("see <here>", "see <here>"),
        (f"our hut {LRM}<attached: 00000012-PHOTO.jpg>", "our hut"),
        (f"our hut {LRM}image omitted", "our hut"),
        ("IMG-20240520-WA0003.jpg (file attached)\nour hut", "our hut"),
        ("ask \u2068@Kim\u2069 first", "ask @Kim first"),
        ("NULL", "NULL"),
        ("who deleted this message?", "who deleted this message?"),
        ("is it end-to-end encrypted?", "is it end-to-end encrypted?"),
        ("read plan.pdf (page two)", "read plan.pdf (page two)"),
    ],
)
def test_words_around_marks_are_kept(text: str, typed: str) -> None:
    assert said(android("Ann: hi", f"Bob: {text}")) == [("Ann", "hi"), ("Bob", typed)]


def test_lines_before_the_first_message_are_counted() -> None:
    assert skipped("An export\n\nof a chat\n" + android("Ann: hi", "Bob: hello")) == {PREAMBLE: 2}


def test_endless_message_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_text, "MAX_MESSAGE_CHARS", 10)
    notes = ChatNotes()
    text = android("Ann: 12345\n67\n" + "x\n" * 100, "Bob: 123456789")
    assert said(text, notes) == [("Ann", "12345"), ("Bob", "12345")]  # ten characters with the name
    assert notes.skipped == {CUT_OFF: 1}


def test_signal_is_told_from_whatsapp_and_loses_quotes_and_attachments() -> None:
    notes = ChatNotes()
    text = (
        "[2024-05-20, 10:00] Ann: where?\n[2024-05-20, 10:01] Me: > where?\n> now\nat home\nreally\n"
        "[2024-05-20, 10:02] Ann: ![](./media/cat.jpg)\n[2024-05-20, 10:02] Ann: coming\n"
    )
    assert said(text, notes) == [("Ann", "where?"), ("Me", "at home really"), ("Ann", "coming")]
    assert notes.formats == ["Signal chat"]
    assert notes.skipped == {NO_TEXT: 1}


def test_line_that_is_not_utf_8_is_an_error_or_counted() -> None:
    content = android("Ann: hi", "Bob: h@llo", "Bob: hm").encode().replace(b"@", b"\xe4")
    with pytest.raises(CorpusError, match=r"chat\.txt, line 2: not UTF-8"):
        read(content)
    notes = ChatNotes(skip=True)
    assert len(read(content, notes)) == 1
    assert notes.count == 1


def test_utf_16_is_an_error_that_says_so() -> None:
    with pytest.raises(CorpusError, match=r"chat\.txt: is UTF-16, not UTF-8"):
        read(android("Ann: hi", "Bob: hello").encode("utf-16"))


def test_plain_text_is_not_a_chat() -> None:
    with pytest.raises(
        NotAChatError, match=r"chat\.txt: no line begins with a date and time.*begins with 'just text'"
    ):
        read("just text\nand more\n")
    assert not is_chat_text(io.BytesIO(b"just text\n"))
    stream = io.BytesIO(b"preamble\n" + android("Ann: hi").encode())
    assert is_chat_text(stream)
    assert stream.tell() == 0


def test_plain_bad_lines_do_instead_of_notes() -> None:
    assert len(list(read_chat_text(io.BytesIO(android("Ann: hi", "Bob: ho").encode()), "c", BadLines()))) == 1


def test_same_dialogue_has_the_same_id_in_a_longer_export() -> None:
    (short,) = read(android("Ann: hi", "Bob: hello"))
    (longer,) = read(android("Ann: hi", "Bob: hello", "Ann: and?"))
    assert short.id == longer.id

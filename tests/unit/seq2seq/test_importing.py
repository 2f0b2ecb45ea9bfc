from __future__ import annotations

import json
from pathlib import Path

import pytest

from seq2seq.dialogues import Dialogue
from seq2seq.errors import CorpusError
from seq2seq.importing import ImportReport, ImportRequest, import_dialogues


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def whatsapp(path: Path, *messages: str, day: int = 20) -> Path:
    lines = (f"{day}/05/2024, 10:{minute:02} - {message}\n" for minute, message in enumerate(messages))
    return write(path, "".join(lines))


def telegram(path: Path, *messages: tuple[int, str, str]) -> Path:
    """Messages of (minute, sender, text)."""
    values = [
        {"id": minute, "type": "message", "date_unixtime": minute * 60, "from": who, "from_id": who, "text": text}
        for minute, who, text in messages
    ]
    return write(path, json.dumps({"name": "x", "type": "personal_chat", "id": 3, "messages": values}))


def run(*paths: Path, **request: object) -> tuple[list[Dialogue], ImportReport]:
    report = ImportReport()
    dialogues = list(import_dialogues(ImportRequest(paths, **request), report, lambda *_: None))  # type: ignore[arg-type]
    return dialogues, report


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    return whatsapp(tmp_path / "chat.txt", "Ann: tea?", "Bob: please", "Ann: sugar?", "Bob: two")


def test_report_says_what_was_read_and_would_be_learned(tmp_path: Path) -> None:
    path = whatsapp(tmp_path / "chat.txt", "Ann: tea?", "Ann created group “x”", "Bob: yes", "Bob: <Media omitted>")
    _, report = run(path)
    assert report.as_text().splitlines() == [
        f"read       WhatsApp chat ({path.stat().st_size:,} bytes)",
        "messages   2 of 2 people, 2024-05-20 to 2024-05-20",
        "people     Ann 1, Bob 1",
        "silence    4 hours part two dialogues (inferred)",
        "dialogues  1 with 1 replies to learn",
        "skipped    1 notices of the messenger (joined, called, pinned ...)",
        "skipped    1 no text (photo, voice, sticker ...)",
        f"note       {path}: dates are day/month/year",
        "",
        "  Ann: tea?",
        "  Bob: yes",
    ]


def test_only_the_chosen_voice_is_learned(chat: Path) -> None:
    (dialogue,), report = run(chat, responders=("Bob",))
    assert dialogue.responders == {"Bob"}
    assert report.replies == 2
    assert {example.replier for example in report.sample} == {"Bob"}


def test_voice_is_found_whatever_the_case_unless_two_differ_by_it(chat: Path, tmp_path: Path) -> None:
    (dialogue,), _ = run(chat, responders=("bOB",))
    assert dialogue.responders == {"Bob"}
    both = whatsapp(tmp_path / "both.txt", "BOB: hi", "Bob: hello", "BOB: oh")
    (dialogue,), _ = run(both, responders=("BOB",))
    assert dialogue.responders == {"BOB"}
    with pytest.raises(CorpusError, match="--as bob: could be several people"):
        run(both, responders=("bob",))


def test_unknown_voice_is_an_error_with_the_names_of_all_files(chat: Path, tmp_path: Path) -> None:
    other = whatsapp(tmp_path / "other.txt", "Kim: hi", "Ann: hello")
    with pytest.raises(CorpusError, match=r"--as Eve: is nobody here\. There are Ann \(3 messages\), Bob \(2 .*Kim"):
        run(chat, other, responders=("Eve",))
    _, report = run(chat, other, responders=("Kim", "Bob"))
    assert (report.replies, report.unheard) == (2, 1)  # Kim spoke first in the other file, and answered nobody


def test_files_whose_responders_say_nothing_are_told_as_such(tmp_path: Path) -> None:
    turns = [{"speaker": who, "text": "hi"} for who in "AB"]
    path = write(tmp_path / "c.jsonl", json.dumps({"turns": turns, "responders": []}) + "\n")
    with pytest.raises(CorpusError, match=r'whoever the files name as "responders" never answers anybody'):
        run(path)


def test_voice_that_never_answers_is_an_error(chat: Path, tmp_path: Path) -> None:
    first = whatsapp(tmp_path / "first.txt", "Kim: hello?", "Ann: yes")
    with pytest.raises(CorpusError, match="nothing to learn: Kim never answers anybody"):
        run(first, responders=("Kim",))


def test_same_chat_twice_is_read_once(chat: Path, tmp_path: Path) -> None:
    dialogues, report = run(chat, chat, write(tmp_path / "copy.txt", chat.read_text()))
    assert len(dialogues) == 1
    assert (report.dialogues, report.repeated, report.notes.messages) == (1, 2, 12)


def test_corpus_dialogues_are_the_same_only_by_id_and_text(tmp_path: Path) -> None:
    def line(text: str) -> str:
        turns = [{"speaker": "A", "text": text}, {"speaker": "B", "text": "yes"}]
        return json.dumps({"id": "1", "turns": turns}) + "\n"

    one, two = write(tmp_path / "1.jsonl", line("a") * 2), write(tmp_path / "2.jsonl", line("b"))
    dialogues, report = run(one, two)
    assert [dialogue.turns[0].text for dialogue in dialogues] == ["a", "b"]
    assert report.repeated == 1
    assert report.notes.formats == ["dialogues in .jsonl"]
    assert report.notes.people == {"A": 3, "B": 3}


def test_silence_is_a_setting(tmp_path: Path) -> None:
    path = telegram(tmp_path / "result.json", (0, "A", "1"), (1, "B", "2"), (90, "A", "3"), (91, "B", "4"))
    assert len(run(path)[0]) == 1
    dialogues, report = run(path, silence_hours=1.0)
    assert len(dialogues) == 2
    assert "silence    1 hours part two dialogues (as told)" in report.as_text()
    with pytest.raises(CorpusError, match="--silence must be more than 0 hours, got 0"):
        ImportRequest((path,), silence_hours=0)
    with pytest.raises(CorpusError, match="got nan"):
        ImportRequest((path,), silence_hours=float("nan"))


@pytest.mark.parametrize(
    ("messages", "looks"),
    [
        (["Ann: hi", "Ann: anybody?"], r"2 messages to learn from of Ann; .*A dialogue needs two people"),
        (["Ann: <Media omitted>"], r"0 messages to learn from; skipped were 1 no text .*needs two people"),
    ],
)
def test_file_without_a_dialogue_is_an_error_that_says_what_it_looked_like(
    tmp_path: Path, messages: list[str], looks: str
) -> None:
    with pytest.raises(
        CorpusError, match=rf"chat\.txt: no dialogue found\. It looks like WhatsApp chat, with {looks}"
    ):
        run(whatsapp(tmp_path / "chat.txt", *messages))


def test_people_who_never_meet_are_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    path = telegram(tmp_path / "result.json", (0, "A", "hi"), (60 * 24 * 9, "B", "hello"))
    with pytest.raises(CorpusError, match=r"Nobody answers within the silence .* a longer --silence HOURS"):
        run(path)
    assert len(run(path, silence_hours=300.0)[0]) == 1


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = telegram(tmp_path / "result.json", (0, "A\x1b[2J", "1\x1b]0;x\x07"), (1, "B" * 300, "2"))
    _, report = run(path)
    assert "\x1b" not in report.as_text()
    assert max(map(len, report.as_text().splitlines())) < 200


def test_progress_goes_on_to_the_end_of_the_last_file(chat: Path, tmp_path: Path) -> None:
    other = whatsapp(tmp_path / "other.txt", "Kim: hi", "Ann: hello")
    told: list[tuple[int, int]] = []
    report = ImportReport()
    for _ in import_dialogues(ImportRequest((chat, other)), report, lambda *args: told.append(args)):
        pass
    assert told == sorted(told)
    assert told[-1] == (chat.stat().st_size + other.stat().st_size, 6)
    assert report.size_bytes == told[-1][0]


@pytest.mark.parametrize("name", ["gone.json", "folder"])
def test_what_cannot_be_read_is_one_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError, match=r"gone\.json: cannot be read|folder: is a folder"):
        run(tmp_path / name)

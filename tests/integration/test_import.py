"""``backchat import`` on whole files: written exports, samples of real ones, and hostile ones."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import imports
from seq2seq.corpus import open_corpus
from seq2seq.dialogues import exchanges
from seq2seq.errors import CorpusError
from seq2seq.exports.notes import ChatNotes
from seq2seq.readers import read_dialogues
from storage.store import ConversationStore, StorageConfig

EXPORTS = Path(__file__).parents[3] / "shared" / "data" / "exports"
needs_samples = pytest.mark.skipif(
    not EXPORTS.is_dir(), reason="samples of exports (../shared/data/exports) are absent"
)


def run(*arguments: object) -> str:
    """Run the command and return its standard output; its error is raised."""
    result = CliRunner().invoke(imports.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.txt"
    talk = ["Ann: tea?", "Bob: please", "Ann: sugar?", "Bob: two"]
    path.write_text("".join(f"20.05.24, 10:0{n} - {message}\n" for n, message in enumerate(talk)), encoding="utf-8")
    return path


def test_dry_run_prints_the_report_and_writes_nothing(chat: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    out = run(chat, "--dry-run", "--to", tmp_path / "out.jsonl")
    for part in (
        "WhatsApp chat",
        "4 of 2 people, 2024-05-20 to 2024-05-20",
        "Ann 2, Bob 2",
        "Ann: tea?\n  Bob: please",
        "day.month.year",
    ):
        assert part in out
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_written_file_is_a_corpus_of_the_chosen_voice(chat: Path, tmp_path: Path, name: str) -> None:
    out = run(chat, "--as", "bob", "--to", tmp_path / name)
    assert "1 with 2 replies" in out
    assert "tea?" not in out  # nobody's words but where they are asked for
    (dialogue,) = open_corpus(str(tmp_path / name))
    assert [(e.context, e.response) for e in exchanges(dialogue)] == [
        (("tea?",), "please"),
        (("tea?", "please", "sugar?"), "two"),
    ]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_importing_twice_gives_the_same_file(chat: Path, tmp_path: Path, name: str) -> None:
    run(chat, "--to", tmp_path / name)
    once = (tmp_path / name).read_bytes()
    run(chat, chat, "--to", tmp_path / name)
    assert (tmp_path / name).read_bytes() == once


def test_failed_import_leaves_the_earlier_file_and_no_other(chat: Path, tmp_path: Path) -> None:
    to = tmp_path / "out.jsonl"
    run(chat, "--to", to)
    once = to.read_bytes()
    broken = tmp_path / "result.json"
    broken.write_text('{"messages": [{"id": 1, "type": "message"')
    with pytest.raises(CorpusError, match="stops in the middle"):
        run(chat, broken, "--to", to)
    with pytest.raises(CorpusError, match="--as Eve: is nobody here"):
        run(chat, "--as", "Eve", "--to", to)
    assert to.read_bytes() == once
    assert {path.name for path in tmp_path.iterdir()} == {"chat.txt", "out.jsonl", "result.json"}


def test_file_to_write_must_be_a_corpus_of_its_own(chat: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"must end in \.jsonl or \.jsonl\.gz"):
        run(chat, "--to", tmp_path / "out.json")
    run(chat, "--to", tmp_path / "out.jsonl")
    with pytest.raises(CorpusError, match=r"out\.jsonl: is read and cannot be written at the same time"):
        run(tmp_path / "out.jsonl", "--to", tmp_path / "out.jsonl")
    with pytest.raises(CorpusError, match=r"cannot be written \(No such file or directory\)"):
        run(chat, "--to", tmp_path / "nowhere" / "out.jsonl")


def test_memory_takes_dialogues_once_and_takes_in_what_has_grown(
    chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path / "home"))

    def remembered() -> list[str]:
        with closing(
            ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'home' / 'conversations.db'}"))
        ) as store:
            return [turn.text for talk in store.conversations() for turn in store.turns(talk.key)]

    run(chat)
    once = remembered()
    assert once
    run(chat)
    assert remembered() == once
    with chat.open("a", encoding="utf-8") as export:
        export.write("20.05.24, 10:09 - Ann: done\n")
    run(chat)
    assert remembered() != once
    assert any("done" in text for text in remembered())


_FULL_DISK = """
import resource, sys
from scripts.cli import main

resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))  # every write beyond fails, as on a full disk
main(sys.argv[1:])
"""


@pytest.mark.parametrize("target", ["memory", "file"])
def test_full_disk_in_the_middle_is_one_line_and_the_next_import_works(tmp_path: Path, target: str) -> None:
    """Half of it is stored when the room ends; what was there before stays, and nothing is doubled afterwards."""
    home = tmp_path / "home"
    talk = [f"{21 + day}.05.2024, 10:{n:02d} - {'Ann' if n % 2 else 'Bob'}: {day} {n} " + "tea " * 1500
            for day in range(4) for n in range(30)]  # fmt: skip
    (tmp_path / "first.txt").write_text("\n".join(talk[:30]), encoding="utf-8")
    (tmp_path / "chat.txt").write_text("\n".join(talk), encoding="utf-8")
    to = ["--to", str(tmp_path / "out.jsonl")] if target == "file" else []
    environment = {**os.environ, "BACKCHAT_HOME": str(home)}

    def attempt(name: str, code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "import", str(tmp_path / name), *to]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)

    def stored() -> list[str]:
        if target == "file":
            return [turn.text for dialogue in read_dialogues(tmp_path / "out.jsonl") for turn in dialogue.turns]
        with closing(ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))) as store:
            return [turn.text for talk in store.conversations() for turn in store.turns(talk.key)]

    free = _FULL_DISK.replace("({room}, {room})", "(resource.RLIM_INFINITY, resource.RLIM_INFINITY)")
    assert attempt("first.txt", free).returncode == 0
    before = stored()
    grown = home / "conversations.db" if target == "memory" else tmp_path / "out.jsonl"
    full = attempt("chat.txt", _FULL_DISK.replace("{room}", str(grown.stat().st_size + 50_000)))
    assert full.returncode == 1, full.stderr
    (line,) = [line for line in full.stderr.splitlines() if line.strip()]
    assert line.startswith("backchat: ")
    assert "tea tea" not in full.stderr
    assert stored() == before
    assert attempt("chat.txt", free).returncode == 0
    assert len(stored()) == len(set(stored())) == 120


def test_phones_zip_is_read_without_its_media(chat: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Bob.zip", "w") as archive:
        archive.writestr("_chat.txt", chat.read_text())
        archive.writestr("00000012-PHOTO.jpg", b"\xff\xd8\xff")
    assert "4 of 2 people" in run(tmp_path / "WhatsApp Chat - Bob.zip", "--dry-run")


# kept messages, then the number that were skipped; counted by hand in the samples
SAMPLES = {
    "telegram/chat_miner_single.json": (2, 0),
    "telegram/chat_miner_batch.json": (2, 0),
    "telegram/tg2md_channel.json": (13, 6),  # 1 notice, 5 media without words
    "telegram/made_personal_chat_result.json": (3, 3),  # a sticker, a call, a forwarded message
    "whatsapp/chat_miner_ddmmyy_24h.txt": (6, 3),  # 2 notices, 1 message to be seen once
    "whatsapp/chat_miner_mmddyy_24h.txt": (6, 3),
    "whatsapp/chat_miner_mmddyyyy_12h.txt": (6, 3),
    "whatsapp/chat_miner_yyyymmdd_24h.txt": (6, 3),
    "whatsapp/chat_miner_brackets_24h.txt": (6, 3),
    "whatsapp/chatistics_ios.txt": (20, 1),
    "whatsapp/chatistics_2.txt": (4, 0),
    "whatsapp/chatistics_3.txt": (9, 2),
    "whatsapp/chatistics_4.txt": (3, 0),
    "whatsapp/whatstk_group_dialogue.txt": (18, 2),
    "whatsapp/whatstk_lorem.txt": (500, 0),
    "whatsapp/made_android_us.txt": (4, 3),  # encryption, media, a deleted message
    "whatsapp/made_ios_zh.txt": (3, 1),
    "signal/chat_miner.txt": (2, 0),
    "instagram/chat_miner.json": (2, 0),
    "discord/made_channel.json": (4, 3),  # a bot, somebody who joined, a picture
}


@needs_samples
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_is_read_to_the_last_message(name: str) -> None:
    notes = ChatNotes()
    list(read_dialogues(EXPORTS / name, notes))
    assert (notes.messages, notes.skipped.total()) == SAMPLES[name]


@needs_samples
def test_every_sample_is_known() -> None:
    assert {str(path.relative_to(EXPORTS)) for path in EXPORTS.rglob("*.*")} == set(SAMPLES)


@needs_samples
@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("chat_miner_ddmmyy_24h.txt", "day/month/year"),
        ("chat_miner_mmddyy_24h.txt", "month/day/year"),
        ("chat_miner_mmddyyyy_12h.txt", "month/day/year"),
        ("chat_miner_yyyymmdd_24h.txt", "year/month/day"),
        ("chatistics_ios.txt", "day.month.year"),
        ("chatistics_4.txt", "month/day/year"),
        ("whatstk_lorem.txt", "day-month-year"),
        ("made_android_us.txt", "month/day/year"),
        ("made_ios_zh.txt", "year/month/day"),
    ],
)
def test_dates_of_a_sample_are_read_in_their_order(name: str, order: str) -> None:
    notes = ChatNotes()
    list(read_dialogues(EXPORTS / "whatsapp" / name, notes))
    assert notes.remarks == [f"{EXPORTS / 'whatsapp' / name}: dates are {order}"]


@needs_samples
def test_samples_texts_are_whole() -> None:
    (dialogue,) = read_dialogues(EXPORTS / "telegram" / "made_personal_chat_result.json")
    assert [turn.speaker for turn in dialogue.turns] == ["Robin", "Sam Lee", "Robin"]
    assert dialogue.turns[1].text == "almost, look at https://example.org/map 😅"
    (dialogue,) = read_dialogues(EXPORTS / "whatsapp" / "made_ios_zh.txt")
    assert [turn.text for turn in dialogue.turns] == ["在吗？", "在的，怎么了 好看！ 哪里拍的？"]


HOSTILE = {
    "deep.json": '{"messages": [' + "[" * 500_000,
    "deeper.json": '{"a":' * 500_000,
    "cut.json": '{"messages": [{"type": "message", "date": "2024-05-20T10:00:00", "text": "hel',
    "binary.json": "\x00" * 1000,
    "other.json": '{"openapi": "3.1", "paths": {}}',
    "table.json": "[[1, 2], [3, 4]]",
    "empty.json": "",
    "empty.txt": "",
    "empty.zip": "",
    "list.zip": "PK\x03\x04 and nothing behind",
    "page.html": "<html></html>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(HOSTILE[name])
    with pytest.raises(CorpusError, match=name) as raised:
        run(tmp_path / name, "--dry-run")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_bomb_in_a_zip_and_name_that_escapes_do_no_harm(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("result.json", '{"messages": [' + " " * 20_000_000)
    with pytest.raises(CorpusError, match="as a zip bomb does"):
        run(tmp_path / "bomb.zip", "--dry-run")
    with zipfile.ZipFile(tmp_path / "escape.zip", "w") as archive:
        archive.writestr("../../escaped.txt", "20.05.24, 10:00 - A: hi\n20.05.24, 10:01 - B: ho\n")
    run(tmp_path / "escape.zip", "--to", tmp_path / "out.jsonl")
    assert not (tmp_path.parent.parent / "escaped.txt").exists()


def test_gzip_that_unpacks_without_end_is_read_in_constant_memory(tmp_path: Path) -> None:
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(b'{"messages": [' + b" " * 50_000_000))
    with pytest.raises(CorpusError, match=r"stops in the middle, after [\d,]+ characters"):
        run(tmp_path / "c.json.gz", "--dry-run")


def test_account_of_many_chats_keeps_them_apart(tmp_path: Path) -> None:
    def chat(number: int) -> dict[str, object]:
        messages = [
            {
                "id": n,
                "type": "message",
                "date_unixtime": str(n),
                "from": who,
                "from_id": who,
                "text": f"{number} {n}",
            }
            for n, who in enumerate(["Ann", f"Friend {number}"] * 3)
        ]
        return {"name": f"Friend {number}", "type": "personal_chat", "id": number, "messages": messages}

    account = {"chats": {"list": [chat(number) for number in range(40)]}}
    (tmp_path / "result.json").write_text(json.dumps(account))
    out = run(tmp_path / "result.json", "--as", "Ann", "--to", tmp_path / "out.jsonl")
    assert "dialogues  40 with 80 replies to learn" in out
    assert "Ann 120, " in out
    assert "and 21 more" in out

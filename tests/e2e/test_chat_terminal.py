"""``backchat chat`` in a pseudo-terminal; the screen is read as a person would see it."""

from __future__ import annotations

import os
import signal
import stat
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pyte
import pytest

from storage.store import ConversationStore, StorageConfig

PATIENCE_S = 60


class Screen:
    """A terminal with a person in front of it."""

    def __init__(
        self, home: Path, *arguments: str, command: str = "chat", columns: int = 80, **environment: str
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, 40, history=2000)
        self._stream = pyte.ByteStream(self._screen)
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "scripts", command, *arguments],
            dimensions=(40, columns),
            env={**os.environ, "BACKCHAT_HOME": str(home), "TERM": "xterm-256color", **environment},
        )
        self.process.ptyproc.delayafterterminate = 0.5  # what is killed on a busy machine is gone a little later

        self._screen.write_process_input = self.process.send  # a terminal that says where its cursor is

    def text(self) -> str:
        """Return what is on the screen, after reading what has come meanwhile; a live screen never falls silent."""
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            try:
                self._stream.feed(self.process.read_nonblocking(65536, timeout=0.05))
            except (pexpect.TIMEOUT, pexpect.EOF):
                break
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, claim: str | Callable[[str], bool]) -> str:
        """Wait until the screen holds a text, or a claim about it is true."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            text = self.text()
            if claim in text if isinstance(claim, str) else claim(text):
                return text
        raise AssertionError(f"{claim!r} never came; the screen shows:\n{self.text()}")

    def wait_for_prompt(self) -> str:
        return self.wait_for(lambda text: text.rstrip().endswith("\n>") or text.rstrip() == ">")

    def type(self, keys: str) -> None:
        self.process.send(keys)

    def say(self, line: str) -> str:
        """Type a line, and return the screen when the prompt is back."""
        count = self.text().count("\n> ")
        self.type(line + "\r")
        return self.wait_for(lambda text: text.count("\n> ") > count and text.rstrip().endswith("\n>"))

    def resize(self, columns: int) -> None:
        self.process.setwinsize(40, columns)
        self._screen.resize(40, columns)

    def read_until(self, wanted: bytes, times: int) -> bytes:
        """Show what comes, until it held some bytes so often; returns it."""
        seen, deadline = b"", time.monotonic() + PATIENCE_S
        while seen.count(wanted) < times and time.monotonic() < deadline:
            with suppress(pexpect.TIMEOUT):
                new = self.process.read_nonblocking(65536, timeout=0.5)
                self._stream.feed(new)
                seen += new
        return seen

    def read_to_the_end(self) -> bytes:
        """Show all that comes until nothing more does; returns it."""
        seen, deadline = b"", time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                new = self.process.read_nonblocking(65536, timeout=0.5)
            except pexpect.TIMEOUT:
                if not self.process.isalive():
                    break
                continue
            except pexpect.EOF:
                break
            self._stream.feed(new)
            seen += new
        return seen

    def end(self) -> int:
        """Wait for the process to end; returns its exit code."""
        self.process.expect(pexpect.EOF, timeout=PATIENCE_S)
        self.process.close()
        return int(self.process.exitstatus if self.process.exitstatus is not None else -1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def screen(home: Path) -> Iterator[Screen]:
    opened = Screen(home, "--model", "echo")
    opened.wait_for_prompt()
    yield opened
    opened.process.close(force=True)


def rows(home: Path) -> list[tuple[str, str]]:
    store = ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))
    found = [(turn.speaker, turn.text) for c in store.conversations() for turn in store.turns(c.key)]
    store.close()
    return found


def test_the_greeting_says_who_speaks_and_whether_it_is_recorded(screen: Screen) -> None:
    assert "echo speaks. This talk is recorded. /help" in screen.text()


def test_a_message_is_answered_on_the_screen_and_in_the_database(screen: Screen, home: Path) -> None:
    assert "\n> hello there\nhello there\n>" in screen.say("hello there")
    assert rows(home) == [("person", "hello there"), ("bot", "hello there")]


@pytest.mark.parametrize("hostile", ["[/]", "[red]not red[/red]", "[link=x]", "\\[", ":smile:", "{0} %s"])
def test_markup_is_shown_as_it_was_typed(screen: Screen, hostile: str) -> None:
    assert f"> {hostile}\n{hostile}\n" in screen.say(hostile)


def test_control_d_leaves_with_0(screen: Screen) -> None:
    screen.type("\x04")
    assert screen.end() == 0


def test_control_c_hints_first_and_leaves_the_second_time(screen: Screen) -> None:
    screen.type("\x03")
    screen.wait_for("Ctrl-C once more leaves")
    screen.wait_for_prompt()
    screen.type("\x03")
    assert screen.end() == 0


def test_control_c_stops_a_reply_and_keeps_the_talk(home: Path) -> None:
    screen = Screen(home, "--model", "echo", "--echo-delay-ms", "30000")
    screen.wait_for_prompt()
    screen.type("one two three four five six seven eight nine ten\r")
    screen.wait_for("\none two")
    screen.type("\x03")
    screen.wait_for("[stopped]")
    screen.wait_for_prompt()
    assert screen.process.isalive()
    said = rows(home)
    assert said[0] == ("person", "one two three four five six seven eight nine ten")
    assert said[1][0] == "bot"
    assert said[0][1].startswith(said[1][1])
    assert len(said[1][1]) < len(said[0][1])
    screen.process.close(force=True)


def test_an_unknown_command_offers_the_nearest_and_a_double_slash_is_a_message(screen: Screen) -> None:
    assert "Did you mean /retry?" in screen.say("/retri")
    assert "> //shrug\n/shrug\n" in screen.say("//shrug")


def test_retry_undo_and_edit_keep_every_branch(screen: Screen, home: Path) -> None:
    screen.say("first")
    screen.say("/retry")
    screen.say("/edit second")
    assert "Taken back: second | second" in screen.say("/undo")
    assert "Nothing was said yet." in screen.say("/history")
    assert rows(home) == [
        ("person", "first"),
        ("bot", "first"),
        ("bot", "first"),
        ("person", "second"),
        ("bot", "second"),
    ]


def test_ratings_and_lessons_are_kept(screen: Screen, home: Path) -> None:
    screen.say("hello")
    screen.say("/good")
    screen.say("/teach hello to you too")
    assert "may be learned" in screen.say("/consent on")
    store = ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))
    key = store.conversations()[0].key
    feedback = list(store.feedback(key).values())
    store.close()
    assert [list(f.ratings.values()) for f in feedback if f.ratings] == [[1]]
    assert [list(f.taught.values()) for f in feedback if f.taught] == [["hello to you too"]]


def test_settings_are_checked_and_shown(screen: Screen) -> None:
    assert "temperature = 0.5" in screen.say("/set temperature 0.5")
    assert "between 0.01 and 10" in screen.say("/set temperature 99")
    assert "Did you mean top_k?" in screen.say("/set topk 3")
    assert "temperature              0.5 *" in screen.say("/show")


def test_off_the_record_leaves_nothing_on_the_disk(screen: Screen, home: Path) -> None:
    screen.say("on the record")
    assert "Off the record" in screen.say("/record off")
    screen.say("my secret is zanzibar")
    assert "Recorded from now on." in screen.say("/record on")
    screen.say("again on it")
    screen.type("\x04")
    screen.end()
    assert [text for speaker, text in rows(home) if speaker == "person"] == ["on the record", "again on it"]
    assert [path for path in home.iterdir() if path.is_file() and b"zanzibar" in path.read_bytes()] == []


def test_a_saved_talk_can_be_loaded(screen: Screen, home: Path) -> None:
    screen.say("remember me")
    screen.say(f"/save {home}/talk.jsonl")
    assert "Loaded 2 turns" in screen.say(f"/load {home}/talk.jsonl")
    (home / "bad.jsonl").write_text('{"turns": 5}\n')
    assert "bad.jsonl,line1" in "".join(screen.say(f"/load {home}/bad.jsonl").split()), "folded anywhere"
    assert "bot: remember me" in screen.say("/history")


def test_what_was_typed_comes_back_in_the_next_session(screen: Screen, home: Path) -> None:
    screen.say("typed before")
    screen.type("\x04")
    screen.end()
    assert stat.S_IMODE((home / "history").stat().st_mode) == 0o600
    again = Screen(home, "--model", "echo")
    again.wait_for_prompt()
    again.type("\x1b[A")
    again.wait_for("> typed before")
    again.process.close(force=True)


def test_alt_enter_begins_another_line_and_so_do_triple_quotes(screen: Screen, home: Path) -> None:
    screen.type("one\x1b\rtwo\r")
    screen.wait_for("\none two\n")
    screen.type('"""three\rfour"""\r')
    screen.wait_for("\nthree four\n")
    assert [text for speaker, text in rows(home) if speaker == "person"] == ["one\ntwo", "three\nfour"]


def test_what_is_forgotten_leaves_the_history_of_typed_lines_too(screen: Screen, home: Path) -> None:
    screen.say("the word is zanzibar")
    screen.say("/forget yes")
    screen.say("another word")
    screen.type("\x04")
    screen.end()
    assert [path for path in home.iterdir() if path.is_file() and b"zanzibar" in path.read_bytes()] == []
    assert b"another word" in (home / "history").read_bytes()


def test_the_line_is_alive_while_a_reply_is_made_and_what_is_sent_meanwhile_waits_its_turn(home: Path) -> None:
    screen = Screen(home, "--model", "echo", "--echo-delay-ms", "4000")
    screen.wait_for_prompt()
    screen.type("a slow one\r")
    screen.wait_for("\na slow")
    screen.type("typed meanwhile")
    assert "\na slow one\n>" not in screen.wait_for("typed meanwhile")
    screen.type("\r")
    screen.wait_for(lambda text: text.rstrip().endswith("> typed meanwhile\ntyped meanwhile\n>"))
    assert [text for _, text in rows(home)] == ["a slow one", "a slow one", "typed meanwhile", "typed meanwhile"]
    screen.process.close(force=True)


def test_another_reply_is_chosen_with_arrows(home: Path) -> None:
    screen = Screen(home, "--seed", "3")
    screen.wait_for_prompt()
    screen.say("Do you like to walk in the rain?")
    first = rows(home)[1][1]
    screen.type("/alternatives\r")
    screen.wait_for("2. ")
    screen.type("\x1b[B\r")
    screen.wait_for("Said instead: ")
    screen.wait_for_prompt()
    screen.type("/history\r")
    said = screen.wait_for(lambda text: "bot: " in text)
    store = ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))
    key = store.conversations()[0].key
    second = store.recent_turns(key, 1)[0].text
    store.close()
    assert second != first
    assert f"bot: {second}" in " ".join(said.split())
    screen.process.close(force=True)


def test_commands_are_completed(screen: Screen) -> None:
    screen.type("/alt")
    screen.wait_for("Show what else could be said")
    screen.type("\t")
    screen.wait_for("> /alternatives")
    screen.type("\x03")


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_plain_terminals_get_plain_text(home: Path, environment: dict[str, str]) -> None:
    screen = Screen(home, "--model", "echo", **environment)
    screen.wait_for("speaks.")
    screen.process.send("plain words\r" if "NO_COLOR" in environment else "plain words\n")
    screen.wait_for(lambda text: text.count("plain words") == 2)
    screen.wait_for_prompt()
    screen.type("\x04")
    assert screen.end() == 0


def test_forty_columns_are_enough(home: Path) -> None:
    screen = Screen(home, "--model", "echo", columns=40)
    screen.wait_for_prompt()
    assert "word " * 3 in screen.say("word " * 30)
    screen.process.close(force=True)


@pytest.mark.parametrize(
    ("keys", "is_replying", "code"),
    [
        ("\x04", False, 0),
        ("\x04", True, 0),
        ("\x03\x03", False, 0),
        ("/quit\r", False, 0),
        (signal.SIGTERM, False, 128 + signal.SIGTERM),
        (signal.SIGTERM, True, 128 + signal.SIGTERM),
    ],
)
def test_the_terminal_is_as_it_was_after_every_way_out(
    home: Path, keys: str | signal.Signals, is_replying: bool, code: int
) -> None:
    screen = Screen(home, "--model", "echo", "--echo-delay-ms", "30000" if is_replying else "0")
    slave = os.open(Path(f"/proc/{screen.process.pid}/fd/0").readlink(), os.O_RDWR | os.O_NOCTTY)
    before = termios.tcgetattr(slave)
    screen.wait_for_prompt()
    assert termios.tcgetattr(slave) != before
    if is_replying:
        screen.type("one two three four five six seven eight nine ten\r")
        screen.wait_for("\none two")
    if isinstance(keys, signal.Signals):
        screen.process.kill(keys)
    else:
        screen.type(keys)
    shown = screen.read_to_the_end()
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    assert screen.end() == code
    for switched_on, switched_off in ((b"\x1b[?2004h", b"\x1b[?2004l"), (b"\x1b[?25l", b"\x1b[?25h")):
        assert shown.rfind(switched_off) >= shown.rfind(switched_on)
    if is_replying:
        assert [speaker for speaker, _ in rows(home)] == ["person", "bot"]


def test_a_memory_that_cannot_be_opened_is_told_and_nothing_goes_on_unless_the_person_says_so(home: Path) -> None:
    (home / "conversations.db").write_text("dear diary " * 500)
    refused = Screen(home, "--model", "echo")
    refused.wait_for("file is not a database: the file is something")
    refused.wait_for("Go on without recording?")
    refused.type("\r")
    assert refused.end() == 1
    screen = Screen(home, "--model", "echo")
    screen.type("typed early\r")
    screen.wait_for("Go on without recording?")
    screen.type("2\r")
    screen.wait_for("\ntyped early\n>")
    assert "Recording is off" in screen.say("/record")
    screen.type("\x04")
    assert screen.end() == 0
    assert (home / "conversations.db").read_text() == "dear diary " * 500
    assert b"typed early" not in (home / "history").read_bytes()


def test_a_history_that_cannot_be_kept_is_told_and_the_chat_goes_on(home: Path) -> None:
    (home / "history").mkdir()
    screen = Screen(home, "--model", "echo")
    screen.wait_for(lambda text: "cannot be written (Is a directory)" in " ".join(text.split()))
    screen.wait_for_prompt()
    assert "\n> hello\nhello\n" in screen.say("hello")
    screen.process.close(force=True)


def test_the_editor_gets_the_line_but_never_off_the_record(home: Path, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "%s, edited" "$(cat "$1")" > "$1.new" && mv "$1.new" "$1"\n')
    editor.chmod(0o700)
    screen = Screen(home, "--model", "echo", EDITOR=str(editor), VISUAL=str(editor))
    screen.wait_for_prompt()
    screen.type("a draft\x07")
    screen.wait_for("> a draft, edited")
    screen.type("\r")
    screen.wait_for("\na draft, edited\n>")
    screen.say("/record off")
    screen.type("a secret\x07")
    assert "edited" not in screen.wait_for("it would write to the disk").rsplit(">", 1)[1]
    screen.process.close(force=True)


def test_control_r_finds_what_was_typed_in_any_case(screen: Screen) -> None:
    screen.say("Good evening")
    screen.say("something else")
    screen.type("\x12good")
    screen.wait_for("I-search backward: good")
    screen.type("\r")
    screen.wait_for(lambda text: text.rstrip().endswith("> Good evening"))
    screen.type("\r")
    screen.wait_for(lambda text: text.rstrip().endswith("> Good evening\nGood evening\n>"))


def test_pasted_lines_are_one_message(screen: Screen, home: Path) -> None:
    screen.type("\x1b[200~one\rtwo\x1b[201~")
    screen.wait_for(lambda text: text.rstrip().endswith("> one\n. two"))
    screen.type("\r")
    screen.wait_for("\none two\n")
    assert rows(home)[0] == ("person", "one\ntwo")


def test_no_text_turns_the_direction_of_the_screen_and_wide_text_stays_whole(screen: Screen, home: Path) -> None:
    screen.type("\u202eabc\u202c שלום 你好 🙂\r")
    shown = screen.read_until("🙂\r\n".encode(), times=2)
    assert not {"\u202e", "\u202c"} & set(shown.decode())
    assert "שלום 你好 🙂" in shown.decode()
    screen.wait_for_prompt()
    assert rows(home)[0][1] == "\u202eabc\u202c שלום 你好 🙂"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[" * 100_000, b'{"turns": 5}', b'{"turns": [{"speaker": "bot", "text": 7}]}', b""]
)
def test_a_hostile_file_is_refused_and_the_talk_stays(screen: Screen, home: Path, content: bytes) -> None:
    (home / "bad.jsonl").write_bytes(content + b"\n")
    screen.say("remember me")
    assert "bad.jsonl" in screen.say(f"/load {home}/bad.jsonl").rsplit("/load", 1)[1]
    assert "bot: remember me" in screen.say("/history")


def test_a_resized_screen_shows_the_line_whole(screen: Screen) -> None:
    screen.say("before")
    screen.resize(40)
    screen.type("word " * 20 + "\r")
    screen.wait_for(lambda text: "> " + "word " * 7 in text and text.rstrip().endswith("\n>"))

"""``backchat chat`` without a terminal: a reply a line, JSON, contexts, hostile input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.policy import EMPTY_MESSAGE
from scripts.chat import sure_interrupts
from storage.store import ConversationStore, StorageConfig

KEYS = ["conversation", "message", "reply", "model", "strategy", "seed", "tokens", "latency_ms", "candidates"]


def backchat(
    home: Path, *arguments: str, typed: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "scripts", *arguments],
        input=typed,
        capture_output=True,
        env={**os.environ, "BACKCHAT_HOME": str(home), **environment},
        timeout=120,
        check=False,
    )


def echo(home: Path, *arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return backchat(home, "chat", "--model", "echo", *arguments, typed=typed)


def turns(home: Path) -> list[tuple[str, str]]:
    store = ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))
    found = [(t.speaker, t.text) for c in store.conversations() for t in store.turns(c.key)]
    store.close()
    return found


def test_a_pipe_gets_one_reply_a_line_and_every_turn_is_stored(tmp_path: Path) -> None:
    done = echo(tmp_path, typed="hello\nüber 日本\n".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == ["hello", "über 日本"]
    assert turns(tmp_path) == [("person", "hello"), ("bot", "hello"), ("person", "über 日本"), ("bot", "über 日本")]


def test_a_message_gets_one_reply(tmp_path: Path) -> None:
    done = echo(tmp_path, "good morning")
    assert (done.returncode, done.stdout) == (0, b"good morning\n")


def test_json_has_the_keys_of_the_contract_in_order(tmp_path: Path) -> None:
    done = echo(tmp_path, "--json", "--seed", "5", "--conversation", "work", "hi")
    facts: dict[str, Any] = json.loads(done.stdout)
    assert list(facts) == KEYS
    assert (facts["conversation"], facts["message"], facts["reply"]) == ("work", "hi", "hi")
    assert (facts["model"], facts["seed"], facts["tokens"]) == ("echo", 5, 1)
    assert [list(candidate)[:3] for candidate in facts["candidates"]] == [["text", "score", "log_prob"]]


def test_a_conversation_can_be_continued(tmp_path: Path) -> None:
    first = json.loads(echo(tmp_path, "--json", "one").stdout)["conversation"]
    assert json.loads(echo(tmp_path, "--json", "--continue", "two").stdout)["conversation"] == first
    assert json.loads(echo(tmp_path, "--json", "three").stdout)["conversation"] != first


def test_a_conversation_is_gone_on_with_by_its_title_too(tmp_path: Path) -> None:
    first = json.loads(echo(tmp_path, "--json", "one").stdout)["conversation"]
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'conversations.db'}"))
    store.rename(first, "rain and tea")
    store.close()
    assert (
        json.loads(echo(tmp_path, "--json", "--conversation", "Rain and tea", "two").stdout)["conversation"] == first
    )


def test_off_the_record_no_word_touches_the_disk(tmp_path: Path) -> None:
    done = echo(tmp_path, "--off-record", typed=b"a secret word: xylophone\n")
    assert done.stdout == b"a secret word: xylophone\n"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"xylophone" in path.read_bytes()]


def test_contexts_are_answered_in_order_and_nothing_is_recorded(tmp_path: Path) -> None:
    lines = "".join(json.dumps(["before", f"message {n}"]) + "\n" for n in range(40))
    done = echo(tmp_path, "--contexts", "--json", typed=lines.encode())
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply["reply"] for reply in replies] == [f"message {n}" for n in range(40)]
    assert {reply["conversation"] for reply in replies} == {None}
    assert not (tmp_path / "conversations.db").exists()


@pytest.mark.parametrize("line", ["not json", '"text"', "[]", '["a", 1]', "[" * 100_000])
def test_a_bad_context_is_one_clear_error_and_those_before_it_are_answered(tmp_path: Path, line: str) -> None:
    done = echo(tmp_path, "--contexts", typed=f'["fine"]\n{line}\n'.encode())
    assert (done.returncode, done.stdout) == (1, b"fine\n")
    error = done.stderr.decode()
    assert error.startswith("backchat: standard input, line 2: ")
    assert 'such as ["Hi.", "Hello!", "How are you?"]' in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "reply"),
    [
        (b"[/] [red]x :smile:", "[/] [red]x :smile:"),
        (b"\x1b[31mred\x1b[0m and \x1b]0;title\x07", "red and"),
        (b"nul\x00 inside", "nul\ufffd inside"),
        (b"bad \xff\xfe utf-8", "bad \ufffd\ufffd utf-8"),
        (b"", EMPTY_MESSAGE),
        (b"   \t ", EMPTY_MESSAGE),
        (b"word " * 20_000, " ".join(["word"] * 20_000)),
        (b"</s><s><pad>", "</s><s><pad>"),
    ],
)
def test_whatever_is_typed_gets_one_clean_line(tmp_path: Path, typed: bytes, reply: str) -> None:
    done = echo(tmp_path, typed=typed + b"\nnext\n")
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [reply, "next"]


def test_settings_out_of_range_are_refused_with_the_range(tmp_path: Path) -> None:
    done = echo(tmp_path, "--temperature", "99", "hi")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"temperature must be between 0.01 and 10" in done.stderr


def test_an_unknown_setting_offers_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "backchat.toml").write_text("[decoding]\ntemprature = 1\n")
    done = echo(tmp_path, "hi")
    assert done.returncode == 2
    assert b"did you mean decoding.temperature?" in done.stderr


def test_an_unknown_model_is_one_clear_line(tmp_path: Path) -> None:
    done = backchat(tmp_path, "chat", "--model", "nobody", "hi")
    assert done.returncode == 1
    assert b"nobody: no such model" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_flag_is_a_usage_error(tmp_path: Path) -> None:
    assert backchat(tmp_path, "chat", "--no-such-flag").returncode == 2


def test_ctrl_c_ends_a_pipe_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts", "chat", "--model", "echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "BACKCHAT_HOME": str(tmp_path)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"hello\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_comes_while_python_cleans_up_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    done = []

    def work() -> None:
        with sure_interrupts():
            Finalized()
            done.append("what was begun")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["what was begun"], "Python drops what a finalizer raises"
    assert signal.getsignal(signal.SIGINT) == before


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        f"'{sys.executable}' -m scripts chat --model echo | head -n 1",
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "BACKCHAT_HOME": str(tmp_path)},
    )
    out, errors = process.communicate(b"line\n" * 2000, timeout=120)
    assert out == b"line\n"
    assert b"Traceback" not in errors


@pytest.mark.parametrize("command", ["", "chat", "train", "models", "config", "bench", "doctor", "generate"])
def test_help_loads_no_torch_and_no_model(tmp_path: Path, command: str) -> None:
    code = (
        "import sys; from scripts.cli import main\n"
        f"try: main({[*command.split(), '--help']!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'onnxruntime', 'sqlalchemy', 'tokenizers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"--help" in done.stdout

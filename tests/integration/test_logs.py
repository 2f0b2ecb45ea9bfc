"""``backchat logs`` and ``backchat privacy``: what they print, write and erase."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.errors import BotError
from bot.typed_history import TypedHistory
from scripts import logs, privacy
from seq2seq.config import DecodingConfig
from seq2seq.dialogues import Dialogue, DialogueTurn
from seq2seq.provenance import LearnedRound
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from storage.errors import StorageError
from storage.store import ConversationStore, StorageConfig
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for
from tests.talk import ADA, BOB, record, say, texts_of


def publish_learned(models_dir: Path, name: str, turn_id: int) -> str:
    """Publish a model that was trained on one turn."""
    tokenizer = tokenizer_for(SMALL_TALK)
    learned = LearnedRound(datetime.now(UTC), "salt", (turn_id,), ("digest",), {"person": 1})
    model = tiny_model(tiny_config(tokenizer), 0)
    return publish_model(Registry(models_dir), name, model, tokenizer, DecodingConfig(), {}, [learned])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def memory(home: Path) -> Iterator[ConversationStore]:
    store = ConversationStore(StorageConfig(f"sqlite:///{home / 'conversations.db'}"))
    yield store
    store.close()


def run(*arguments: str, answer: str | None = None, app: object = None) -> Result:
    return CliRunner().invoke(app or logs.app, list(arguments), input=answer)  # type: ignore[arg-type]


def said(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exception is None, result.output
    return result.stdout


def test_an_empty_memory_is_said_to_be_empty(home: Path) -> None:
    assert said("list") == "Nothing is recorded.\n"


def test_the_list_names_title_person_and_turns(memory: ConversationStore) -> None:
    say(memory, "one", "two", "three")
    memory.rename("ada/1", "About tea")
    say(memory, "one", conversation="bob/1", person=BOB)
    lines = [line.split() for line in said("list").splitlines() if "/" in line]
    assert [line[0] for line in lines] == ["bob/1", "ada/1"]
    assert lines[1][1:5] == ["About", "tea", ADA, "3"]
    assert "ada/1" not in said("list", "--person", BOB)
    (facts,) = (json.loads(line) for line in said("list", "--json", "--limit", "1").splitlines())
    assert (facts["conversation"], facts["title"], facts["person"], facts["turns"]) == ("bob/1", None, BOB, 1)


def test_a_conversation_is_shown_by_key_title_and_number_of_a_turn(memory: ConversationStore) -> None:
    turns = say(memory, "Is it late?", "Past ten.")
    memory.rename("ada/1", "About time")
    memory.rate(turns[1].id, ADA, 1)
    memory.teach(turns[0].id, ADA, "Not yet.")
    expected = "1 you  Is it late?\n    should be answered: Not yet.\n2 bot +1  Past ten.\n"
    assert said("show", "ada/1") == said("show", "about time") == "About time\n" + expected
    assert said("show", "2") == "2 bot +1  Past ten.\n"


def test_another_branch_and_a_cut_reply_are_marked(memory: ConversationStore) -> None:
    question, _ = say(memory, "hello", "first")
    memory.add_reply(question, "sec", record(is_cut=True))
    assert said("show", "ada/1").splitlines()[1:] == ["2 bot (another branch, behind 1)  first", "3 bot cut off  sec"]
    assert [json.loads(line)["is_in_branch"] for line in said("show", "ada/1", "--json").splitlines()] == [
        True,
        False,
        True,
    ]


def test_an_imported_chat_is_shown_with_its_names(memory: ConversationStore) -> None:
    turns = (DialogueTurn("Robin", "Is it late?"), DialogueTurn("Kim", "Past ten."))
    memory.import_dialogues([Dialogue("7", "telegram", turns)])
    assert said("show", "telegram/7").splitlines() == ["1 Robin  Is it late?", "2 Kim  Past ten."]


def test_why_prints_what_is_stored_of_a_reply(memory: ConversationStore) -> None:
    turn = memory.add_turn("ada/1", "hello", person=ADA)
    candidates = (
        {"text": "hi", "score": -0.25, "log_prob": -1.5, "terms": {"reverse": -2.0}},
        {"text": "oh", "score": -0.5, "log_prob": None},
    )
    memory.add_reply(turn, "hi", record(settings={"top_p": 0.9, "stop": []}, candidates=candidates))
    told = said("show", "2", "--why")
    assert "model m1, strategy rank, seed 5, 3 tokens in 2 ms" in told
    assert "settings: top_p 0.9, stop []" in told
    assert [line.split()[0] for line in told.splitlines()[1:] if line.endswith(("  hi", "  oh"))] == [
        "-0.25",
        "-0.50",
    ]
    assert "The model m1 is not loaded" in told


def test_a_reply_whose_model_is_gone_cannot_be_made_again(memory: ConversationStore) -> None:
    turn = memory.add_turn("ada/1", "hello", person=ADA)
    reply = memory.add_reply(turn, "hi", record())
    error = run("replay", str(reply.id)).exception
    assert isinstance(error, BotError)
    assert "m1" in str(error)
    assert "is no reply of a model" in str(run("replay", str(turn.id)).exception)


def test_nothing_that_was_said_reaches_the_terminal_as_an_order(memory: ConversationStore) -> None:
    say(memory, "[red]a[/] [/] \x1b[31mb\x1b[0m \x1b]0;title\x07c \u202ed", "\x9b2Je", conversation="[/]\x1b[1m")
    memory.rename("[/]\x1b[1m", "[bold]\x07title")
    printed = said("list") + said("show", "[/]\x1b[1m", "--why") + said("search", "a")
    assert "[red]a[/] [/] b c d" in printed
    assert "[bold]title" in printed
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(printed)


def test_what_is_not_there_is_said_so(home: Path) -> None:
    for arguments in (("show", "nothing"), ("show", "7"), ("delete", "--turn", "7", "--yes")):
        error = run(*arguments).exception
        assert isinstance(error, StorageError)
        assert "backchat logs list" in str(error)


def test_a_search_prints_the_newest_first_and_where(memory: ConversationStore) -> None:
    say(memory, "green tea", "black tea", "coffee")
    say(memory, "mint tea", conversation="bob/1", person=BOB)
    lines = said("search", "TEA").splitlines()
    assert [line.split("  ", 1)[1] for line in lines[1::2]] == ["mint tea", "black tea", "green tea"]
    assert lines[0].startswith("bob/1  ")
    found = [json.loads(line) for line in said("search", "tea", "--person", BOB, "--json").splitlines()]
    assert [(turn["conversation"], turn["text"]) for turn in found] == [("bob/1", "mint tea")]
    assert run("search", "cocoa").stderr == "Nothing was found.\n"


def test_an_export_goes_to_standard_output_or_to_a_private_file(memory: ConversationStore, home: Path) -> None:
    say(memory, "Grüße", "你好")
    printed = said("export")
    assert json.loads(printed)["turns"] == [
        {"speaker": "person", "text": "Grüße"},
        {"speaker": "bot", "text": "你好"},
    ]
    path = home / "out.csv"
    said("export", "--format", "csv", "--output", str(path))
    assert path.read_text(encoding="utf-8").splitlines()[1].startswith("ada/1,1,,")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(file.name for file in home.iterdir() if "part" in file.name) == []


def test_an_export_to_where_nothing_can_be_written_is_an_error(memory: ConversationStore, home: Path) -> None:
    error = run("export", "--output", str(home / "no" / "folder.jsonl")).exception
    assert isinstance(error, StorageError)
    assert "cannot be written (No such file or directory)" in str(error)


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--turn", "1"], {"ada/1": ["later"], "bob/1": ["bob"]}),
        (["--conversation", "ada/1"], {"bob/1": ["bob"]}),
        (["--person", BOB], {"ada/1": ["early", "reply", "later"]}),
        (["--older-than", "30d"], {"ada/1": ["reply", "later"], "bob/1": ["bob"]}),
    ],
)
def test_what_is_chosen_is_erased_and_the_rest_stays(
    memory: ConversationStore, arguments: list[str], left: dict[str, list[str]]
) -> None:
    early = memory.add_turn("ada/1", "early", person=ADA, now=datetime.now(UTC) - timedelta(days=60))
    memory.add_reply(early, "reply", record())
    memory.add_turn("ada/1", "later", person=ADA)
    say(memory, "bob", conversation="bob/1", person=BOB)
    assert said("delete", *arguments, "--yes").startswith("Erased ")
    assert {c.key: texts_of(memory.turns(c.key)) for c in memory.conversations()} == left


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--turn", "1"], ["later"]),
        (["--conversation", "ada/1"], []),
        (["--person", "terminal:grace"], []),
        (["--older-than", "30d"], ["early", "later"]),
    ],
)
def test_what_is_erased_leaves_the_lines_typed_in_the_terminal_too(
    memory: ConversationStore, home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], left: list[str]
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    history = TypedHistory(home / "history")
    for text in ("early", "later"):
        memory.add_turn("ada/1", text, person="terminal:grace", now=datetime.now(UTC) - timedelta(days=60))
        history.keep(text)
    assert said("delete", *arguments, "--yes").startswith("Erased ")
    assert list(TypedHistory(home / "history").load_history_strings())[::-1] == left


@pytest.mark.parametrize(
    ("arguments", "app"),
    [(["delete", "--conversation", "ada/1", "--yes"], logs.app), (["forget", ADA, "--yes"], privacy.app)],
)
def test_reports_of_retrainings_go_with_the_words_on_them(
    memory: ConversationStore, home: Path, arguments: list[str], app: object
) -> None:
    say(memory, "one")
    pages = [home / "runs" / f"{year}0301-120000-retrain" / "report.html" for year in (2020, 2099)]
    for page in pages:
        page.parent.mkdir(parents=True)
        page.write_text("one", encoding="utf-8")
    assert run(*arguments, app=app).exit_code == 0
    assert [page.exists() for page in pages] == [False, True]  # the second saw nothing that is gone


def test_erasing_asks_first(memory: ConversationStore) -> None:
    say(memory, "one", "two")
    refused = run("delete", "--conversation", "ada/1", answer="n\n")
    assert refused.exit_code == 1
    assert "Erase conversation ada/1 for good?" in refused.stderr
    assert run("delete", "--conversation", "ada/1").exit_code == 1  # nobody there to answer
    assert len(memory.turns("ada/1")) == 2
    assert run("delete", "--conversation", "ada/1", answer="y\n").stdout.endswith("Erased 2 turns.\n")
    assert memory.turns("ada/1") == []


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--turn", "1"], "turn 1"),
        (["--person", ADA], f"all turns of {ADA}"),
        (["--older-than", "30d"], "all turns older than 30d"),
    ],
)
def test_the_question_before_erasing_names_what_would_go(
    memory: ConversationStore, arguments: list[str], what: str
) -> None:
    say(memory, "one")
    assert f"Erase {what} for good?" in run("delete", *arguments, answer="n\n").stderr


def test_one_erased_turn_is_called_one(memory: ConversationStore) -> None:
    say(memory, "one")
    assert said("delete", "--turn", "1", "--yes") == "Erased 1 turn.\n"


@pytest.mark.parametrize("arguments", [[], ["--turn", "1", "--person", ADA], ["--older-than", "soon"]])
def test_an_unclear_deletion_is_a_usage_error(home: Path, arguments: list[str]) -> None:
    assert run("delete", "--yes", *arguments).exit_code == 2


def test_a_persons_data_are_one_json_object(memory: ConversationStore) -> None:
    say(memory, "one", "two")
    say(memory, "secret", conversation="bob/1", person=BOB)
    memory.people.set_consent(ADA, True)
    result = run("export", ADA, app=privacy.app)
    facts = json.loads(result.stdout)
    assert facts["identities"] == [ADA]
    assert [consent["is_granted"] for consent in facts["consents"]] == [True]
    assert [[turn["text"] for turn in talk["turns"]] for talk in facts["conversations"]] == [["one", "two"]]


def test_models_that_were_trained_on_a_persons_words_are_named(home: Path, memory: ConversationStore) -> None:
    mine, _ = say(memory, "one", "two")
    others, _ = say(memory, "three", "four", conversation="bob/1", person=BOB)
    seen = {name: publish_learned(home / "models", name, turn) for name, turn in (("a", mine.id), ("b", others.id))}
    assert json.loads(run("export", ADA, app=privacy.app).stdout)["models"] == [seen["a"]]
    result = run("forget", ADA, "--yes", app=privacy.app)
    assert f"Trained on what was erased: {seen['a']}. A new one without it: backchat retrain" in result.stderr
    assert seen["a"] not in run("forget", BOB, "--yes", app=privacy.app).stderr


def test_a_person_is_forgotten_when_that_is_confirmed(memory: ConversationStore) -> None:
    say(memory, "one", "two")
    assert run("forget", ADA, app=privacy.app, answer="n\n").exit_code == 1
    assert run("forget", ADA, "--yes", app=privacy.app).stdout == "Erased 2 turns.\n"
    assert memory.counts().people == 0
    for command in ("forget", "export"):
        error = run(command, ADA, app=privacy.app).exception
        assert isinstance(error, StorageError)
        assert "nobody is called 'terminal:ada'" in str(error)

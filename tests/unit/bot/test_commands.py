"""What commands answer, in the language of the talk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.commands import COMMANDS, run_command
from bot.dialogue import DialogueManager
from bot.errors import BotError
from bot.messenger.texts import languages
from bot.model_slot import ModelSlot
from bot.talk import Talk
from seq2seq.errors import DecodingError
from seq2seq.registry import Registry
from storage.records import ReplyRecord
from storage.store import ConversationStore, StorageConfig


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    slot = ModelSlot(Registry(tmp_path), "echo")
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield Talk(DialogueManager(slot, store), slot, "terminal:ada", "c1", lambda is_off: store)
    store.close()


def answer(talk: Talk, line: str) -> str:
    try:
        return run_command(talk, line, "telegram").text
    except BotError as error:
        return str(error)


LINES = (
    ("/new", "A new conversation.", "新的对话开始了。"),
    ("/undo", "There is nothing to undo.", "没有可以收回的内容。"),
    ("/retry", "there is no message of yours yet", "你还没有发过信息"),
    ("/good", "there is no reply yet; say something first", "还没有回答，请先说点什么"),
    ("/teach", "/teach TEXT: say what the answer should have been", "用法：/teach 文字。请说出本该怎么回答"),
    ("/seed 7", "Seed 7 for each reply.", "每个回答都用种子 7。"),
    (
        "/history 9999999999999999999",
        "/history takes a number of 18 digits at most",
        "/history 要一个最多 18 位的数字",
    ),
    ("/seed x", "/seed takes a whole number of at least 0, got 'x'", "/seed 要一个不小于 0 的整数，收到的是 'x'"),
    ("/set top_k x", "top_k takes a whole number, got 'x'", "top_k 要一个整数，收到的是 'x'"),
    ("/set topk 3", "no setting 'topk'. Did you mean top_k?", "没有 'topk' 这个设置。你是说 top_k 吗？"),
    ("/history", "Nothing was said yet.", "还没有说过什么。"),
    ("/continue x", "x: no such conversation", "没有叫 x 的对话"),
    ("/rename x", "there is nothing to name yet; say something first", "还没有可以起名的内容，请先说点什么"),
)


@pytest.mark.parametrize(("line", "english", "chinese"), LINES)
def test_commands_answer_in_the_language_of_the_talk(talk: Talk, line: str, english: str, chinese: str) -> None:
    assert answer(talk, line) == english
    talk.language = "zh-hans"
    assert answer(talk, line) == chinese
    talk.language = "de"
    assert answer(talk, line) == english


def test_what_was_said_is_shown_with_words_of_the_language(talk: Talk) -> None:
    talk.language = "zh"
    talk.say("早上好")
    assert answer(talk, "/history") == "你: 早上好\n我: 早上好"
    assert answer(talk, "/bad") == "评为差：早上好\n用 /teach 加文字告诉我怎么回答更好。"
    assert answer(talk, "/undo") == "已收回：早上好 | 早上好"


@pytest.mark.parametrize(
    ("typed", "near"),
    [("/alt", "/alternatives"), ("/exit", "/quit"), ("/?", "/help"), ("/", "/help"), ("/retri", "/retry")],
)
def test_an_unknown_command_offers_what_was_meant(talk: Talk, typed: str, near: str) -> None:
    assert f"Did you mean {near}?" in run_command(talk, typed).text


def test_a_command_that_a_frontend_lacks_is_not_offered_there(talk: Talk) -> None:
    assert run_command(talk, "/exit", "telegram").text.startswith("There is no /exit. /help shows all.")


def test_the_beginning_of_a_settings_name_is_enough_to_be_offered_it(talk: Talk) -> None:
    assert answer(talk, "/set temp 1") == "no setting 'temp'. Did you mean temperature?"


@pytest.mark.parametrize("value", ["none", "a, b"])
def test_a_list_is_shown_as_it_is_set(talk: Talk, value: str) -> None:
    assert answer(talk, f"/set stop {value}") == f"stop = {value}"
    assert f"stop                     {value} *" in answer(talk, "/show")
    assert talk.decoding == {"stop": () if value == "none" else ("a", "b")}


def test_help_says_which_keys_there_are(talk: Talk) -> None:
    assert "Ctrl-C stops a reply, Ctrl-D leaves." in run_command(talk, "/help").text


def test_a_talk_in_which_nothing_was_said_is_not_saved(talk: Talk, tmp_path: Path) -> None:
    with pytest.raises(BotError, match="nothing to save yet"):
        run_command(talk, f"/save {tmp_path / 'talk.jsonl'}")
    assert not (tmp_path / "talk.jsonl").exists()


def test_a_saved_talk_is_for_its_owners_eyes_only(talk: Talk, tmp_path: Path) -> None:
    talk.say("hello")
    assert run_command(talk, f"/save {tmp_path / 'talk.md'}").text.startswith("2 turns are in ")
    assert (tmp_path / "talk.md").stat().st_mode & 0o777 == 0o600


def test_counts_read_well_for_one_and_for_many(talk: Talk) -> None:
    talk.say("hello")
    assert "\nreplies here: 1, " in run_command(talk, "/stats").text
    assert run_command(talk, "/stats").text.endswith("in the memory: turns 2, conversations 1")


def test_a_code_that_links_says_how_long_it_holds(talk: Talk) -> None:
    assert "within 15 minutes" in run_command(talk, "/link").text


def test_a_setting_out_of_range_is_refused_with_the_range(talk: Talk) -> None:
    with pytest.raises(DecodingError, match=r"between 0\.01 and 10"):
        run_command(talk, "/set temperature 99")
    assert talk.decoding == {}


@pytest.mark.parametrize("command", ["/history", "/undo", "/seed", "/alternatives"])
def test_a_number_of_any_length_is_taken_or_refused(talk: Talk, command: str) -> None:
    talk.say("hello")
    for digits in (18, 19, 5000):
        assert answer(talk, f"{command} {'9' * digits}")


def test_what_was_ruled_out_is_no_alternative(talk: Talk) -> None:
    asked = talk.store.add_turn("c1", "hello", person="terminal:ada")
    candidates = ({"text": "hi"}, {"text": "", "ruled_out": "repeats what only one other person wrote"})
    talk.store.add_reply(asked, "hi", ReplyRecord("m1", "rank", 1, 1, 0.5, candidates=candidates))
    assert talk.alternatives() == ["hi"]


def test_the_best_nine_alternatives_can_be_chosen(talk: Talk) -> None:
    asked = talk.store.add_turn("c1", "hello", person="terminal:ada")
    candidates = tuple({"text": f"hi {n}"} for n in range(24))
    talk.store.add_reply(asked, "hi 0", ReplyRecord("m1", "rank", 1, 1, 0.5, candidates=candidates))
    assert talk.alternatives() == [f"hi {n}" for n in range(9)]
    assert talk.choose(9) == "hi 8"
    with pytest.raises(BotError, match="10"):
        talk.choose(10)


def test_a_private_talk_goes_on_with_no_groups_conversation(talk: Talk) -> None:
    talk.say("hello")
    talk.store.add_turn("telegram:-100", "said in a group", person="terminal:ada")
    assert answer(talk, "/continue") == "there is no other conversation of yours"
    assert answer(talk, "/continue telegram:-100") == "telegram:-100: no such conversation"


def test_every_command_of_the_messenger_has_a_line_of_help_in_chinese() -> None:
    served = [command for command in COMMANDS.values() if "telegram" in command.frontends]
    assert served
    for command in served:
        assert languages().of("zh").command_help(command.name, command.help) != command.help

"""A bot that runs all the time, and people who talk to it: what they send, and what comes back."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.bot_process import BotProcess
from tests.emulator.client import EmulatorClient, wait_for

ADMIN, FORUM = 4001, -100900
_PEOPLE = itertools.count(5001)
CONTENTS: dict[str, Any] = {
    "sticker": {"file_id": "s", "file_unique_id": "s", "width": 1, "height": 1, "is_animated": False},
    "photo": [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}],
    "voice": {"file_id": "v", "file_unique_id": "v", "duration": 1},
    "video": {"file_id": "v", "file_unique_id": "v", "duration": 1, "width": 1, "height": 1},
    "document": {"file_id": "d", "file_unique_id": "d"},
    "location": {"latitude": 1.0, "longitude": 2.0},
    "contact": {"phone_number": "1", "first_name": "C"},
    "poll": {"id": "1", "question": "?", "options": [], "type": "regular"},
    "dice": {"emoji": "🎲", "value": 3},
    "story": {"id": 1, "chat": {"id": 1, "type": "private"}},
}
HOSTILE = [
    "<b>not bold</b> & <script>",
    "*_`[]()~>#+-=|{}.!\\",
    "[/red]{x!r}%s {0} ${HOME}",
    "\u202egnihtemos\u2066 \u0007\u001b[31mred",
    "Z̴̢͇͎͔͇̰̼̈́̑̏̌a̸̛͈̪̟̞͕͎͛͊l̷̢̛͖̪̰͉̼̈́g̴̭̠̔̆o̶̞͆",
    "'; DROP TABLE turns; --",
    "<|endoftext|></s><bot>",
    "👨‍👩‍👧‍👦" * 100,
    "a" * 4096,
    "مرحبا بالعالم 你好 שלום",
]


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorClient]:
    with EmulatorClient(reads_all=True) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def bot(server: EmulatorClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BotProcess]:
    home = tmp_path_factory.mktemp("bot")
    with BotProcess(server, home, admins=ADMIN, max_waiting=30, blocked=6666) as bot:
        yield bot.start()
        assert bot.terminate() == 0
        assert " ERROR " not in bot.log()


@pytest.fixture
def ada(server: EmulatorClient) -> int:
    """Someone new, alone with the bot."""
    person = next(_PEOPLE)
    server.do("add_person", user=person)
    return person


@pytest.fixture
def group(server: EmulatorClient) -> int:
    number = -100 * next(_PEOPLE)
    server.do("add_chat", chat=number)
    return number


def answer(server: EmulatorClient, user: int, text: str, **more: Any) -> str:
    """Say something, and return the next message that the bot sends to the chat."""
    chat = more.get("chat", user)
    before = len(server.texts(chat))
    server.say(user, text, **more)
    return server.wait_for_texts(before + 1, chat)[before]


def press(server: EmulatorClient, user: int, message: int, data: str) -> dict[str, Any]:
    """Press a button, and return the answer that the client is shown."""
    query = server.do("press", user=user, chat=user, message_id=message, data=data)
    answers = wait_for(
        lambda: [
            call for call in server.calls("answerCallbackQuery") if call["parameters"]["callback_query_id"] == query
        ],
        f"an answer to {data}",
    )
    parameters: dict[str, Any] = answers[0]["parameters"]
    return parameters


def shown(server: EmulatorClient, chat: int, number: int) -> dict[str, Any]:
    return next(message for message in server.shown(chat) if message["message_id"] == number)


def ratings(server: EmulatorClient) -> tuple[int, int]:
    """How many replies of the model people rated good and bad so far, those of other tests too."""
    found = re.search(r"echo: (\d+) good, (\d+) bad", answer(server, ADMIN, "/stats"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def keyboard(message: dict[str, Any]) -> list[list[str]]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [[button["callback_data"] for button in row] for row in rows]


def test_messages_of_a_chat_are_answered_in_order(server: EmulatorClient, ada: int) -> None:
    said = [f"message {number}" for number in range(12)]
    server.do("say_many", said=[[ada, text] for text in said])
    assert server.wait_for_texts(12, ada) == said


@pytest.mark.parametrize("kind", sorted(CONTENTS))
def test_what_is_no_text_gets_one_friendly_line(server: EmulatorClient, ada: int, kind: str) -> None:
    server.do("send", user=ada, content={kind: CONTENTS[kind]})
    assert answer(server, ada, "and a text").startswith("I can only read text")
    assert server.wait_for_texts(2, ada)[1] == "and a text"


def test_service_messages_and_unknown_updates_get_no_answer(server: EmulatorClient, ada: int) -> None:
    server.do("send", user=ada, content={"pinned_message": {}, "new_chat_title": "x"})
    server.do("raw", kind="message", body={"nonsense": True})
    server.do(
        "raw", kind="message", body={"message_id": 1, "date": 0, "chat": {"id": ada, "type": "private"}, "text": "x"}
    )
    server.do("raw", kind="some_day_there_will_be_more", body={})
    server.do("send", user=None, chat=-1007, content={"text": "a post"})
    assert answer(server, ada, "after all that") == "after all that"


def test_hostile_texts_come_back_as_they_can_be_shown(server: EmulatorClient, ada: int) -> None:
    server.do("say_many", said=[[ada, text] for text in HOSTILE])
    texts = server.wait_for_texts(len(HOSTILE), ada)
    assert texts[:3] == HOSTILE[:3]
    assert texts[3] == "gnihtemos red"
    assert texts[4:] == HOSTILE[4:]


def test_commands_of_both_tables_work(server: EmulatorClient, ada: int) -> None:
    assert answer(server, ada, "/start").startswith("Hello!")
    assert "/privacy" in answer(server, ada, "/help")
    assert answer(server, ada, "/new") == "A new conversation."
    assert answer(server, ada, "/nonsense").startswith("There is no /nonsense.")
    assert answer(server, ada, "//slash") == "/slash"
    assert answer(server, ada, "/retry") == "/slash"
    assert answer(server, ada, "/save /tmp/x.jsonl").startswith("There is no /save.")
    assert answer(server, ada, "/set temperature 99").startswith("temperature must be between 0.01 and 10")


def test_what_help_says_is_what_is_registered(server: EmulatorClient, ada: int) -> None:
    menus = wait_for(lambda: server.do("state")["commands"], "menus")
    lines = [line.partition(" - ")[0][1:] for line in answer(server, ada, "/help").splitlines()]
    assert [command["command"] for command in menus["default/"]] == lines
    assert [command["command"] for command in menus["default/zh"]] == lines
    assert menus["default/zh"][0]["description"] == "打个招呼。"


def test_texts_are_in_the_persons_language(server: EmulatorClient, ada: int) -> None:
    server.do("add_person", user=ada, language="zh-hans")
    assert answer(server, ada, "/start").startswith("你好！")
    assert answer(server, ada, "/new") == "新的对话开始了。"
    assert answer(server, ada, "早上好") == "早上好"
    assert answer(server, ada, "/history") == "你: 早上好\n我: 早上好"
    assert answer(server, ada, "/undo 0").startswith("/undo 要一个不小于 1 的整数")


def test_buttons_rate_remake_and_leaf_through_replies(server: EmulatorClient, ada: int) -> None:
    answer(server, ada, "hello")
    number = server.sent(ada)[0]["message_id"]
    assert keyboard(shown(server, ada, number)) == [["good", "bad", "another"]]
    assert press(server, ada, number, "good")["text"].startswith("Rated as good")
    press(server, ada, number, "another")
    wait_for(lambda: keyboard(shown(server, ada, number))[1:] == [["left", "-"]], "two alternatives")
    press(server, ada, number, "left")
    wait_for(lambda: keyboard(shown(server, ada, number))[1:] == [["-", "right"]], "the first of them")
    assert press(server, ada, number, "left")["text"] == "I have no other answer to that."
    assert press(server, ada, 999, "good")["text"].startswith("That message is too old")
    assert "text" not in press(server, ada, number, "nonsense" * 5)
    assert len(server.texts(ada)) == 1


def test_reactions_count_as_ratings(server: EmulatorClient, ada: int) -> None:
    answer(server, ada, "hello")
    number = server.sent(ada)[0]["message_id"]
    good, bad = ratings(server)
    server.do("react", user=ada, chat=ada, message_id=number, emoji="👎")
    wait_for(lambda: ratings(server) == (good, bad + 1), "one bad rating more")


def test_an_edited_message_is_answered_anew_in_place(server: EmulatorClient, ada: int) -> None:
    asked = server.say(ada, "helo")
    server.wait_for_texts(1, ada)
    number = server.sent(ada)[0]["message_id"]
    server.do("edit", chat=ada, message_id=asked, text="hello")
    wait_for(lambda: shown(server, ada, number)["text"] == "hello", "the new reply in place")
    assert server.texts(ada) == ["helo"]
    assert answer(server, ada, "/history") == "you: hello\nbot: hello"


def test_an_old_edited_message_changes_nothing(server: EmulatorClient, ada: int) -> None:
    asked = server.say(ada, "one")
    answer(server, ada, "two")
    server.wait_for_texts(2, ada)
    server.do("edit", chat=ada, message_id=asked, text="other")
    assert answer(server, ada, "three") == "three"
    bots = [message["text"] for message in server.shown(ada) if message["from"]["is_bot"]]
    assert bots == ["one", "two", "three"]


def test_a_group_is_answered_only_when_it_speaks_to_the_bot(server: EmulatorClient, ada: int, group: int) -> None:
    for text in ("just talk", "/help@other_bot", "/unknown_command", "hi @other_person"):
        server.say(ada, text, chat=group)
    assert answer(server, ada, "@emulated_bot hello", chat=group) == "hello"
    sent = server.sent(group)[0]
    assert answer(server, ada, "and you?", chat=group, reply_to=sent["message_id"]) == "and you?"
    assert answer(server, ada, "/start@emulated_bot", chat=group).startswith("Hello! Here I answer")
    assert sent["reply_to_message"]["text"] == "@emulated_bot hello"
    assert "just talk" not in json.dumps(exported(server, ada))


def test_in_privacy_mode_a_group_is_answered_by_command_and_reply(
    server: EmulatorClient, ada: int, group: int
) -> None:
    """The server keeps the rest to itself then, mentions among it."""
    server.do("configure", reads_all=False)
    server.say(ada, "@emulated_bot do you hear me?", chat=group)
    server.say(ada, "just talk", chat=group)
    assert answer(server, ada, "/start@emulated_bot", chat=group).startswith("Hello! Here I answer")
    number = server.sent(group)[0]["message_id"]
    assert answer(server, ada, "and you?", chat=group, reply_to=number) == "and you?"
    server.do("configure", reads_all=True)


def test_threads_of_a_group_are_conversations_of_their_own(server: EmulatorClient, ada: int) -> None:
    server.do("add_chat", chat=FORUM, is_forum=True)
    for thread in (7, 8):
        answer(server, ada, f"@emulated_bot in {thread}", chat=FORUM, thread=thread)
    assert [message["message_thread_id"] for message in server.sent(FORUM)] == [7, 8]
    keys = {talk["conversation"] for talk in exported(server, ada)["conversations"]}
    assert keys == {f"telegram:{FORUM}/7", f"telegram:{FORUM}/8"}


def test_private_matters_are_not_told_in_a_group(server: EmulatorClient, ada: int, group: int) -> None:
    for command in ("/search hello", "/export", "/link", "/forget everything"):
        assert answer(server, ada, f"{command}", chat=group).startswith("That is between the two of us")


def exported(server: EmulatorClient, user: int) -> dict[str, Any]:
    before = set(server.do("state")["files"])
    server.say(user, "/export")
    files = wait_for(
        lambda: {name: text for name, text in server.do("state")["files"].items() if name not in before}, "an export"
    )
    facts: dict[str, Any] = json.loads(next(iter(files.values())))
    return facts


def test_consent_is_given_and_taken_back(server: EmulatorClient, ada: int) -> None:
    assert "not allowed" in answer(server, ada, "/consent")
    assert answer(server, ada, "/consent on").startswith("Thank you")
    assert "is allowed" in answer(server, ada, "/privacy")
    assert answer(server, ada, "/consent off").startswith("I will not learn")
    assert [entry["granted"] for entry in exported(server, ada)["consents"]] == [True, False]


def test_forgetting_erases_a_person(server: EmulatorClient, ada: int, bot: BotProcess) -> None:
    answer(server, ada, "the word is xylophone")
    assert answer(server, ada, "/forget").startswith("This erases all")
    assert (
        answer(server, ada, "/forget everything") == "It is all erased: 2 messages. Write to me, and we begin anew."
    )
    assert answer(server, ada, "/export") == "Nothing is kept about you."
    for path in bot.home.glob("conversations.db*"):
        assert b"xylophone" not in path.read_bytes()


def test_a_code_makes_two_accounts_one_person(server: EmulatorClient, ada: int) -> None:
    answer(server, ada, "said by ada")
    code = answer(server, ada, "/link").split()[-1]
    other = next(_PEOPLE)
    server.do("add_person", user=other)
    assert answer(server, other, f"/start {code}").startswith("Linked.")
    assert answer(server, other, "/history") == "you: said by ada\nbot: said by ada"
    assert answer(server, other, "/link WRONG").startswith("That code is unknown")


def test_admins_are_told_and_others_get_no_hint(server: EmulatorClient, ada: int) -> None:
    assert answer(server, ada, "/stats") == "There is no /stats. /help shows all."
    assert answer(server, ada, "/broadcast hi") == "There is no /broadcast. /help shows all."
    assert answer(server, ADMIN, "/stats").startswith("model: echo")
    assert "no such model" in answer(server, ADMIN, "/promote nothing-there")
    answer(server, ADMIN, "/broadcast Hear, hear!")
    server.wait_for_texts(3, ada)
    assert server.texts(ada)[-1] == "Hear, hear!"


def test_who_is_blocked_gets_silence(server: EmulatorClient, ada: int) -> None:
    server.do("add_person", user=6666)
    server.say(6666, "hello?")
    answer(server, ada, "hello")
    assert server.texts(6666) == []


def test_who_blocked_the_bot_disturbs_nobody(server: EmulatorClient, ada: int) -> None:
    gone = next(_PEOPLE)
    server.do("add_person", user=gone)
    server.do("set_trouble", chat=gone, trouble="bot was blocked by the user")
    server.do("say_many", said=[[gone, "hello"], [ada, "hello"], [gone, "again"]])
    server.wait_for_texts(1, ada)
    wait_for(lambda: len([c for c in server.calls("sendMessage") if c.get("error") == 403]) >= 2, "two refusals")
    server.do("set_membership", user=gone, chat=gone, status="member")
    assert answer(server, gone, "I am back") == "I am back"


def test_who_floods_is_told_once_and_the_rest_is_answered(server: EmulatorClient, ada: int) -> None:
    server.do("set_faults", delay_s=0.1, methods=["sendMessage"])
    server.do("say_many", said=[[ada, str(number)] for number in range(80)])
    wait_for(lambda: any(text.startswith("That was a lot") for text in server.texts(ada)), "a polite limit")
    server.do("set_faults")
    texts = [text for text in server.wait_for_texts(31, ada) if text.isdigit()]
    assert [int(text) for text in texts] == sorted(int(text) for text in texts)
    assert len([text for text in server.texts(ada) if text.startswith("That was a lot")]) == 1

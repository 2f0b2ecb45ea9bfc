from __future__ import annotations

import io
import json
from typing import Any

import pytest

from seq2seq.dialogues import Dialogue
from seq2seq.errors import CorpusError
from seq2seq.exports.chat_json import read_chat_json
from seq2seq.exports.notes import BOT, FORWARDED, NO_TEXT, ODD, SERVICE, ChatNotes, NotAChatError

NOON = 1_700_000_000


def read(value: Any, notes: ChatNotes | None = None) -> list[Dialogue]:
    text = value if isinstance(value, str) else json.dumps(value)
    return list(read_chat_json(io.BytesIO(text.encode()), "result.json", notes or ChatNotes()))


def said(dialogues: list[Dialogue]) -> list[list[tuple[str, str]]]:
    return [[(turn.speaker, turn.text) for turn in dialogue.turns] for dialogue in dialogues]


def telegram(number: int, sender: str | None, text: Any, minutes: float = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": "message",
        "date": "2023-11-14T22:13:20",
        "date_unixtime": str(NOON + int(minutes * 60)),
        "from": sender,
        "from_id": f"user{sum(map(ord, sender or 'gone'))}",
        "text": text,
        **more,
    }


def chat(*messages: Any, **header: Any) -> dict[str, Any]:
    return {"name": "Nia", "type": "personal_chat", "id": 77, **header, "messages": list(messages)}


def test_telegram_chat_is_its_messages_in_order() -> None:
    notes = ChatNotes()
    dialogues = read(chat(telegram(5, "Nia", "kettle on?"), telegram(6, "Olu", "just boiled", 1)), notes)
    assert said(dialogues) == [[("Nia", "kettle on?"), ("Olu", "just boiled")]]
    assert (dialogues[0].id, dialogues[0].source) == ("77/5", "telegram")
    assert (notes.formats, dict(notes.people), notes.messages) == (["Telegram chat"], {"Nia": 1, "Olu": 1}, 2)
    assert (notes.first_s, notes.last_s) == (NOON, NOON + 60)


def test_telegram_text_is_a_string_or_spans() -> None:
    spans = ["see ", {"type": "link", "text": "example.org"}, {"type": "bold", "text": " now"}, 3, {"type": "odd"}]
    dialogues = read(chat(telegram(1, "Nia", spans), telegram(2, "Olu", [{"type": "italic", "text": "why"}])))
    assert said(dialogues) == [[("Nia", "see example.org now"), ("Olu", "why")]]


def test_telegram_edited_messages_and_replies_stand_where_they_were_sent() -> None:
    dialogues = read(
        chat(
            telegram(1, "Nia", "rain?"),
            telegram(2, "Olu", "a drizzle", 1, edited="2023-11-14T22:20:00", edited_unixtime="1700000400"),
            telegram(3, "Nia", "then we walk", 2, reply_to_message_id=1),
        )
    )
    assert said(dialogues) == [[("Nia", "rain?"), ("Olu", "a drizzle"), ("Nia", "then we walk")]]


def test_what_is_nobodys_own_words_is_skipped_and_counted() -> None:
    notes = ChatNotes()
    dialogues = read(
        chat(
            telegram(1, "Nia", "hear this"),
            {"id": 2, "type": "service", "date": "2023-11-14T22:13:20", "actor": "Nia", "action": "phone_call"},
            telegram(3, "Nia", "", media_type="voice_message"),
            telegram(4, "Nia", " \n", photo="photos/1.jpg"),
            telegram(5, "Nia", "a poem of long ago", forwarded_from="Some Channel"),
            telegram(6, "Nia", "a poem", forwarded_from=None, forwarded_from_id="channel9"),
            telegram(7, "Nia", "3 : 2", via_bot="@scores"),
            "noise",
            {"id": 8, "type": "message", "from": "Nia", "date": "no date", "text": "lost in time"},
            telegram(9, "Olu", "lovely"),
        ),
        notes,
    )
    assert said(dialogues) == [[("Nia", "hear this"), ("Olu", "lovely")]]
    assert notes.skipped == {SERVICE: 1, NO_TEXT: 2, FORWARDED: 2, BOT: 1, ODD: 2}


def test_deleted_accounts_stay_different_people() -> None:
    dialogues = read(
        chat(
            telegram(1, None, "who was I?") | {"from_id": "user12"},
            telegram(2, None, "and I?") | {"from_id": "user34"},
            telegram(3, None, "no idea") | {"from_id": "user12"},
        )
    )
    assert said(dialogues) == [
        [
            ("deleted account user12", "who was I?"),
            ("deleted account user34", "and I?"),
            ("deleted account user12", "no idea"),
        ]
    ]


def test_two_people_of_one_name_are_told_apart_and_one_who_changed_name_is_not() -> None:
    dialogues = read(
        chat(
            telegram(1, "Alex", "hi") | {"from_id": "user1"},
            telegram(2, "Alex", "hi yourself") | {"from_id": "user2"},
            telegram(3, "Alexander", "ha") | {"from_id": "user1"},
        )
    )
    assert said(dialogues) == [[("Alex", "hi"), ("Alex (user2)", "hi yourself"), ("Alex", "ha")]]


def test_old_telegram_export_without_seconds_since_1970_is_cut_by_local_time() -> None:
    old = [
        {
            "id": n,
            "type": "message",
            "date": f"2019-05-0{day}T10:0{n}:00",
            "from": who,
            "from_id": 40 + n % 2,
            "text": "x",
        }
        for n, day, who in [(1, 1, "Nia"), (2, 1, "Olu"), (3, 2, "Nia"), (4, 2, "Olu")]
    ]
    assert [dialogue.id for dialogue in read(chat(*old))] == ["77/1", "77/3"]


def test_whole_account_is_all_its_chats_and_no_bots() -> None:
    notes = ChatNotes()
    account = {
        "about": "Here is the data you requested.",
        "contacts": {"about": "", "list": [{"first_name": "Olu"}] * 3},
        "chats": {
            "about": "",
            "list": [
                chat(telegram(1, "Nia", "one"), telegram(2, "Olu", "two"), id=1),
                chat(telegram(1, "Nia", "/start"), telegram(2, "Helper", "welcome"), id=2, type="bot_chat"),
                chat(telegram(1, "Nia", "milk, eggs"), id=3, type="saved_messages"),
            ],
        },
        "left_chats": {"list": [chat(telegram(8, "Pim", "three"), telegram(9, "Nia", "four"), id=4), None]},
    }
    dialogues = read(account, notes)
    assert [dialogue.id for dialogue in dialogues] == ["1/1", "4/8"]
    assert notes.formats == ["Telegram account", "Telegram chat"]
    assert notes.skipped == {BOT: 2}
    assert notes.people == {"Nia": 3, "Olu": 1, "Pim": 1}


def discord(number: int, author: str, content: str, *, is_bot: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "Default",
        "timestamp": f"2024-05-01T10:{number:02}:00.123+00:00",
        "content": content,
        "author": {"id": str(ord(author[0])), "name": author.lower(), "nickname": author, "isBot": is_bot},
        "mentions": [],
        **more,
    }


def server(*messages: Any) -> dict[str, Any]:
    return {"guild": {"id": "1"}, "channel": {"id": "42", "name": "den"}, "messages": list(messages)}


def test_discord_channel_keeps_what_people_typed() -> None:
    notes = ChatNotes()
    dialogues = read(
        server(
            discord(1, "Wren", "anyone up?"),
            discord(2, "Helper", "I am a bot", is_bot=True),
            discord(3, "Otto", "Joined the server.", type="GuildMemberJoin"),
            discord(4, "Otto", "", attachments=[{"fileName": "cat.png"}]),
            discord(5, "Otto", "sadly yes", type="Reply", reference={"messageId": "1"}),
            {"content": 3},
        ),
        notes,
    )
    assert said(dialogues) == [[("Wren", "anyone up?"), ("Otto", "sadly yes")]]
    assert dialogues[0].key == "discord/42/1"
    assert notes.skipped == {BOT: 1, SERVICE: 1, NO_TEXT: 1, ODD: 1}


def test_discord_markup_becomes_what_people_saw() -> None:
    pim = {"id": "55", "name": "pim", "nickname": "Pim"}
    dialogues = read(
        server(
            discord(1, "Wren", "<@87> <a:party:123> <@!55> come <#7>", mentions=[pim]),
            discord(2, "Otto", "2 < 3 <:ok:9> <@&8> <@1> <t:1700000000:R>"),
            discord(3, "Wren", "<@87>?"),
        )
    )
    assert said(dialogues) == [
        [("Wren", "@Wren :party: @Pim come"), ("Otto", "2 < 3 :ok:"), ("Wren", "@Wren?")],
    ]


def instagram(sender: str, content: str | None, minutes: int, **more: Any) -> dict[str, Any]:
    message = {"sender_name": sender, "timestamp_ms": (NOON + minutes * 60) * 1000, **more}
    return message if content is None else message | {"content": content}


def test_instagram_is_read_from_the_oldest_and_its_text_is_mended() -> None:
    notes = ChatNotes()
    broken = "caf\u00c3\u00a9 \u00f0\u009f\u0099\u0082"  # UTF-8 bytes written as characters
    dialogues = read(
        {
            "participants": [{"name": "Zo\u00c3\u00ab"}, {"name": "Ray"}],
            "messages": [
                instagram("Ray", "see you there", 4),
                instagram("Ray", "Liked a message", 3),
                instagram("Ray", None, 2, photos=[{"uri": "a.jpg"}]),
                instagram("Ray", "a call", 2, call_duration=3),
                instagram("Ray", "taken back", 2, is_unsent=True),
                instagram("Zo\u00c3\u00ab", broken, 1),
                instagram("Ray", "tea?", 0),
                instagram("Ray", "never", 0) | {"timestamp_ms": float("inf")},
            ],
            "title": "Ray",
        },
        notes,
    )
    assert said(dialogues) == [[("Ray", "tea?"), ("Zoë", "café 🙂"), ("Ray", "see you there")]]
    assert dialogues[0].source == "instagram"
    assert notes.skipped == {SERVICE: 3, NO_TEXT: 1, ODD: 1}


def test_text_that_only_looks_broken_is_left_alone() -> None:
    dialogues = read({"messages": [instagram("Ray", "naïve", 1), instagram("Ann", "€5", 0)]})
    assert said(dialogues) == [[("Ann", "€5"), ("Ray", "naïve")]]


@pytest.mark.parametrize(
    ("value", "looks"),
    [
        ("", "is empty"),
        ("[]", "is a JSON list"),
        ('"hi"', "is no JSON object"),
        ("{}", "is an empty JSON object"),
        ({"rows": [], "version": 3}, "is a JSON object with the keys rows, version"),
        ({f"k{n}": 1 for n in range(20)}, r"is a JSON object with the keys k0, k1, .*k11 and 8 more"),
    ],
)
def test_other_json_is_an_error_that_says_what_it_looks_like(value: Any, looks: str) -> None:
    with pytest.raises(NotAChatError, match=rf"result\.json: {looks}.*Known are Telegram"):
        read(value)


def test_other_format_than_expected_is_an_error() -> None:
    with pytest.raises(CorpusError, match=r"is a Telegram chat, not one of discord\. Leave --format out"):
        read(chat(telegram(1, "Nia", "x")), ChatNotes(expected="discord"))


def test_messages_of_no_known_kind_are_counted() -> None:
    notes = ChatNotes()
    assert read({"messages": [1, {"text": "x"}, None]}, notes) == []
    assert notes.skipped == {ODD: 3}

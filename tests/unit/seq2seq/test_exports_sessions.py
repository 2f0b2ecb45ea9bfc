from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from seq2seq.exports import sessions as sessions_module
from seq2seq.exports.notes import ChatMessage, ChatNotes
from seq2seq.exports.sessions import dialogues_of, infer_silence_hours, sessions

HOUR = 3600.0


def messages(*hours: float, chat: str = "c", ids: bool = True) -> list[ChatMessage]:
    """Two people by turns, at the given hours."""
    return [
        ChatMessage(chat, str(number) if ids else "", "AB"[number % 2], f"text {number}", hour * HOUR)
        for number, hour in enumerate(hours)
    ]


def lengths(of: Sequence[ChatMessage], silence_hours: float) -> list[int]:
    return [len(session) for session in sessions(of, silence_hours)]


def test_silence_cuts_and_anything_shorter_does_not() -> None:
    assert lengths(messages(0, 1.99, 3.98, 5.98, 7), 2.0) == [3, 2]


def test_time_may_run_backwards() -> None:
    assert lengths(messages(9, 8.5, 3, 2.5), 2.0) == [2, 2]


def test_talk_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "_MAX_SESSION_MESSAGES", 3)
    assert lengths(messages(*[0.0] * 8), 1.0) == [3, 3, 2]


def test_gaps_of_minutes_and_of_nights_are_parted_in_the_valley_between() -> None:
    draw = random.Random(1)
    minutes = [draw.uniform(5, 600) for _ in range(900)]
    nights = [draw.uniform(7, 14) * HOUR for _ in range(60)]
    breaks = [draw.uniform(0.4, 1.3) * HOUR for _ in range(60)] + [draw.uniform(2.9, 5.6) * HOUR for _ in range(9)]
    assert infer_silence_hours(minutes + nights + breaks) == 2.0  # nothing lies between 1.41 and 2.83 hours
    assert infer_silence_hours(minutes + nights) == 4.0  # everything from 1 to 4 would do


def test_few_gaps_say_nothing_of_a_valley() -> None:
    assert infer_silence_hours([]) == 4.0
    assert infer_silence_hours([4 * HOUR] * 10 + [60.0] * 89) == 4.0


def test_slow_chat_is_given_eight_times_its_usual_gap_up_to_64_hours() -> None:
    assert infer_silence_hours([1.5 * HOUR] * 5) == 16.0  # 4, 8, 16: the first of at least 12
    assert infer_silence_hours([200 * HOUR] * 5) == 64.0


def test_id_is_that_of_the_chat_and_the_first_message() -> None:
    found = dialogues_of(messages(0, 0, 9, 9), "s", ChatNotes(silence_hours=1))
    assert [dialogue.key for dialogue in found] == ["s/c/0", "s/c/2"]


def test_id_without_message_ids_stays_when_the_dialogue_grows() -> None:
    def ids(*hours: float) -> list[str]:
        return [d.id for d in dialogues_of(messages(*hours, ids=False), "s", ChatNotes(silence_hours=1))]

    (first,) = ids(0, 0)
    (grown,) = ids(0, 0, 0.5, 0.5)
    (later,) = ids(0.1, 0.1)
    assert first == grown != later


def test_each_chat_is_cut_by_its_own_silence() -> None:
    notes = ChatNotes()
    both = messages(0, 0.1, 0.2, 0.3, chat="quick") + messages(0, 10, 20, 30, chat="slow")
    assert [dialogue.id for dialogue in dialogues_of(both, "s", notes)] == ["quick/0", "slow/0"]
    assert notes.silences == {4.0: 1, 64.0: 1}


def test_newest_first_becomes_oldest_first() -> None:
    (dialogue,) = dialogues_of(messages(3, 2, 1), "s", ChatNotes())
    assert [turn.text for turn in dialogue.turns] == ["text 2", "text 1", "text 0"]
    assert dialogue.id == "c/2"


def test_inference_holds_no_more_than_its_first_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "_INFERENCE_MESSAGES", 4)
    handed_out = 0

    def endless() -> object:
        nonlocal handed_out
        while True:
            handed_out += 1
            yield ChatMessage("c", str(handed_out), "AB"[handed_out % 2], "x", handed_out * 5 * HOUR)
            yield ChatMessage("c", f"{handed_out}b", "AB"[1 - handed_out % 2], "x", handed_out * 5 * HOUR)

    next(dialogues_of(endless(), "s", ChatNotes()))  # type: ignore[arg-type]
    assert handed_out <= 4

from __future__ import annotations

from seq2seq.dialogues import ANYONE, Dialogue, DialogueTurn, exchanges, is_held_out, make_dialogue


def texts(dialogue: Dialogue | None) -> list[str]:
    assert dialogue is not None
    return [turn.text for turn in dialogue.turns]


def test_messages_of_one_speaker_in_a_row_are_one_turn() -> None:
    dialogue = make_dialogue([("A", "hi"), ("A", "you there?"), ("B", "yes"), ("A", "good")])
    assert texts(dialogue) == ["hi you there?", "yes", "good"]


def test_white_space_is_folded_to_single_blanks() -> None:
    assert texts(make_dialogue([("A", " one\n\ttwo\u3000three "), ("B", "four")])) == [
        "one two three",
        "four",
    ]


def test_empty_message_neither_makes_a_turn_nor_parts_two_messages() -> None:
    assert texts(make_dialogue([("A", "hi"), ("B", " \n"), ("A", "hello?"), ("B", "yes")])) == [
        "hi hello?",
        "yes",
    ]


def test_what_one_speaker_said_alone_is_no_dialogue() -> None:
    assert make_dialogue([("A", "hello?"), ("A", "anyone?"), ("B", " ")]) is None


def test_id_without_a_name_comes_from_the_content() -> None:
    first, same = (make_dialogue([("A", "hi"), ("B", "hello")]) for _ in range(2))
    other = make_dialogue([("A", "hi"), ("B", "hullo")])
    assert first is not None
    assert same is not None
    assert other is not None
    assert first.id == same.id != other.id
    assert first.key == f"text/{first.id}"


def test_exchanges_are_every_turn_after_what_led_to_it() -> None:
    dialogue = make_dialogue([("A", "1"), ("B", "2"), ("A", "3"), ("B", "4")])
    assert dialogue
    assert [(e.context, e.response) for e in exchanges(dialogue)] == [
        (("1",), "2"),
        (("1", "2"), "3"),
        (("1", "2", "3"), "4"),
    ]
    assert [e.context for e in exchanges(dialogue, context_turns=2)] == [("1",), ("1", "2"), ("2", "3")]


def test_only_responders_turns_are_responses_and_the_others_are_context() -> None:
    turns = [("A", "1"), ("B", "2"), ("C", "3"), ("A", "4"), ("B", "5")]
    dialogue = make_dialogue(turns, responders=frozenset({"A", "C"}))
    assert dialogue
    assert [(e.context, e.response) for e in exchanges(dialogue, context_turns=2)] == [
        (("1", "2"), "3"),
        (("2", "3"), "4"),
    ]


def test_persona_is_that_of_whoever_responds() -> None:
    turns = (DialogueTurn("A", "hi"), DialogueTurn("B", "hello"), DialogueTurn("A", "how are you?"))
    one_sided = Dialogue("1", "s", turns, {"B": ("i fish.",)})
    assert [e.persona for e in exchanges(one_sided)] == [("i fish.",), ()]
    everyones = Dialogue("1", "s", turns, {ANYONE: ("i fish.",)})
    assert [e.persona for e in exchanges(everyones)] == [("i fish.",), ("i fish.",)]


def test_held_out_dialogues_are_the_same_in_every_run() -> None:
    held_out = [number for number in range(200) if is_held_out(f"chitchat/{number}", 0.03)]
    assert held_out == HELD_OUT_OF_200, "a model trained before this change has seen other dialogues"


def test_share_of_nothing_holds_out_nothing_and_of_one_everything() -> None:
    assert not any(is_held_out(f"s/{number}", 0.0) for number in range(100))
    assert all(is_held_out(f"s/{number}", 1.0) for number in range(100))


def test_held_out_share_is_close_to_what_was_asked() -> None:
    held_out = sum(is_held_out(f"corpus/{number}", 0.1) for number in range(10_000))
    assert 900 < held_out < 1100  # over 3 standard deviations of 30


# First 8 bytes of BLAKE2b of the key, big-endian, below 0.03 of 2**64; worked out with b2sum -l 64.
HELD_OUT_OF_200 = [4, 43, 84, 111, 123, 151, 182]

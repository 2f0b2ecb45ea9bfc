"""Exports: the corpus format is read back as it was, and no text breaks a file."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seq2seq.corpus import FileCorpus
from storage.errors import StorageError
from storage.exports import EXPORT_FORMATS
from storage.store import ConversationStore
from tests.talk import ADA, BOB, record, say

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_jsonl_is_the_corpus_format(store: ConversationStore, tmp_path: Path) -> None:
    say(store, "Good morning.", "Morning!", "水开了吗?", "还没有。")
    say(store, "alone", conversation="ada/2")
    content = "".join(store.export("jsonl"))
    assert json.loads(content) == {
        "id": "ada/1",
        "source": "backchat",
        "turns": [
            {"speaker": "person", "text": "Good morning."},
            {"speaker": "bot", "text": "Morning!"},
            {"speaker": "person", "text": "水开了吗?"},
            {"speaker": "bot", "text": "还没有。"},
        ],
    }
    path = tmp_path / "export.jsonl"
    path.write_text(content, encoding="utf-8")
    (dialogue,) = FileCorpus(path)
    assert [turn.text for turn in dialogue.turns] == ["Good morning.", "Morning!", "水开了吗?", "还没有。"]


def test_jsonl_has_the_branch_that_is_talked_in(store: ConversationStore) -> None:
    turns = say(store, "one", "two", "three")
    store.add_turn("ada/1", "THREE", person=ADA, instead_of=turns[2].id)
    exported = json.loads("".join(store.export("jsonl")))
    assert [turn["text"] for turn in exported["turns"]] == ["one", "two", "THREE"]


def test_json_has_all_that_is_known(store: ConversationStore) -> None:
    turn = store.add_turn("ada/1", "hello", person=ADA, now=NOON)
    made = record(settings={"top_p": 0.9}, candidates=({"text": "hi", "score": -1.0, "log_prob": -2.0},))
    reply = store.add_reply(turn, "hi", made, now=NOON)
    other = store.add_reply(turn, "hey", record(is_cut=True), now=NOON)
    store.rate(reply.id, ADA, 1)
    store.teach(turn.id, ADA, "good day")
    store.rename("ada/1", "Tea")
    stamp = "2026-03-01T12:00:00+00:00"
    common = {"parent": turn.id, "speaker": "bot", "person": ADA, "created": stamp}
    details = {"model": "m1", "strategy": "rank", "seed": 5, "tokens": 3, "latency_ms": 1.5}
    expected = {
        "conversation": "ada/1",
        "title": "Tea",
        "person": ADA,
        "created": stamp,
        "updated": stamp,
        "turns": [
            {
                "id": turn.id,
                "parent": None,
                "speaker": "person",
                "person": ADA,
                "text": "hello",
                "created": stamp,
                "taught": {ADA: "good day"},
            },
            {
                **common,
                "id": reply.id,
                "text": "hi",
                "ratings": {ADA: 1},
                "reply": {
                    **details,
                    "is_cut": False,
                    "settings": {"top_p": 0.9},
                    "candidates": [{"text": "hi", "score": -1.0, "log_prob": -2.0}],
                },
            },
            {
                **common,
                "id": other.id,
                "text": "hey",
                "reply": {**details, "is_cut": True, "settings": {}, "candidates": []},
            },
        ],
    }
    assert json.loads("".join(store.export("json"))) == [expected]


def test_csv_has_a_row_a_turn_whatever_is_in_it(store: ConversationStore) -> None:
    odd = 'comma, "quote"\nline\r\nend; =1+1'
    _, reply, *_ = say(store, odd, "yes")
    store.rate(reply.id, ADA, -1)
    rows = list(csv.DictReader(io.StringIO("".join(store.export("csv")), newline="")))
    assert [(row["conversation"], row["speaker"], row["text"], row["model"], row["rating"]) for row in rows] == [
        ("ada/1", "person", odd, "", ""),
        ("ada/1", "bot", "yes", "m1", "-1"),
    ]


def test_markdown_shows_text_as_it_is(store: ConversationStore) -> None:
    store.add_turn("ada/1", "# no *title*\n<b>[x](y)</b>", person=ADA, now=NOON)
    assert "".join(store.export("md")) == (
        "# ada/1\n\n2026\\-03\\-01 12:00 UTC, terminal:ada\n\n".replace("\\-", "-")
        + "**You:** \\# no \\*title\\*  \n\\<b\\>\\[x\\]\\(y\\)\\</b\\>\n\n"
    )


@pytest.mark.parametrize(("form", "empty"), [("jsonl", ""), ("json", "[]\n"), ("md", "")])
def test_nothing_is_exported_as_nothing(store: ConversationStore, form: str, empty: str) -> None:
    assert "".join(store.export(form)) == empty


def test_an_export_can_be_of_one_person_or_one_conversation(store: ConversationStore) -> None:
    say(store, "a", "b", conversation="ada/1")
    say(store, "c", "d", conversation="ada/2")
    say(store, "e", "f", conversation="bob/1", person=BOB)
    say(store, "g", "h", conversation="ada/1", person=BOB)

    def keys(**chosen: str) -> list[str]:
        return [json.loads(line)["id"] for line in store.export("jsonl", **chosen)]

    assert keys() == ["ada/1", "ada/2", "bob/1"]
    assert keys(person=ADA) == ["ada/1", "ada/2"]
    assert keys(person=BOB) == ["ada/1", "bob/1"]
    assert keys(conversation="ada/2") == ["ada/2"]
    assert keys(person="terminal:nobody") == []


def test_an_export_of_one_person_has_nothing_that_others_said_and_names_nobody_else(store: ConversationStore) -> None:
    say(store, "ada asks", "reply to ada", conversation="group")
    say(store, "bob asks", "reply to bob", conversation="group", person=BOB)
    for form in EXPORT_FORMATS:
        content = "".join(store.export(form, person=BOB))
        assert "reply to bob" in content
        assert "ada asks" not in content
        assert "reply to ada" not in content
        assert ADA not in content


@pytest.mark.parametrize("form", ["json", "csv"])
def test_an_export_of_one_person_has_nothing_that_others_made_of_it(store: ConversationStore, form: str) -> None:
    asked, reply = say(store, "hello", "hi", conversation="telegram:-100", person=BOB)
    store.teach(asked.id, BOB, "good day")
    store.teach(asked.id, "telegram:8", "aubergine")
    store.rate(reply.id, "telegram:8", -1)
    exported = "".join(store.export(form, person=BOB))
    assert "good day" in exported
    assert "aubergine" not in exported
    assert "telegram:8" not in exported


def test_an_unknown_form_names_those_there_are(store: ConversationStore) -> None:
    with pytest.raises(StorageError, match="no export as 'xml'; there are jsonl, json, csv, md"):
        store.export("xml")

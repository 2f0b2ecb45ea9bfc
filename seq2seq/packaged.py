"""Corpora that packages bring: chitchat-dataset, chatterbot-corpus, Hugging Face datasets."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from seq2seq.dialogues import Dialogue, make_dialogue
from seq2seq.errors import CorpusError, MissingExtraError

# How data sets name the same things, tried in this order.
_TURNS_COLUMNS = ("turns", "messages", "conversations", "conversation", "dialog", "dialogue", "utterances")
_SPEAKER_FIELDS = ("speaker", "role", "from", "user")
_TEXT_FIELDS = ("text", "content", "value", "utterance")
_PAIR_COLUMNS = (
    ("source", "target"),
    ("prompt", "response"),
    ("context", "response"),
    ("question", "answer"),
    ("instruction", "response"),
    ("instruction", "output"),
)
_CHATTERBOT_CODES = {"english": "en", "chinese": "zh"}
_HELD_OUT = Path(__file__).with_name("chitchat_held_out.txt")
Part = Literal["train", "valid"]


class PackagedCorpus:
    """The dialogues of an installed package, in the order of its files."""

    def __init__(self, name: str, licence: str | None, dialogues: Callable[[], Iterator[Dialogue]]) -> None:
        self.name, self.licence = name, licence
        self._dialogues = dialogues

    def __iter__(self) -> Iterator[Dialogue]:
        return self._dialogues()

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the dialogues: the same for the same text, whatever the package's version."""
        digest = hashlib.sha256()
        for dialogue in self:
            turns = [(turn.speaker, turn.text) for turn in dialogue.turns]
            digest.update(json.dumps([dialogue.key, turns]).encode())
        return digest.hexdigest()


def open_chitchat(part: Part = "train") -> PackagedCorpus:
    """Open the conversations of the Chit-Chat Challenge; those with a single speaker are left out.

    Those that validate and test the project's models are never part of ``train``, on any machine: the list of their
    ids, as short hashes, comes with this package.

    Args:
        part: what may be trained on, or what models are compared on.

    Raises:
        MissingExtraError: chitchat-dataset is not installed.
    """
    package = _package("chitchat_dataset", "chitchat", "train")
    held_out = dict(line.split() for line in _HELD_OUT.read_text(encoding="ascii").splitlines())

    def dialogues() -> Iterator[Dialogue]:
        conversations = json.loads((files(package) / "dataset.json").read_bytes())
        for conversation_id, conversation in conversations.items():
            digest = hashlib.blake2b(conversation_id.encode("utf-8", "replace"), digest_size=4).hexdigest()
            if held_out.get(digest, "train") != part:
                continue
            messages = (
                (message["sender"], message["text"]) for group in conversation["messages"] for message in group
            )
            if dialogue := make_dialogue(messages, source="chitchat", dialogue_id=conversation_id):
                yield dialogue

    return PackagedCorpus("chitchat" if part == "train" else f"chitchat:{part}", "MIT", dialogues)


def open_chatterbot(language: str) -> PackagedCorpus:
    """Open the conversations of chatterbot-corpus in one language, such as ``english``.

    Raises:
        CorpusError: the package has nothing in that language.
        MissingExtraError: the package is not installed.
    """
    name = f"chatterbot:{language}"
    package = _package("chatterbot_corpus", name, "train")
    yaml = _package("yaml", name, "train")
    languages = {folder.name: folder for folder in (files(package) / "data").iterdir() if folder.is_dir()}
    if language not in languages:
        raise CorpusError(f"{name}: no such language; there are {', '.join(sorted(languages))}")
    source = f"chatterbot_{_CHATTERBOT_CODES.get(language, language)}"

    def dialogues() -> Iterator[Dialogue]:
        for file in sorted(languages[language].iterdir(), key=lambda file: file.name):
            if not file.name.endswith(".yml"):
                continue
            for conversation in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
                if isinstance(conversation, list):  # a few are a single string, with nothing to reply to
                    dialogue = make_dialogue(_by_turns(list(map(str, conversation))), source=source)
                    if dialogue:
                        yield dialogue

    return PackagedCorpus(name, "BSD-3-Clause", dialogues)


def open_hugging_face(data_set: str) -> PackagedCorpus:
    """Open the train split of a data set of the Hugging Face hub, or of a folder in its form.

    A row is a dialogue, with a column of turns (``turns``, ``messages``, ``dialog`` ...), or a pair
    (``prompt`` and ``response``, ``source`` and ``target`` ...).

    Raises:
        CorpusError: the data set cannot be loaded.
        MissingExtraError: datasets is not installed.
    """
    name = f"hf:{data_set}"
    datasets = _package("datasets", name, "hf")
    try:
        rows = datasets.load_dataset(data_set, split="train")
    except Exception as error:  # each data set brings its own failures: network, names, formats
        raise CorpusError(f"{name}: cannot be loaded ({error})") from error

    def dialogues() -> Iterator[Dialogue]:
        for number, row in enumerate(rows):
            try:
                messages = row_messages(row)
            except ValueError as error:
                raise CorpusError(f"{name}, row {number}: {error}") from None
            if dialogue := make_dialogue(messages, source=name):
                yield dialogue

    return PackagedCorpus(name, rows.info.license or None, dialogues)


def row_messages(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the ``(speaker, text)`` messages of a table's row; ValueError where there are none."""
    for column in _TURNS_COLUMNS:
        turns = row.get(column)
        if isinstance(turns, Mapping):  # a sequence of records arrives as a record of sequences
            turns = [dict(zip(turns, values, strict=True)) for values in zip(*turns.values(), strict=True)]
        if isinstance(turns, list):
            if all(isinstance(turn, str) for turn in turns):
                return _by_turns(turns)
            return [_message(turn) for turn in turns]
    for pair in _PAIR_COLUMNS:
        texts = [row.get(column) for column in pair]
        if all(isinstance(text, str) for text in texts):
            return _by_turns([str(text) for text in texts])
    raise ValueError(
        f"found the columns {', '.join(row)}; expected a list of turns ({', '.join(_TURNS_COLUMNS)}) "
        f"or a pair ({', '.join(' and '.join(pair) for pair in _PAIR_COLUMNS)})"
    )


def _message(turn: object) -> tuple[str, str]:
    if isinstance(turn, Mapping):
        speaker = next((turn[field] for field in _SPEAKER_FIELDS if field in turn), None)
        text = next((turn[field] for field in _TEXT_FIELDS if field in turn), None)
        if speaker is not None and isinstance(text, str):
            return str(speaker), text
    raise ValueError(
        f"expected turns with a speaker ({', '.join(_SPEAKER_FIELDS)}) and a text ({', '.join(_TEXT_FIELDS)})"
    )


def _by_turns(texts: Sequence[str]) -> list[tuple[str, str]]:
    return [("AB"[number % 2], text) for number, text in enumerate(texts)]


def _package(module: str, corpus: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"the corpus {corpus} needs the extra `{extra}`: pip install 'backchat[{extra}]'"
        ) from None

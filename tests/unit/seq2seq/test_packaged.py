from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from seq2seq.corpus import open_corpus
from seq2seq.errors import CorpusError, MissingExtraError
from seq2seq.packaged import row_messages

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "dialogue"  # beside a developer's checkout


@pytest.fixture
def package_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for stand-ins of the packages, forgotten afterwards."""
    packages = ("chitchat_dataset", "chatterbot_corpus")
    for name in packages:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in packages:
        sys.modules.pop(name, None)


def test_chitchat_keeps_the_ids_and_leaves_out_monologues(package_folder: Path) -> None:
    def messages(*texts: tuple[str, str]) -> list[dict[str, str]]:
        return [{"sender": sender, "text": text} for sender, text in texts]

    conversations = {
        "id-1": {"messages": [messages(("u1", "hi"), ("u1", "there")), messages(("u2", "hello"))]},
        "id-2": {"messages": [messages(("u1", "anyone?")), messages(("u1", "no?"))]},
    }
    (package_folder / "chitchat_dataset" / "dataset.json").write_text(json.dumps(conversations))
    corpus = open_corpus("chitchat")
    (dialogue,) = corpus
    assert dialogue.key == "chitchat/id-1"
    assert [turn.text for turn in dialogue.turns] == ["hi there", "hello"]
    assert (corpus.name, corpus.licence) == ("chitchat", "MIT")


def test_chitchat_never_trains_on_what_validates_and_tests_the_models() -> None:
    lists = SHARED / "chitchat.train.ids.txt.gz", SHARED / "chitchat.valid.ids.txt.gz"
    if not all(path.is_file() for path in lists):
        pytest.skip("the lists of the project's splits are not on this machine")
    pytest.importorskip("chitchat_dataset")
    train, valid = (set(gzip.decompress(path.read_bytes()).decode().split()) for path in lists)
    assert {dialogue.id for dialogue in open_corpus("chitchat")} == train
    assert {dialogue.id for dialogue in open_corpus("chitchat:valid")} == valid


def test_chatterbot_reads_the_files_of_one_language(package_folder: Path) -> None:
    for language, file, text in (
        ("english", "b.yml", "conversations:\n- - Say 1\n  - 1\n- no reply\n"),
        ("english", "a.yml", "conversations:\n- - Hi\n  - Hello\n  - Bye\n"),
        ("english", "notes.txt", "nothing"),
        ("french", "a.yml", "conversations:\n- - Salut\n  - Bonjour\n"),
    ):
        path = package_folder / "chatterbot_corpus" / "data" / language / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    english = open_corpus("chatterbot:english")
    assert [[turn.text for turn in dialogue.turns] for dialogue in english] == [
        ["Hi", "Hello", "Bye"],
        ["Say 1", "1"],
    ]
    assert {dialogue.source for dialogue in english} == {"chatterbot_en"}
    with pytest.raises(CorpusError, match="chatterbot:klingon: no such language; there are english, french"):
        open_corpus("chatterbot:klingon")


def test_digest_follows_the_content_alone(package_folder: Path) -> None:
    folder = package_folder / "chatterbot_corpus" / "data" / "english"
    folder.mkdir(parents=True)

    def digest_of(text: str) -> str:
        (folder / "a.yml").write_text(text)
        return open_corpus("chatterbot:english").digest

    first = digest_of("conversations:\n- - Hi\n  - Hello\n")
    assert digest_of("# a comment\nconversations: [[Hi, Hello]]\n") == first
    assert digest_of("conversations:\n- - Hi\n  - Hullo\n") != first


@pytest.mark.parametrize(
    ("corpus", "module", "extra"),
    [
        ("chitchat", "chitchat_dataset", "train"),
        ("chatterbot:english", "chatterbot_corpus", "train"),
        ("hf:some/set", "datasets", "hf"),
    ],
)
def test_missing_package_is_one_line_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, corpus: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        open_corpus(corpus)
    message = f"the corpus {corpus} needs the extra `{extra}`: pip install 'backchat[{extra}]'"
    assert str(caught.value) == message


class Table(list[dict[str, object]]):
    """Rows as the datasets library gives them."""

    info = SimpleNamespace(license="mit")


def load_from(monkeypatch: pytest.MonkeyPatch, result: Table | Exception) -> None:
    def load_dataset(name: str, split: str) -> Table:
        assert (name, split) == ("some/set", "train")
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_hugging_face_rows_become_dialogues(monkeypatch: pytest.MonkeyPatch) -> None:
    load_from(monkeypatch, Table([{"dialog": ["hi ", " hello"]}, {"dialog": ["alone"]}]))
    corpus = open_corpus("hf:some/set")
    (dialogue,) = corpus
    assert (dialogue.source, [turn.text for turn in dialogue.turns]) == ("hf:some/set", ["hi", "hello"])
    assert corpus.licence == "mit"


def test_hugging_face_failures_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    load_from(monkeypatch, RuntimeError("no such data set"))
    with pytest.raises(CorpusError, match=r"hf:some/set: cannot be loaded \(no such data set\)"):
        open_corpus("hf:some/set")
    load_from(monkeypatch, Table([{"image": 1}]))
    with pytest.raises(CorpusError, match="hf:some/set, row 0: found the columns image; expected a list of turns"):
        list(open_corpus("hf:some/set"))


@pytest.mark.parametrize(
    "row",
    [
        {"turns": [{"speaker": "A", "text": "hi"}, {"speaker": "B", "text": "hello"}]},
        {"id": 1, "messages": [{"role": "A", "content": "hi"}, {"role": "B", "content": "hello"}]},
        {"conversations": [{"from": "A", "value": "hi"}, {"from": "B", "value": "hello"}]},
        {"utterances": {"speaker": ["A", "B"], "text": ["hi", "hello"]}},
        {"dialog": ["hi", "hello"]},
        {"prompt": "hi", "response": "hello", "score": 3},
        {"question": "hi", "answer": "hello"},
    ],
)
def test_rows_of_usual_forms_are_understood(row: dict[str, object]) -> None:
    assert row_messages(row) == [("A", "hi"), ("B", "hello")]


@pytest.mark.parametrize("row", [{"text": "hi"}, {"turns": [{"text": "hi"}]}, {"turns": [3]}, {"prompt": "hi"}])
def test_rows_of_other_forms_are_refused(row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        row_messages(row)

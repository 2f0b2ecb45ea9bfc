from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from seq2seq.corpus import FileCorpus, open_corpus, select_ids
from seq2seq.errors import CorpusError

LINES = "".join(
    f'{{"id": "d{n}", "source": "dream", "turns": [{{"speaker": "A", "text": "{n}"}}, '
    f'{{"speaker": "B", "text": "so"}}]}}\n'
    for n in range(3)
)


@pytest.fixture
def corpus_file(tmp_path: Path) -> Path:
    path = tmp_path / "c.jsonl"
    path.write_text(LINES)
    return path


def test_file_corpus_reads_the_same_again_and_again(corpus_file: Path) -> None:
    corpus = open_corpus(str(corpus_file))
    assert [dialogue.id for dialogue in corpus] == ["d0", "d1", "d2"]
    assert list(corpus) == list(corpus)


def test_file_corpus_knows_its_digest_and_licence(corpus_file: Path) -> None:
    corpus = open_corpus(str(corpus_file))
    assert corpus.name == corpus_file.name
    assert corpus.digest == hashlib.sha256(LINES.encode()).hexdigest()
    assert corpus.licence == "non-commercial research only"


def test_licence_of_an_unknown_or_empty_source_is_unknown(tmp_path: Path) -> None:
    for name, content in (("mine.tsv", "a\tb\n"), ("empty.txt", "")):
        (tmp_path / name).write_text(content)
        assert open_corpus(str(tmp_path / name)).licence is None


def test_bad_lines_are_counted_anew_in_every_reading(corpus_file: Path) -> None:
    corpus_file.write_text("bad\n" + LINES)
    corpus = FileCorpus(corpus_file, skip_bad_lines=True)
    for _ in range(2):
        assert len(list(corpus)) == 3
        assert corpus.bad_lines.count == 1
    with pytest.raises(CorpusError, match="line 1"):
        list(FileCorpus(corpus_file))


@pytest.mark.parametrize(("keep", "ids"), [(True, ["d0", "d2"]), (False, ["d1"])])
@pytest.mark.parametrize("packed", [False, True])
def test_list_of_ids_keeps_or_leaves_out(
    corpus_file: Path, tmp_path: Path, keep: bool, ids: list[str], packed: bool
) -> None:
    listed = b"d2\nd0\n\nunknown\n"
    ids_file = tmp_path / ("ids.txt.gz" if packed else "ids.txt")
    ids_file.write_bytes(gzip.compress(listed) if packed else listed)
    corpus = open_corpus(str(corpus_file))
    selected = select_ids(corpus, ids_file, keep=keep)
    assert [dialogue.id for dialogue in selected] == ids
    assert selected.licence == corpus.licence


def test_digest_of_a_selection_is_its_own(corpus_file: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("d1\n")
    corpus = open_corpus(str(corpus_file))
    kept, left_out = (select_ids(corpus, tmp_path / "ids.txt", keep=keep) for keep in (True, False))
    assert len({corpus.digest, kept.digest, left_out.digest}) == 3


def test_damaged_list_of_ids_is_an_error(corpus_file: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(CorpusError, match=r"ids\.txt\.gz: not a readable list"):
        select_ids(open_corpus(str(corpus_file)), tmp_path / "ids.txt.gz")


@pytest.mark.parametrize("name", ["nowhere.jsonl", "chatterbot", "hf:", "chitchats", "."])
def test_unknown_name_says_what_is_possible(name: str) -> None:
    with pytest.raises(CorpusError, match=r"no such file or corpus\. Possible are .*chitchat.*LANGUAGE.*hf:NAME"):
        open_corpus(name)

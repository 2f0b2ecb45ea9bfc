"""Full-text search over turns: an FTS5 index in SQLite, trigrams in PostgreSQL.

FTS5's own tokenizers either take a Chinese sentence for one word, or (trigram) find nothing shorter than three
characters. Here each character of a script that is written without blanks, and each emoji, is a word of its own, and
what a person looks for is a phrase of such words; so words of any length are found in any script. The index keeps no
text: to take a turn out of it, its words are told to it once more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, select, text
from sqlalchemy.orm import Session

from storage.schema import TurnRow

# Han, kana, Hangul (its particles cling to words), Thai, Lao, Tibetan, Burmese, Khmer, and emoji. Whoever changes
# this, or the tokenizer below, adds a migration that builds the index anew.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2600-\u27bf\u3005-\u3007\u3040-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    "\U0001f000-\U0001faff\U00020000-\U0003ffff]"
)
_TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* M* N* Co So Sk'"
_CHUNK = 1000
_MERGE_PAGES = 1000


class IndexedTurn(NamedTuple):
    """What the index knows of a turn. The person is a word in it too, so that a search stays within theirs."""

    id: int
    person_id: int
    text: str


def create_index(connection: Connection) -> None:
    """Make the index, empty in SQLite. PostgreSQL does without trigrams where we may not install them."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            f"CREATE VIRTUAL TABLE turn_words USING fts5"
            f"""(person, text, content='', columnsize=0, tokenize="{_TOKENIZER}")"""
        )
        return
    known = text("SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'pg_trgm'")
    is_installed = connection.scalar(known)
    if is_installed is False and connection.scalar(
        text("SELECT has_database_privilege(current_database(), 'CREATE')")
    ):
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
        is_installed = True
    if is_installed:
        connection.execute(text("CREATE INDEX ix_turns_words ON turns USING gin (text gin_trgm_ops)"))


def index_all(connection: Connection) -> None:
    """Put every turn into an empty index."""
    if connection.dialect.name != "sqlite":
        return
    rows = connection.execute(text("SELECT id, person_id, text FROM turns ORDER BY id"))
    for chunk in rows.partitions(_CHUNK):
        _tell(connection, (IndexedTurn(*row) for row in chunk))


def add(session: Session, turns: Iterable[IndexedTurn]) -> None:
    """Put turns into the index, within the transaction that stores them."""
    if session.get_bind().dialect.name == "sqlite":
        _tell(session.connection(), turns)


def remove(session: Session, turns: Iterable[IndexedTurn]) -> None:
    """Take turns out of the index. Their words stay in its file until ``merge``."""
    if session.get_bind().dialect.name == "sqlite":
        _tell(session.connection(), turns, command="delete")


def merge(connection: Connection) -> bool:
    """Do a bounded piece of rewriting the index without what was taken out of it; True while more is left.

    FTS5's option ``secure-delete`` would do without, but SQLite has it only since 3.42, and whoever opens the file
    with an older one could not read the index any more.
    """
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    connection.exec_driver_sql(f"INSERT INTO turn_words (turn_words, rank) VALUES ('merge', {-_MERGE_PAGES})")
    after = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    return int(after - before) >= 2  # by FTS5's manual: less means that there was nothing to do


def find(session: Session, words: str, person_id: int | None, limit: int) -> list[int]:
    """Return the ids of turns in which every one of ``words`` occurs, newest first.

    A word is found whole, in any case; ``word*`` finds its beginnings. SQLite also looks through accents.
    """
    wanted = [bare for word in words.split() if (bare := _without_marks(word))]
    if not wanted:
        return []
    if session.get_bind().dialect.name == "sqlite":
        query = " AND ".join(_phrase(word) for word in wanted)
        query = f"{{text}} : ({query})" if person_id is None else f"{{person}} : {person_id} AND {{text}} : ({query})"
        found = session.execute(
            text("SELECT rowid FROM turn_words WHERE turn_words MATCH :query ORDER BY rowid DESC LIMIT :limit"),
            {"query": query, "limit": limit},
        )
        return list(found.scalars())
    select_ids = select(TurnRow.id).where(*(_occurs(word) for word in wanted))
    if person_id is not None:
        select_ids = select_ids.where(TurnRow.person_id == person_id)
    return list(session.scalars(select_ids.order_by(TurnRow.id.desc()).limit(limit)))


def _tell(connection: Connection, turns: Iterable[IndexedTurn], command: str | None = None) -> None:
    values = [(turn.id, str(turn.person_id), _spaced(turn.text)) for turn in turns]
    if not values:
        return
    if command is None:
        statement = "INSERT INTO turn_words (rowid, person, text) VALUES (?, ?, ?)"
    else:
        statement = f"INSERT INTO turn_words (turn_words, rowid, person, text) VALUES ('{command}', ?, ?, ?)"
    connection.exec_driver_sql(statement, values)


def _spaced(words: str) -> str:
    return _UNSPACED.sub(r" \g<0> ", words).replace("\x00", " ")


def _without_marks(word: str) -> str:
    """Return a word without the marks around it but a last ``*``; nothing where it has only marks."""
    begin, end = 0, len(word)
    while begin < end and not _is_indexed(word[begin]):
        begin += 1
    while end > begin and not _is_indexed(word[end - 1]):
        end -= 1
    return word[begin:end] + ("*" if begin < end and word.endswith("*") else "")


def _is_indexed(character: str) -> bool:
    # Letters with their marks, numbers, emoji: the categories that the tokenizer takes for words.
    return unicodedata.category(character)[0] in "LMN" or unicodedata.category(character) in ("Co", "So", "Sk")


def _phrase(word: str) -> str:
    """Return FTS5's phrase for a word: its parts, one behind the other."""
    quoted = _spaced(word.rstrip("*")).replace('"', " ")
    return f'"{quoted}" *' if word.endswith("*") else f'"{quoted}"'


def _occurs(word: str) -> ColumnElement[bool]:
    """Return PostgreSQL's condition for a word, in a form that an index of trigrams serves."""
    bare = word.rstrip("*")
    if _UNSPACED.search(bare):
        return TurnRow.text.icontains(bare, autoescape=True)
    pattern = re.sub(r"[^\w\s]", r"\\\g<0>", bare)
    begin = r"\m" if bare[0].isalnum() else ""
    end = r"\M" if bare[-1].isalnum() and not word.endswith("*") else ""
    return TurnRow.text.regexp_match(f"(?i){begin}{pattern}{end}")

"""Text files a line at a time: where each stands, and what becomes of one that cannot be read."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from seq2seq.errors import CorpusError

MAX_LINE_BYTES = 16 * 2**20  # a longer line is no dialogue, and would have to stand in memory whole


@dataclass
class BadLines:
    """What becomes of lines that cannot be read: an error at the first, or a count."""

    skip: bool = False
    count: int = 0
    first: str = ""

    def found(self, where: str, problem: str) -> None:
        """Raise, or count.

        Raises:
            CorpusError: bad lines are not skipped.
        """
        if not self.skip:
            raise CorpusError(f"{where}: {problem}. Mend the line, or pass --skip-bad-lines.")
        self.count += 1
        self.first = self.first or f"{where}: {problem}"


def numbered_lines(
    stream: IO[bytes], name: str, bad: BadLines, *, keep_blank: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield ``(where, line)`` without line ends and without a byte order mark; blank lines only if asked.

    Raises:
        CorpusError: the file is UTF-16, or has a bad line to raise for.
    """
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{name}, line {number}"
        if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CorpusError(f"{name}: is UTF-16, not UTF-8. Open it in an editor, and save it as UTF-8.")
        if len(raw) > MAX_LINE_BYTES:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(MAX_LINE_BYTES)
            bad.found(where, f"longer than {MAX_LINE_BYTES >> 20} MiB")
            continue
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            bad.found(where, f"not UTF-8 (byte {error.start}: {error.reason})")
            continue
        if keep_blank or line.strip():
            yield where, line

"""``backchat import``: chat exports and corpora into the memory, or into a file to train on."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seq2seq.dialogues import Dialogue
    from seq2seq.importing import ImportRequest, Progress
    from storage.store import ConversationStore

app = typer.Typer()
_BATCH_DIALOGUES = 500  # one transaction each


@app.command("import")
def imports(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Chat exports, corpora, or zips of them.", show_default=False),
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write this file instead of the memory; may end in .gz.")
    ] = None,
    speak_as: Annotated[
        list[str] | None, typer.Option("--as", metavar="NAME", help="Learn this voice only; may be given again.")
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="telegram, whatsapp, discord, signal, instagram, jsonl, tsv, csv or txt, if not told itself.",
        ),
    ] = None,
    silence: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS", help="The silence that parts two dialogues. [default: inferred from each chat]"
        ),
    ] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Count bad lines, and go on.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what was found, and what would be kept.")
    ] = False,
) -> None:
    """Bring chat exports and corpora into the memory, or into a file to train on. Importing twice doubles nothing."""
    from seq2seq.errors import CorpusError
    from seq2seq.importing import ImportReport, ImportRequest, import_dialogues

    request = ImportRequest(tuple(files), tuple(speak_as or ()), file_format, silence, skip_bad_lines)
    report = ImportReport()
    with _progress(request) as progress:
        dialogues = import_dialogues(request, report, progress)
        if dry_run:
            for _ in dialogues:
                pass
            kept = "dry run: nothing was written"
        elif to is not None:
            if any(to.exists() and to.samefile(file) for file in files if file.exists()):
                raise CorpusError(f"{to}: is read and cannot be written at the same time; name another file")
            write_jsonl(dialogues, to)
            kept = f"wrote {to}"
        else:
            with closing(_open_memory()) as memory:
                stored = remember(dialogues, memory)
            kept = f"{stored:,} dialogues are new in the memory, or have grown"
            kept += "; to learn from them: backchat retrain" if stored else ""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    print(report.as_text() if dry_run else report.as_text().split("\n\n")[0])
    print(kept, file=sys.stderr)


def _open_memory() -> ConversationStore:
    from bot.settings import load_settings
    from storage.store import ConversationStore, StorageConfig

    settings = load_settings()  # without bot.assembly, which loads what models need: 60 MiB
    return ConversationStore(StorageConfig(settings.database_url, settings.busy_timeout_s))


def remember(dialogues: Iterable[Dialogue], memory: ConversationStore) -> int:
    """Store dialogues in the memory, some hundred at a time; returns how many were new or had changed."""
    waiting = iter(dialogues)
    stored = 0
    while batch := list(islice(waiting, _BATCH_DIALOGUES)):
        stored += memory.import_dialogues(batch)
    return stored


def write_jsonl(dialogues: Iterable[Dialogue], path: Path) -> None:
    """Write dialogues to a file, whole or not at all; a file of that name is replaced.

    Raises:
        CorpusError: it cannot be written.
    """
    from seq2seq.errors import CorpusError
    from seq2seq.readers import jsonl_line

    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise CorpusError(f"--to {path}: must end in .jsonl or .jsonl.gz")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # they are people's own words
        with os.fdopen(descriptor, "wb") as raw:
            is_packed = path.suffix == ".gz"
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) if is_packed else nullcontext(raw) as out:
                for dialogue in dialogues:
                    out.write(jsonl_line(dialogue).encode("utf-8", "replace"))
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _progress(request: ImportRequest) -> Iterator[Progress]:
    """Show how far the reading has come, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    total = sum(path.stat().st_size for path in request.paths if path.is_file())
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[messages]:,} messages"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, messages=0)
        yield lambda read_bytes, messages: bar.update(task, completed=read_bytes, messages=messages)

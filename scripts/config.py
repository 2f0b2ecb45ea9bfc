"""``backchat config``: every setting, its value, and where it came from."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
_UNBOUNDED = 10_000  # columns, where no screen bounds them


@app.command()
def config(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a setting.")] = False,
    persona: Annotated[bool, typer.Option("--persona", help="Print the persona file in use.")] = False,
) -> None:
    """Show every setting, its value, and where it came from."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from bot.assembly import persona_file
    from bot.settings import explain_settings, load_settings
    from seq2seq.errors import PersonaError
    from seq2seq.persona import DEFAULT_PERSONA

    if persona:
        path = persona_file(load_settings())
        try:
            if _is_output(path):
                path = DEFAULT_PERSONA  # `> persona.toml` in the home: the shell has just made it, empty
            print(path.read_text(encoding="utf-8"), end="")
        except (OSError, UnicodeDecodeError) as error:
            raise PersonaError(f"{path}: cannot be read ({error})") from error
        return
    rows = explain_settings(load_settings())
    if as_json:
        for name, value, source in rows:
            print(json.dumps({"name": name, "value": value, "source": source}, default=str, ensure_ascii=False))
        return
    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), "from", box=None, pad_edge=False)
    for name, value, source in rows:
        shown = "-" if value is None or value == () else str(value)
        table.add_row(Text(name), Text(shown), Text(source, "dim" if source == "default" else ""))
    Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False).print(table)


def _is_output(path: Path) -> bool:
    """Tell whether a file is the one that standard output goes to."""
    return os.path.samestat(path.stat(), os.fstat(1))

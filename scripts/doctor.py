"""``backchat doctor``: what is wrong with the set-up, and the fix for each."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def doctor() -> None:
    """Check the set-up and say how to mend what is wrong; ends with 1 where something is."""
    from rich.console import Console
    from rich.text import Text

    from bot.checkup import check_up
    from bot.settings import load_settings

    console, is_ill = Console(highlight=False), False
    marks = {"fine": Text("fine  ", "green"), "note": Text("note  ", "yellow"), "wrong": Text("WRONG ", "bold red")}
    for finding in check_up(load_settings()):
        console.print(marks[finding.state] + Text(f"{finding.subject}: {finding.text}"), soft_wrap=True)
        is_ill |= finding.state == "wrong"
    if is_ill:
        raise typer.Exit(1)

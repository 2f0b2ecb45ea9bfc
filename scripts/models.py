"""``backchat models``: what was learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from seq2seq.registry import Registry

app = typer.Typer()
_MODEL = typer.Argument(help="A model id, the start of one, a shipped name or a folder.")


@app.command("list")
def list_models() -> None:
    """Show every model: shipped ones first, then by age; * is the current one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "model", "parameters", "MB", "trained on", box=None, pad_edge=False)
    for entry in _registry().entries():
        mark = "*" if entry.is_current else ""
        if entry.model is None:
            table.add_row(mark, Text(entry.model_id), "", "", Text(entry.problem or "damaged", "red"))
            continue
        trained_on = ", ".join(_corpus_names(entry.model.manifest))
        parameters = entry.model.manifest.get("parameters")
        table.add_row(
            mark,
            Text(entry.model_id),
            f"{parameters / 1e6:.1f} M" if isinstance(parameters, int) else "",
            f"{entry.model.size_bytes / 1e6:.1f}",
            Text(trained_on),
        )
    Console().print(table)


@app.command()
def show(model: Annotated[str, _MODEL], as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show what a model is: sizes, settings, corpora with licences, results, parent."""
    from seq2seq.model_files import load_model_dir

    manifest = load_model_dir(_registry().resolve(model)).manifest
    if as_json:
        print(json.dumps(manifest, ensure_ascii=False))
        return
    for name, value in manifest.items():
        if name == "corpora":
            for corpus in value:
                print(f"corpus: {corpus['name']} (licence: {corpus.get('licence') or 'unknown'})")
        elif name == "files":
            print(f"size: {sum(file['bytes'] for file in value.values()) / 1e6:.1f} MB in {len(value)} files")
        else:
            print(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@app.command()
def promote(model: Annotated[str, _MODEL]) -> None:
    """Make a model the current one; running bots swap it in without dropping a reply."""
    print(_registry().promote(model))


@app.command()
def rollback() -> None:
    """Make the model current that was so before the last promotion."""
    print(_registry().rollback())


@app.command()
def remove(model: Annotated[str, _MODEL]) -> None:
    """Remove a published model for good; never the current one."""
    print(_registry().remove(model))


def _registry() -> Registry:
    from bot.assembly import open_registry
    from bot.settings import load_settings

    return open_registry(load_settings())


def _corpus_names(manifest: Any) -> list[str]:
    names = [str(corpus["name"]).rsplit("/", 1)[-1] for corpus in manifest.get("corpora", ())]
    return list(dict.fromkeys(names))

"""``backchat models``: what was learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seq2seq.model_files import ModelDir
    from seq2seq.registry import Registry

app = typer.Typer()
_MODEL = typer.Argument(help="A model id, the start of one, a shipped name or a folder.")


@app.command("list")
def list_models() -> None:
    """Show every model: shipped ones first, then by age; * is the current one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    entries = _registry().entries()
    notes = _notes([entry.model for entry in entries if entry.model is not None])
    table = Table("", "model", "parameters", "MB", "trained on", box=None, pad_edge=False)
    for entry in entries:
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
            Text.assemble(trained_on, (notes.get(entry.model_id, ""), "red")),
        )
    Console().print(table)


@app.command()
def show(model: Annotated[str, _MODEL], as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show what a model is: sizes, settings, corpora with licences, results, parent."""
    from seq2seq.model_files import load_model_dir

    directory = load_model_dir(_registry().resolve(model))
    manifest = directory.manifest
    if as_json:
        print(json.dumps(manifest, ensure_ascii=False))
        return
    for name, value in manifest.items():
        if name == "corpora":
            for corpus in value:
                print(f"corpus: {corpus['name']} (licence: {corpus.get('licence') or 'unknown'})")
        elif name == "learned":
            print(f"learned: {_learned(value)}")
        elif name == "gate":
            for row in value["checks"]:
                print(f"gate: {row[0]}: {row[1]} before, {row[2]} after, must be {row[3]}: {row[4]}")
        elif name == "files":
            print(f"size: {sum(file['bytes'] for file in value.values()) / 1e6:.1f} MB in {len(value)} files")
        else:
            print(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    for note in _notes([directory]).values():
        print(f"note:{note}")


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


def _learned(summary: Mapping[str, Any]) -> str:
    """Return in one line what a model learned from conversations."""
    origins = ", ".join(f"{count:,} {origin}" for origin, count in summary["origins"].items())
    return (
        f"{summary['exchanges']:,} exchanges ({origins}) collected {summary['collected']}; "
        f"{_count(summary['turns'])} in all rounds so far"
    )


def _notes(models: Sequence[ModelDir]) -> dict[str, str]:
    """Return what is to be said of models that saw words that are gone, or are no longer to be learned from."""
    from seq2seq.errors import ModelFilesError
    from seq2seq.provenance import erased_since, read_learned

    notes, learned = {}, {}
    for model in models:
        try:
            if rounds := read_learned(model):
                learned[model.model_id] = rounds
        except ModelFilesError as error:
            notes[model.model_id] = f" {error}"
    if not learned:  # the memory stays closed
        return notes
    from contextlib import closing

    from bot.assembly import open_store
    from bot.settings import load_settings

    with closing(open_store(load_settings())) as store:
        withdrawn = store.provenance.withdrawn_turn_ids()
        for model_id, rounds in learned.items():
            gone = erased_since(rounds, store.provenance.erased_turn_ids)
            unwilling = len(withdrawn.intersection(turn for one in rounds for turn in one.turn_ids))
            if gone or unwilling:
                what = [f"{_count(gone)} erased since"] * bool(gone)
                what += [f"{_count(unwilling)} whose people withdrew consent"] * bool(unwilling)
                notes[model_id] = f" saw {' and '.join(what)}: `backchat retrain --from-scratch` makes one without"
    return notes


def _count(turns: int) -> str:
    return f"{turns:,} turn{'s' * (turns != 1)}"


def _corpus_names(manifest: Any) -> list[str]:
    names = [str(corpus["name"]).rsplit("/", 1)[-1] for corpus in manifest.get("corpora", ())]
    return list(dict.fromkeys(names))

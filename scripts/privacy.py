"""``backchat privacy``: one person's data out, or gone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.logs import forget_typed_lines, is_at_this_terminal, report_erased, write_export

if TYPE_CHECKING:
    from seq2seq.registry import Registry
    from storage.store import ConversationStore

app = typer.Typer()
_User = Annotated[str, typer.Argument(metavar="USER", help="terminal:ada, telegram:123.", show_default=False)]


@app.command()
def export(
    user: _User,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write this file, for your eyes only.")
    ] = None,
) -> None:
    """Write all that is known of a person, and which models learned from it, as JSON: to the screen or a file."""
    with closing(_open()) as store:
        _require(store, user)
        write_export(all_about(store, _registry(), user), output)


@app.command()
def forget(user: _User, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Erase all that is known of a person, under all their names; models that learned from it stay, and are named."""
    from seq2seq.provenance import models_that_saw

    with closing(_open()) as store:
        _require(store, user)
        if not yes:
            typer.confirm(
                f"Erase all that is known of {', '.join(store.people.identities(user))}?", abort=True, err=True
            )
        models = models_that_saw(_registry(), store.provenance.turn_ids_of(user))
        is_here = is_at_this_terminal(store, user)
        report_erased(store, f"all turns of {user}", store.delete_person(user))
        forget_typed_lines(before=datetime.now(UTC) if is_here else None)
    if models:
        print(
            f"Trained on what was erased: {', '.join(models)}. A new one without it: backchat retrain --from-scratch",
            file=sys.stderr,
        )


def all_about(store: ConversationStore, registry: Registry, user: str) -> Iterator[str]:
    """Yield one JSON object with all that is known of a person, a conversation at a time."""
    from seq2seq.provenance import models_that_saw

    consents = [
        {"is_granted": consent.is_granted, "created": consent.created.isoformat()}
        for consent in store.people.consents(user)
    ]
    models = models_that_saw(registry, store.provenance.turn_ids_of(user))
    facts = {"identities": store.people.identities(user), "consents": consents, "models": models}
    yield json.dumps(facts, ensure_ascii=False).removesuffix("}") + ', "conversations": '
    yield from store.export("json", person=user)
    yield "}\n"


def _require(store: ConversationStore, user: str) -> None:
    from storage.errors import StorageError

    if not store.people.identities(user):
        raise StorageError(f"nobody is called {user!r}; people are called as terminal:ada or telegram:123")


def _registry() -> Registry:
    from bot.assembly import open_registry
    from bot.settings import load_settings

    return open_registry(load_settings())


def _open() -> ConversationStore:
    from bot.assembly import open_store
    from bot.settings import load_settings

    return open_store(load_settings())

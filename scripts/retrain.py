"""``backchat retrain``: logged conversations in; a better model out, or none."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

import typer

app = typer.Typer()
_REFUSED = 3


@app.command()
def retrain(
    minutes: Annotated[float | None, typer.Option(help="Of the whole run. [default: 10]", show_default=False)] = None,
    if_new: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only where N exchanges are new; for cron and timers.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin before all conversations: what was erased is unlearned.")
    ] = False,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Keep the model, but do not use it yet.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be learned.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of the order, the dropout and the samples.")] = None,
) -> None:
    """Learn from logged conversations; the last line printed is the model's id. Exit code 3: it was refused."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    from bot.assembly import open_registry, open_store
    from bot.intake import IntakeReport, exchanges_to_learn
    from bot.settings import apply_overrides, load_settings
    from scripts.corpora import open_corpus
    from seq2seq.config import CleaningConfig, RetrainingConfig
    from seq2seq.errors import MissingExtraError
    from seq2seq.learning.background import step_back
    from seq2seq.learning.gate import GATE_HEADINGS, GateConfig

    settings = load_settings({"retraining": {"minutes": minutes, "seed": seed}})
    config = apply_overrides(RetrainingConfig(), settings.retraining)
    try:
        from seq2seq.learning import retraining
        from seq2seq.learning.collecting import collect
        from seq2seq.learning.report import remove_pages
    except ImportError as error:
        raise MissingExtraError(
            f"retraining needs the extra `train` ({error.name} is missing): pip install 'backchat[train]'"
        ) from error
    store, registry = open_store(settings), open_registry(settings)
    remove_pages(settings.runs_dir, lambda moment: bool(store.provenance.erased_turn_ids(moment)))
    report = IntakeReport()
    exchanges = list(exchanges_to_learn(store, settings, report))
    store.close()
    print(report.as_text(), file=sys.stderr)
    cleaning = apply_overrides(CleaningConfig(), settings.cleaning)
    if dry_run:
        found = collect(exchanges, config, cleaning)
        print(found.as_text())
        retraining.check_enough(found, config)
        return
    if if_new is not None and (new := retraining.count_new(exchanges, registry)) < if_new:
        print(f"{new} new exchanges, fewer than {if_new}: nothing was done", file=sys.stderr)
        return
    step_back(config.niceness)
    outcome = retraining.retrain(
        exchanges,
        retraining.Settings(
            config,
            apply_overrides(GateConfig(), settings.gate),
            cleaning,
            registry,
            settings.runs_dir,
            settings.cache_dir,
        ),
        open_corpus,
        from_scratch=from_scratch,
        promote=not no_promote,
        counts={"people": len(report.people), "reviewed": report.reviewed},
        command=shlex.join(["backchat", *sys.argv[1:]]),
    )
    _print_gate(GATE_HEADINGS, outcome.verdict.rows())
    print(outcome.note, file=sys.stderr)
    print(f"What it was, and what it became: {outcome.page}", file=sys.stderr)
    print(outcome.model_id)
    if not outcome.verdict.is_passed:
        raise typer.Exit(_REFUSED)


def _print_gate(headings: tuple[str, ...], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if 0 < number < len(headings) - 1 else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(stderr=True).print(table)

"""``backchat evaluate``: how good a model is, by numbers and by a page of its replies."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts import decoding_options as options

if TYPE_CHECKING:
    from seq2seq.evaluation.comparison import Difference, Result
    from seq2seq.evaluation.likelihood import OnProgress
    from seq2seq.evaluation.probes import Probes
    from seq2seq.evaluation.self_chat import SelfChat
    from seq2seq.model import Seq2Seq
    from seq2seq.model_files import ModelDir

app = typer.Typer()
_CONSISTENCY_TALKS = 10
_FULL_TALKS = 20  # of --self-chat, under --full


@app.command()
def evaluate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model id, a folder or a shipped name.")],
    corpora: Annotated[list[str], typer.Argument(metavar="CORPUS", help="Dialogues to measure on.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a corpus, one a line.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page with tables, pictures and samples.")] = None,
    replies: Annotated[int, typer.Option(help="Exchanges of each corpus that are replied to.")] = 500,
    timed_replies: Annotated[int, typer.Option(help="How many of them one at a time, for latency.")] = 50,
    contexts: Annotated[int, typer.Option(help="Contexts of hits@1/20 and of context use; 0 is off.")] = 200,
    fp32: Annotated[bool, typer.Option("--fp32", help="Score by the fp32 weights too (extra train).")] = False,
    probes: Annotated[bool, typer.Option("--probes", help="Probe consistency and safety by fixed prompts.")] = False,
    safety_replies: Annotated[int, typer.Option(min=1, help="Replies to hostile prompts under --probes.")] = 400,
    self_chat: Annotated[int, typer.Option(min=0, help="Let the model talk with itself so many times.")] = 0,
    compare: Annotated[str | None, typer.Option(help="A second model, on the same exchanges.")] = None,
    strategies: Annotated[bool, typer.Option("--strategies", help="Compare all four strategies.")] = False,
    judges: Annotated[bool, typer.Option("--judges", help="Ask a parser and an embedder (extra dev).")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="All of it: --fp32 --probes --self-chat 20 --strategies --judges.")
    ] = False,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Leave out what cannot be read.")] = False,
    strategy: options.Strategy = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    candidates: options.Candidates = None,
    seed: Annotated[int, typer.Option(help="Of samples, draws and replies.")] = 0,
) -> None:
    """Measure a model on dialogues: every turn but the first of each is an exchange."""
    from bot.assembly import open_persona, open_registry
    from bot.settings import load_settings, set_values
    from scripts.corpora import open_corpus
    from seq2seq.config import STRATEGIES
    from seq2seq.evaluation.comparison import evaluate_all
    from seq2seq.evaluation.evaluate import EvaluationConfig, Subject
    from seq2seq.evaluation.judges import Judges
    from seq2seq.evaluation.probe_prompts import PROMPTS
    from seq2seq.evaluation.probes import language_of, probe
    from seq2seq.evaluation.report import Report, check_path, write_report
    from seq2seq.evaluation.samples import reply_to_prompts
    from seq2seq.evaluation.self_chat import chat_with_itself
    from seq2seq.model_files import load_model_dir
    from seq2seq.predictor import Predictor

    flags = {"strategy": strategy, "temperature": temperature, "top_p": top_p, "candidates": candidates}
    settings = load_settings({"decoding": flags})
    registry, changes = open_registry(settings), set_values(settings.decoding)
    if full:
        fp32 = probes = strategies = judges = True
        self_chat = self_chat or _FULL_TALKS
    if report is not None:
        check_path(report)
    config = EvaluationConfig(replies, timed_replies, contexts, seed)
    opened = [open_corpus(name, skip_bad_lines=skip_bad_lines) for name in corpora]
    directory = load_model_dir(registry.resolve(model))
    predictor = Predictor(directory, settings.chat.threads)
    decoding = predictor.decoding.with_changes(**changes)
    first, others = Subject(predictor, decoding, _load_torch_model(directory) if fp32 else None), []
    if compare:
        other = Predictor.load(registry.resolve(compare), settings.chat.threads)
        others.append(Subject(other, other.decoding.with_changes(**changes)))
    if strategies:
        names = [name for name in STRATEGIES if name != decoding.strategy]
        others += [Subject(predictor, decoding.with_changes(strategy=name)) for name in names]
    panel = Judges() if judges else None
    with _progress() as on_progress:
        persona, prompts = open_persona(settings), PROMPTS[language_of(opened[0])]
        probed, talks, results = None, None, []
        if probes:
            probed = probe(
                predictor, decoding, prompts, _CONSISTENCY_TALKS, safety_replies, seed, on_progress, persona
            )
        if self_chat:
            talks = chat_with_itself(predictor, decoding, prompts.openings, self_chat, seed, on_progress, persona)
            talks = talks.judged(panel, seed, on_progress) if panel else talks
        for corpus in opened:
            results.append(evaluate_all(first, others, corpus, config, on_progress, panel))
            if as_json:
                print(json.dumps(_as_json(results[-1], probed, talks)), flush=True)
        if report is not None:
            samples = reply_to_prompts(predictor, decoding, prompts.samples, seed, persona)
            write_report(report, Report(_spelled(context), directory, decoding, results, samples, probed, talks))
    if not as_json:
        _print_tables(results, probed, talks)


def _load_torch_model(directory: ModelDir) -> Seq2Seq:
    from seq2seq.errors import MissingExtraError

    try:
        from seq2seq.publishing import load_model
    except ImportError:
        raise MissingExtraError("--fp32 needs the extra `train`: pip install 'backchat[train]'") from None
    return load_model(directory)


def _as_json(result: Result, probed: Probes | None, talks: SelfChat | None) -> dict[str, Any]:
    measures = result.first.as_dict()
    if probed is not None:
        measures["probes"] = probed.as_dict()
    if talks is not None:
        measures["self_chat"] = talks.as_dict()
    if result.comparisons:
        measures["compare"] = [
            {**one.second.as_dict(), "differences": {name: _bounds(found) for name, found in one.differences.items()}}
            for one in result.comparisons
        ]
    return measures


def _bounds(found: Difference) -> dict[str, float]:
    return {"difference": found.difference, "low": found.low, "high": found.high}


def _spelled(context: typer.Context) -> str:
    """Return the command as it was given, but of paths the last part only: what names it may be published."""
    given = context.params
    spelled = ["backchat", "evaluate", *map(_last_part, (given["model"], *given["corpora"]))]
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if parameter.param_type_name == "option" and source is not None and source.name == "COMMANDLINE":
            spelled += [parameter.opts[0]] if given[name] is True else [parameter.opts[0], _last_part(given[name])]
    return shlex.join(spelled)


def _last_part(value: object) -> str:
    spelled = str(value)
    return spelled if spelled.startswith("hf:") else Path(spelled).name or spelled


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Show on standard error what is being measured: a bar in a terminal, a line a part elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading", total=None)
        shown = ""

        def on_progress(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                bar.reset(task, description=what)
                if not console.is_terminal:
                    console.print(f"{what}: {total}")
            bar.update(task, completed=done, total=total)

        yield on_progress


def _print_tables(results: Sequence[Result], probed: Probes | None, talks: SelfChat | None) -> None:
    from seq2seq.evaluation.summary import (
        DIFFERENCE_HEADINGS,
        difference_rows,
        headline_rows,
        probe_rows,
        self_chat_rows,
        short_name,
        text_rows,
    )

    firsts = [result.first for result in results]
    names = [short_name(one.tests.corpus) for one in firsts]
    _print_table(f"{firsts[0].model}, {firsts[0].strategy}", ["", *names], headline_rows(firsts))
    for name, result in zip(names, results, strict=True):
        _print_table(f"replies on {name}", ["", "model", "people"], text_rows(result.first))
        for comparison in result.comparisons:
            title = f"{comparison.second.model}, {comparison.second.strategy}, compared on {name}"
            _print_table(title, ["", *DIFFERENCE_HEADINGS], difference_rows(comparison))
    if probed is not None:
        _print_table("probes", ["", ""], probe_rows(probed))
    if talks is not None:
        _print_table("talks with itself", ["", ""], self_chat_rows(talks))


def _print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), box=None, title_justify="left", title_style="bold", pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    console.print(table)
    console.print()

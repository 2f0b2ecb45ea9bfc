"""``backchat train``: corpora in, a published model out."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Annotated

import typer

app = typer.Typer()
_DEFAULT_MINUTES = 30.0


@app.command()
def train(
    context: typer.Context,
    corpora: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS...",
            help="Files, a database URL, chitchat, chatterbot:LANGUAGE or hf:NAME.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="A name for the model, part of its id.")] = "model",
    preset: Annotated[str, typer.Option(help="tiny, small or base.")] = "small",
    minutes: Annotated[float | None, typer.Option(help="Stop on time, with the best model. [default: 30]")] = None,
    updates: Annotated[int | None, typer.Option(help="Stop after so many updates.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Stop after so many passes over the corpus.")] = None,
    parent: Annotated[str | None, typer.Option("--from", help="Begin with this model's weights.")] = None,
    new_vocabulary: Annotated[
        bool, typer.Option("--new-vocabulary", help="Make the vocabulary anew from the corpora, with --from.")
    ] = False,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")] = None,
    valid: Annotated[list[str] | None, typer.Option(help="A corpus to validate on; may be given again.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    save_updates: Annotated[int | None, typer.Option(help="Save at least every so many updates.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights, the order and the dropout.")] = None,
    tensorboard: Annotated[bool | None, typer.Option("--tensorboard", help="Write TensorBoard files too.")] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Count bad lines, and go on.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read and kept.")] = False,
) -> None:
    """Train a model on dialogues. The last line printed is its id."""
    from bot.assembly import open_registry
    from bot.settings import apply_overrides, load_settings
    from scripts.corpora import open_corpus
    from seq2seq.config import PRESETS, CleaningConfig, DecodingConfig, TrainingConfig
    from seq2seq.errors import MissingExtraError
    from seq2seq.model_files import load_model_dir

    if preset not in PRESETS:
        raise typer.BadParameter(f"must be one of {', '.join(PRESETS)}, got {preset!r}", param_hint="--preset")
    if resume is not None:
        _refuse_changes(context)
    elif not corpora:
        raise typer.BadParameter("name at least one, such as a file or chatterbot:english", param_hint="CORPUS")
    if new_vocabulary and parent is None:
        raise typer.BadParameter("is for --from; without it the vocabulary is new", param_hint="--new-vocabulary")
    # Threads that spin while they wait stall one another where other programs run.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    flags = {
        "minutes": minutes,
        "updates": updates,
        "epochs": epochs,
        "device": device,
        "precision": precision,
        "save_updates": save_updates,
        "seed": seed,
        "tensorboard": tensorboard,
    }
    settings = load_settings({"training": flags})
    training = apply_overrides(TrainingConfig(), settings.training)
    if training.minutes is None and training.updates is None and training.epochs is None:
        training = apply_overrides(TrainingConfig(minutes=_DEFAULT_MINUTES), settings.training)
    try:
        from seq2seq.pipeline import TrainRequest
        from seq2seq.pipeline import dry_run as survey
        from seq2seq.pipeline import train as run
    except ImportError as error:
        raise MissingExtraError(
            f"training needs the extra `train` ({error.name} is missing): pip install 'backchat[train]'"
        ) from error
    open_named = partial(open_corpus, skip_bad_lines=skip_bad_lines)
    registry = open_registry(settings)
    decoding = DecodingConfig() if parent is None else load_model_dir(registry.resolve(parent)).decoding
    request = TrainRequest(
        name=name,
        corpora=tuple(corpora or ()),
        valid=tuple(valid or ()),
        parent=parent,
        model=apply_overrides(PRESETS[preset], settings.model),
        training=training,
        cleaning=apply_overrides(CleaningConfig(), settings.cleaning),
        decoding=apply_overrides(decoding, settings.decoding),
        new_vocabulary=new_vocabulary,
    )
    if dry_run:
        print(survey(request, open_named))
        return
    model_id = run(resume or request, registry, settings.runs_dir, settings.cache_dir, open_named)
    if model_id is not None:
        print(f"To talk with it: backchat chat --model {model_id}", file=sys.stderr)
        print(f"To use it everywhere: backchat models promote {model_id}", file=sys.stderr)
        print(model_id)


def _refuse_changes(context: typer.Context) -> None:
    """Raise a usage error for what is given beside ``--resume``, which would change nothing."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in ("resume", "skip_bad_lines"):
            given = "CORPUS" if parameter.param_type_name == "argument" else parameter.opts[0]
            raise typer.BadParameter(f"a run goes on as it began; leave out {given}", param_hint="--resume")

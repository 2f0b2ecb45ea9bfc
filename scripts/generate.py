"""``backchat generate``: write text on from a prompt, or a reply to it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scripts import decoding_options as options

app = typer.Typer()


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to write on from, or to answer; - reads standard input.")] = "-",
    reply: Annotated[bool, typer.Option("--reply", help="Answer the prompt instead of writing it on.")] = False,
    count: Annotated[int, typer.Option("--count", min=1, max=256, help="How many texts to write.")] = 1,
    model: Annotated[str | None, typer.Option(help="A model id, folder or name.")] = None,
    strategy: options.Strategy = None,
    style: options.Style = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    max_tokens: options.MaxTokens = None,
    seed: options.Seed = None,
) -> None:
    """Write a prompt on, or a reply to it; one text a line."""
    from bot.assembly import open_registry
    from bot.engine import new_seed
    from bot.screen import clean_line
    from bot.settings import load_settings, set_values
    from seq2seq.predictor import Predictor

    flags = {
        "strategy": strategy,
        "style": style,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "max_tokens": max_tokens,
    }
    settings = load_settings({"decoding": flags, "chat": {"model": model, "seed": seed}})
    predictor = Predictor.load(open_registry(settings).resolve(settings.chat.model), settings.chat.threads)
    decoding = predictor.decoding.with_changes(**set_values(settings.decoding))
    text = sys.stdin.buffer.read().decode("utf-8", "replace") if prompt == "-" else prompt
    first = new_seed() if settings.chat.seed is None else settings.chat.seed
    seeds = range(first, first + count)
    if reply:
        found = predictor.predict([[text]] * count, decoding, seeds)
    else:
        found = predictor.predict([[]] * count, decoding, seeds, prefix=text)
    for candidates in found:
        print(clean_line(candidates[0].text) if candidates else "")

"""``backchat bench``: how fast this machine runs the model."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    model: Annotated[str | None, typer.Option(help="A model id, folder or name.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="How often each figure is taken.")] = 15,
) -> None:
    """Measure loading, single replies, batches and many conversations at once."""
    from bot.assembly import open_registry
    from bot.settings import load_settings
    from seq2seq.benchmark import benchmark

    settings = load_settings({"chat": {"model": model}})
    found = benchmark(open_registry(settings).resolve(settings.chat.model), settings.chat.threads, repeats)
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False))
        return
    print(f"{found.model} on {found.machine['processor']}, {found.threads} thread(s), medians of {repeats}")
    print(f"  load                              {found.load_ms:8.1f} ms")
    for strategy, reply_ms in found.reply_ms.items():
        print(f"  one {strategy:<6} reply                 {reply_ms:8.1f} ms")
    print(f"  greedy, 25 tokens from 20         {found.greedy_25_from_20_ms:8.1f} ms")
    for rows, tokens in found.batched_tokens_per_s.items():
        print(f"  {rows:>3} rows in a batch              {tokens:8,.0f} tokens/s")
    for chats, figures in found.concurrent.items():
        print(
            f"  {chats:>3} conversations at once       {figures.replies_per_s:8.1f} replies/s, "
            f"p50 {figures.latency_ms_p50:.0f} ms, p95 {figures.latency_ms_p95:.0f} ms"
        )
    print(f"  peak memory                       {found.peak_memory_mb:8.0f} MB")

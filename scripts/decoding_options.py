"""The flags that say how a reply is found; each command that replies takes them."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "How replies are found (default: the model's own settings)"


def _option(flag: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, help=text, rich_help_panel=_PANEL, show_default=False)
    return option


Strategy = Annotated[str | None, _option("--strategy", "rank, sample, beam or greedy.")]
Style = Annotated[str | None, _option("--style", "none, brief, detailed, curious or cheerful.")]
Temperature = Annotated[float | None, _option("--temperature", "Below 1 safer, above 1 wilder.")]
TopK = Annotated[int | None, _option("--top-k", "Draw from the k likeliest tokens only; 0 is off.")]
TopP = Annotated[float | None, _option("--top-p", "Draw from the likeliest tokens that hold this share; 1 is off.")]
MinP = Annotated[float | None, _option("--min-p", "Drop tokens below this share of the likeliest; 0 is off.")]
PieceMinP = Annotated[float | None, _option("--piece-min-p", "The same for tokens that go on with a word.")]
TypicalP = Annotated[float | None, _option("--typical-p", "Keep the tokens of typical surprise; 1 is off.")]
RepetitionPenalty = Annotated[float | None, _option("--repetition-penalty", "Above 1 repeats less; 1 is off.")]
NoRepeatNgram = Annotated[int | None, _option("--no-repeat-ngram", "No n-gram twice in a reply; 0 is off.")]
BeamSize = Annotated[int | None, _option("--beam-size", "Width of the beam search.")]
LengthPenalty = Annotated[float | None, _option("--length-penalty", "Of the beam search: above 0 longer replies.")]
MinTokens = Annotated[int | None, _option("--min-tokens", "The fewest tokens of a reply.")]
MaxTokens = Annotated[int | None, _option("--max-tokens", "The most tokens of a reply.")]
Candidates = Annotated[int | None, _option("--candidates", "How many candidates rank chooses from.")]
Seed = Annotated[int | None, _option("--seed", "The same seed gives the same reply; by default a new one each time.")]

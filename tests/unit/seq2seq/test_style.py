from __future__ import annotations

import pytest

from seq2seq.config import DecodingConfig
from seq2seq.errors import DecodingError
from seq2seq.style import STYLE_LINES, style_bits, styles_of, with_style


@pytest.mark.parametrize(
    ("response", "styles"),
    [
        ("Yes.", ["brief"]),
        ("Really?", ["brief", "curious"]),
        ("Great!", ["brief", "cheerful"]),
        ("Why? I do not think that this is so", []),
        ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen", []),
        (
            "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen 16?",
            ["detailed", "curious"],
        ),
        ("真的吗？", ["brief", "curious"]),
        ("太好了！", ["brief", "cheerful"]),
    ],
)
def test_styles_are_told_from_length_and_marks(response: str, styles: list[str]) -> None:
    assert styles_of(response) == styles
    assert [STYLE_LINES[bit] for bit in range(4) if style_bits(response) >> bit & 1] == styles


def test_a_style_stands_before_the_persona_and_none_adds_no_line() -> None:
    assert with_style("brief", ("I fish.",)) == ["brief", "I fish."]
    assert with_style("none", ("I fish.",)) == ["I fish."]


def test_an_unknown_style_is_refused_with_those_there_are() -> None:
    with pytest.raises(DecodingError, match="none, brief, detailed, curious, cheerful, got 'rude'"):
        DecodingConfig(style="rude")  # type: ignore[arg-type]

"""What the bot says by itself, in the languages that there are files for in ``texts/``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

DEFAULT = "en"


class Texts:
    """The texts of one language; what it lacks is said in English."""

    def __init__(self, language: str, texts: Mapping[str, str], commands: Mapping[str, str]) -> None:
        self.language, self._texts, self._commands = language, texts, commands

    def say(self, name: str, **facts: object) -> str:
        """Return a text with its facts filled in."""
        return self._texts[name].format(**facts)

    def command_help(self, name: str, otherwise: str) -> str:
        """Return the line of help of a command."""
        return self._commands.get(name, otherwise)


class Languages:
    """All texts, chosen by the language that a person's messenger is set to."""

    def __init__(self) -> None:
        read = {}
        for file in resources.files("bot.messenger").joinpath("texts").iterdir():
            if file.name.endswith(".toml"):
                read[file.name.removesuffix(".toml")] = tomllib.loads(file.read_text(encoding="utf-8"))
        english, english_commands = _parts(read[DEFAULT])
        self._all = {}
        for language, content in read.items():
            texts, commands = _parts(content)
            self._all[language] = Texts(language, english | texts, english_commands | commands)

    def __iter__(self) -> Iterator[Texts]:
        return iter(self._all.values())

    def of(self, code: str | None) -> Texts:
        """Return the texts for a language code such as ``zh-hans``; English where there are none."""
        return self._all.get((code or DEFAULT).lower().partition("-")[0], self._all[DEFAULT])


@cache
def languages() -> Languages:
    """Return all texts, read once."""
    return Languages()


def _parts(content: Mapping[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    commands = content.get("commands", {})
    assert isinstance(commands, dict)
    return {name: text for name, text in content.items() if isinstance(text, str)}, commands

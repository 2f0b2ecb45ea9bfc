"""The documentation keeps its word: commands run, flags exist, links lead somewhere, tables agree with the code.

Commands are run only where a comment above their block asks for it, so that readers of a page's source see which:

    <!-- tested -->                             every line behind ``$`` ends with 0
    <!-- tested, with its output -->            and prints what stands under it
    <!-- tested with the shipped model -->      the first, where that model is there
    <!-- file: NAME -->                         the block is the file NAME, beside which the page's commands run

All marked blocks of a page run in order, in one home and one folder. A ``toml`` block marked as tested is settings.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from bot.settings import Settings, apply_overrides, load_settings
from scripts.cli import COMMANDS, build_app
from seq2seq.config import PRESETS, CleaningConfig, DecodingConfig, ModelConfig, TrainingConfig
from seq2seq.registry import DEFAULT_MODEL, SHIPPED_DIR

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = ("scripts", "bot", "storage", "seq2seq")
TESTED, WITH_OUTPUT, WITH_MODEL = "tested", "tested, with its output", "tested with the shipped model"
# What may be run: these commands, fed by printf or echo where they read standard input.
_SAFE = re.compile(
    r"^(?:(?:printf|echo) .* \| )?backchat "
    r"(?:chat|config|generate|train|import|(?:models|logs) (?:list|show|search))\b"
)
_UNSAFE = re.compile(r"hf:|://|[;&<>`]|\$\(")
_CALL = re.compile(
    r"\s*(?:[A-Z_]+=\S+ )*(?:\S*bin/)?(?:backchat|python3? -m scripts|torchrun .*--module scripts) (\S.*)"
)
# Of pip, of torchrun, of tests.benchmarks.
_FOREIGN_FLAGS = {
    "--editable",
    "--module",
    "--nproc-per-node",
    "--nnodes",
    "--messages",
    "--soak",
    "--turns",
    "--set",
    "--base-dialogues",
    "--threads",
}
_MACHINE_PATHS = re.compile(r"/(?:work|root|tmp)/")


class Block(NamedTuple):
    """A fenced block: what its fence names, the comment above it, its text."""

    language: str
    mark: str
    text: str

    def commands(self) -> list[tuple[str, str]]:
        """Return each line behind ``$``, continued lines joined, with the output under it."""
        found: list[tuple[str, str]] = []
        for line in self.text.replace("\\\n", " ").splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].strip(), ""))
            elif found:
                found[-1] = (found[-1][0], found[-1][1] + line)
        return found


@cache
def blocks(page: Path) -> list[Block]:
    fences = re.finditer(
        r"(?:^<!-- (?P<mark>[^\n]*?) -->\n\n?)?^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)$",
        page.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    return [Block(fence["language"], fence["mark"] or "", fence["text"]) for fence in fences]


@cache
def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^(```+)[^\n]*\n.*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code_spans(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def with_marks(*marks: str) -> list[Any]:
    chosen = [page for page in PAGES if any(block.mark in marks for block in blocks(page))]
    return [pytest.param(page, id=page.name) for page in chosen]


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that runs a line in a folder and a home of this test alone."""
    for name in ("home", "folder", "bin"):
        (tmp_path / name).mkdir()
    program = tmp_path / "bin" / "backchat"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m scripts "$@"\n')
    program.chmod(0o700)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKCHAT_")} | {
        "BACKCHAT_HOME": str(tmp_path / "home"),
        "HOME": str(tmp_path / "home"),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }

    def run(line: str) -> str:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path / "folder",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"$ {line}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def run_marked(page: Path, marks: set[str], shell: Callable[[str], str], folder: Path) -> None:
    for block in blocks(page):
        if block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
        elif block.mark in marks and block.language == "console":
            for command, output in block.commands():
                said = shell(command)
                assert block.mark != WITH_OUTPUT or said == output, f"$ {command}"


@pytest.mark.parametrize("page", with_marks(TESTED, WITH_OUTPUT))
def test_marked_commands_run(page: Path, shell: Callable[[str], str], tmp_path: Path) -> None:
    run_marked(page, {TESTED, WITH_OUTPUT}, shell, tmp_path / "folder")


@pytest.mark.skipif(not (SHIPPED_DIR / DEFAULT_MODEL).is_dir(), reason=f"no model {DEFAULT_MODEL} is shipped yet")
@pytest.mark.parametrize("page", with_marks(WITH_MODEL))
def test_marked_commands_run_with_the_shipped_model(page: Path, shell: Callable[[str], str], tmp_path: Path) -> None:
    run_marked(page, {WITH_MODEL}, shell, tmp_path / "folder")


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_marks_are_known_and_ask_for_safe_commands_only(page: Path) -> None:
    for block in blocks(page):
        if not block.mark.startswith(("tested", "file")):
            continue
        assert block.mark in {TESTED, WITH_OUTPUT, WITH_MODEL} or re.fullmatch(r"file: [\w-]+\.\w+", block.mark)
        for command, _ in block.commands():
            assert _SAFE.match(command), command
            assert not _UNSAFE.search(command), command
            assert not re.search(r"backchat (?:train|import)", command) or "--dry-run" in command, command


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", prose(page)) + re.findall(r'src="([^"]+)"', prose(page))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


@cache
def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_files_that_are_named_exist(page: Path) -> None:
    for span in code_spans(page):
        if re.fullmatch(r"(?:bot|seq2seq|storage|scripts|tests|docs)/[\w./-]*\.\w+", span):
            assert (ROOT / span).exists(), f"{page.name}: {span}"


def test_every_module_stands_in_the_architecture_once() -> None:
    linked = re.findall(r"\]\(\.\./(\S+\.py)\)", prose(ROOT / "docs" / "architecture.md"))
    modules = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    named_apart = {"__init__.py", "errors.py"}
    wanted = [str(path) for path in modules if path.name not in named_apart and "versions" not in path.parts]
    assert sorted(path for path in linked if Path(path).name not in named_apart) == sorted(wanted)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_commands_and_flags_exist(page: Path) -> None:
    for words in backchat_calls(page):
        command, path = program(words[0] if words[0] in COMMANDS else None), "backchat"
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in flags(command), f"{page.name}: {path} has no {word}"
            elif getattr(command, "commands", None) and not word.isupper():
                assert word in command.commands, f"{page.name}: {path} has no command {word}"
                command, path = command.commands[word], f"{path} {word}"
    known = set().union(*(flags(command) for command in all_commands()), _FOREIGN_FLAGS)
    for span in code_spans(page):
        if re.match(r"--[a-z]", span):
            assert set(re.findall(r"--[a-z][\w-]*", span)) <= known, f"{page.name}: {span}"


def backchat_calls(page: Path) -> Iterator[list[str]]:
    """Yield the words behind ``backchat`` of every call of it in blocks and code spans."""
    lines = [line for block in blocks(page) for line in block.text.replace("\\\n", " ").splitlines()]
    for line in lines + code_spans(page):
        for part in re.split(r"\||&&|;", re.sub(r" {2,}#.*", "", line.removeprefix("$ "))):
            called = _CALL.match(part)
            if called:
                yield called[1].replace('"', " ").replace("'", " ").replace("[", " ").replace("]", " ").split()


@cache
def program(chosen: str | None) -> Any:
    """Return ``backchat`` with the chosen command loaded."""
    return typer.main.get_command(build_app(chosen))


@cache
def all_commands() -> list[Any]:
    there = [name for name, command in COMMANDS.items() if importlib.util.find_spec(command.module)]
    commands = [program(name).commands[name] for name in there]
    return [inner for command in commands for inner in (command, *getattr(command, "commands", {}).values())]


def flags(command: Any) -> set[str]:
    found = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    return found | {"--help", "--debug", "--version"}


def test_no_page_names_a_path_of_the_machine_it_was_written_on() -> None:
    for page in PAGES:
        assert not _MACHINE_PATHS.search(page.read_text(encoding="utf-8")), page.name


def test_the_table_of_decoding_settings_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", prose(ROOT / "docs" / "decoding.md"), re.MULTILINE)
    shown = {name: default for name, default in rows if hasattr(DecodingConfig, name)}
    real = {field.name: field.default for field in dataclasses.fields(DecodingConfig)}
    assert shown == {name: "none" if value == () else str(value) for name, value in real.items()}


def test_every_setting_is_named_somewhere() -> None:
    spans = {span for page in PAGES for span in code_spans(page)}
    named = {span.rpartition(".")[2].removeprefix("--").replace("-", "_") for span in spans}
    sections = (ModelConfig, DecodingConfig, TrainingConfig, CleaningConfig)
    wanted = {field.name for section in sections for field in dataclasses.fields(section)}
    for name, field in Settings.model_fields.items():
        wanted |= set(getattr(field.annotation, "model_fields", None) or [name])
    assert wanted <= named


def test_presets_have_the_parameters_that_the_docs_say() -> None:
    from seq2seq.model import expected_shapes

    rows = re.findall(r"^\| `(\w+)` \|.* ([\d,]+) \| [^|]+\|$", prose(ROOT / "docs" / "training.md"), re.MULTILINE)
    shown = {name: int(parameters.replace(",", "")) for name, parameters in rows if name in PRESETS}
    assert shown == {
        name: sum(math.prod(shape) for shape in expected_shapes(config).values()) for name, config in PRESETS.items()
    }


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_settings_files_that_are_shown_can_be_read(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("BACKCHAT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BACKCHAT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.language == "toml" and block.mark == TESTED:
            (tmp_path / "backchat.toml").write_text(block.text, encoding="utf-8")
            settings = load_settings()
            apply_overrides(DecodingConfig(), settings.decoding)
            apply_overrides(ModelConfig(), settings.model)
            apply_overrides(TrainingConfig(), settings.training)
            apply_overrides(CleaningConfig(), settings.cleaning)

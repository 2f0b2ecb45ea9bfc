"""``backchat``: find the command, run it, and turn what went wrong into an exit code."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from dataclasses import dataclass
from importlib import metadata

import typer

_EXPECTED_ERRORS = (
    ("bot.errors", "BotError"),
    ("seq2seq.errors", "Seq2SeqError"),
    ("storage.errors", "StorageError"),
)
_USAGE_ERRORS = (("bot.errors", "SettingsError"), ("seq2seq.errors", "DecodingError"))


@dataclass(frozen=True)
class _Command:
    """A command's module, imported only when it is chosen, and its line in ``backchat --help``."""

    module: str
    help: str


COMMANDS = {
    "chat": _Command("scripts.chat", "Talk: in the terminal, through a pipe, or one message."),
    "telegram": _Command("scripts.run_bot", "Run the Telegram bot."),
    "train": _Command("scripts.train", "Train a model on dialogues."),
    "retrain": _Command("scripts.retrain", "Learn from logged conversations; keep what got better."),
    "evaluate": _Command("scripts.evaluate", "Measure a model on dialogues."),
    "generate": _Command("scripts.generate", "Write text on from a prompt, or a reply to it."),
    "models": _Command("scripts.models", "What was learned: list, show, promote, rollback, remove."),
    "import": _Command("scripts.imports", "Chat exports and corpora into the memory, or into a file."),
    "review": _Command("scripts.review", "What would be learned from conversations, and your word on it."),
    "logs": _Command("scripts.logs", "What was said: list, show, replay, search, export, delete."),
    "privacy": _Command("scripts.privacy", "One person's data out, or gone: export, forget."),
    "bench": _Command("scripts.bench", "How fast this machine runs the model."),
    "doctor": _Command("scripts.doctor", "What is wrong with the set-up, and the fix for each."),
    "config": _Command("scripts.config", "Every setting, its value, and where it came from."),
}


def build_app(chosen: str | None) -> typer.Typer:
    """Return the application with the chosen command loaded, and the others by name and help line only."""
    app = typer.Typer(
        name="backchat",
        help="A chatbot you own: it talks in your terminal and learns from your conversations.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def backchat(
        debug: bool = typer.Option(False, "--debug", help="Show tracebacks and more of the log."),
        version: bool = typer.Option(False, "--version", help="Show the version, and end.", callback=_show_version),
    ) -> None:
        _set_up_logging(debug)

    for name, command in COMMANDS.items():
        if name != chosen:
            app.command(name, help=command.help)(_not_loaded)
            continue
        part: typer.Typer = importlib.import_module(command.module).app
        if len(part.registered_commands) == 1 and part.registered_callback is None:
            app.command(name, help=command.help)(part.registered_commands[0].callback or _not_loaded)
        else:
            app.add_typer(part, name=name, help=command.help, no_args_is_help=True)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run ``backchat`` with ``arguments``, those of the process where None; ends the process.

    Exit codes: 0 done, 1 expected failure, 2 usage, 3 a retrained model was refused, 130 interrupted.
    """
    gc.set_threshold(50_000, 20, 20)  # imports make a hundred thousand objects that all stay: a tenth of the start
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    is_debugging = "--debug" in arguments
    try:
        code = build_app(chosen)(arguments, standalone_mode=True)
    except SystemExit as stop:
        code = stop.code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader of our output went away; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if is_debugging or not (isinstance(error, OSError) or _is_one_of(error, _EXPECTED_ERRORS)):
            raise
        print(f"backchat: {_spelled(error)}", file=sys.stderr)
        code = 2 if _is_one_of(error, _USAGE_ERRORS) else 1
    sys.exit(code)


def _is_one_of(error: Exception, names: tuple[tuple[str, str], ...]) -> bool:
    """Tell whether an error is of one of our classes, looking only at modules that are loaded already."""
    classes = tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)
    return isinstance(error, classes)


def _spelled(error: Exception) -> str:
    """Return an error in one line; what the system refused, such as a full disk, with the file."""
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error} (--debug tells where it happened)"


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"backchat {metadata.version('backchat')}")
        raise typer.Exit


def _set_up_logging(debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("httpx", "httpcore", "telegram"):  # their lines hold the bot's token, or what people wrote
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _not_loaded() -> None:
    raise AssertionError("only the chosen command runs")

"""TerminalChat: a screen over a talk. What is typed comes from prompt_toolkit, what is shown goes through rich."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import ColorDepth
from rich.console import Console
from rich.live import Live
from rich.text import Text

from bot.commands import Outcome, run_command
from bot.dialogue import Answer
from bot.errors import BotError
from bot.screen import clean, clean_line
from bot.talk import Talk
from seq2seq.errors import Seq2SeqError
from storage.errors import StorageError

_REFRESH_S = 0.05
R = TypeVar("R")


class TerminalChat:
    """Talk in a terminal until the person leaves."""

    def __init__(self, talk: Talk, model_id: str, *, history_file: Path | None, off_record: bool) -> None:
        self._talk, self._model_id, self._off_record = talk, model_id, off_record
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._is_dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown", "")
        self._ask = _plain_prompt if self._is_dumb else _line_editor(history_file, self._console)

    def run(self) -> None:
        """Show the greeting, then answer message after message."""
        record = "off the record" if self._off_record else "recorded; --off-record keeps it off the disk"
        self._note(f"{clean_line(self._model_id)} speaks. This talk is {record}. /help shows what else there is.")
        is_leaving = False
        while True:
            try:
                line = self._ask()
            except KeyboardInterrupt:
                if is_leaving:
                    return
                is_leaving = True
                self._note("Once more Ctrl-C leaves; so do Ctrl-D and /quit.")
                continue
            except EOFError:
                return
            is_leaving = False
            if line.strip() and self._handle(line.strip()).ends:
                return

    def _handle(self, line: str) -> Outcome:
        """Answer one line; what goes wrong is told, and the chat stays up."""
        outcome = Outcome()
        try:
            if line.startswith("/") and not line.startswith("//"):
                outcome = self._while_waiting(lambda: run_command(self._talk, line))
            else:
                message = line[1:] if line.startswith("//") else line
                outcome = Outcome(answer=self._while_waiting(lambda: self._talk.say(message)))
        except (BotError, Seq2SeqError, StorageError) as error:
            self._console.print(Text(clean(str(error)), "red"))
        if outcome.text:
            self._note(outcome.text)
        if outcome.answer is not None:
            self._show(outcome.answer)
        return outcome

    def _while_waiting(self, work: Callable[[], R]) -> R:
        """Work in a thread; show what is written meanwhile; Ctrl-C stops the reply and keeps the talk."""
        written, stop = [""], threading.Event()
        self._talk.on_text, self._talk.is_cancelled = (lambda text: written.__setitem__(0, text)), stop.is_set
        results: list[R] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        worker = threading.Thread(target=run, name="reply")
        worker.start()
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while worker.is_alive():
                try:
                    worker.join(_REFRESH_S)
                    if worker.is_alive() and self._console.is_terminal and not self._is_dumb:
                        live.update(Text(clean_line(written[0]) or "...", "dim"), refresh=True)
                except KeyboardInterrupt:
                    stop.set()
        if errors:
            raise errors[0]
        return results[0]

    def _show(self, answer: Answer) -> None:
        reply = Text(clean_line(answer.reply.text), "bold")
        if answer.reply.is_cut:
            reply.append(" [stopped]", "dim")
        self._console.print(reply)

    def _note(self, text: str) -> None:
        self._console.print(Text(clean(text), "dim"))


def _line_editor(history_file: Path | None, console: Console) -> Callable[[], str]:
    history: History = InMemoryHistory() if history_file is None else FileHistory(str(_private(history_file)))
    depth = ColorDepth.DEPTH_1_BIT if console.no_color else None
    session: PromptSession[str] = PromptSession(history=history, color_depth=depth, enable_open_in_editor=True)
    return lambda: session.prompt(FormattedText([("bold", "> ")]))


def _plain_prompt() -> str:
    print("> ", end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _private(path: Path) -> Path:
    """Make the file where it is missing, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    return path

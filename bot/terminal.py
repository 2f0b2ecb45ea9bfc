"""TerminalChat: a screen over a talk. What is typed comes from the line editor, what is shown goes through rich."""

from __future__ import annotations

import base64
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bot.commands import Outcome, is_command, run_command
from bot.dialogue import Answer
from bot.errors import BotError
from bot.line_editor import line_editor, plain_prompt
from bot.screen import clean, clean_line
from bot.talk import Talk
from seq2seq.errors import Seq2SeqError
from storage.errors import StorageError

_REFRESH_S = 0.03
_PATIENCE_S = 0.15  # a quicker reply needs no sign that it is coming
R = TypeVar("R")


class TerminalChat:
    """Talk in a terminal until the person leaves."""

    def __init__(self, talk: Talk, *, history_file: Path | None) -> None:
        self._talk = talk
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._is_dumb = self._console.is_dumb_terminal
        has_colors = not self._console.no_color
        self._ask = plain_prompt if self._is_dumb else line_editor(talk, history_file, has_colors=has_colors)

    def run(self) -> None:
        """Show the greeting, then answer message after message."""
        record = "This talk is recorded." if self._talk.is_recorded else "Off the record: nothing reaches the disk."
        self._note(f"{clean_line(self._talk.engine.model_id)} speaks. {record} /help shows what else there is.")
        draft, is_leaving = "", False
        while True:
            try:
                line = self._ask(draft)
            except KeyboardInterrupt:
                if is_leaving:
                    return
                is_leaving, draft = True, ""
                self._note("Ctrl-C once more leaves; so do Ctrl-D and /quit.")
                continue
            except EOFError:
                return
            draft, is_leaving = "", False
            if line.strip():
                outcome = self._handle(line.strip())
                if outcome.ends:
                    return
                draft = outcome.draft or ""

    def _handle(self, line: str) -> Outcome:
        """Answer one line; what goes wrong is told, and the chat stays up."""
        try:
            self._talk.slot.refresh()
            if is_command(line):
                outcome = self._while_waiting(lambda: run_command(self._talk, line))
            else:
                message = line[1:] if line.startswith("//") else line
                outcome = Outcome(answer=self._while_waiting(lambda: self._talk.say(message)))
        except (BotError, Seq2SeqError, StorageError) as error:
            self._console.print(Text(clean(str(error)), "red"))
            return Outcome()
        if outcome.text:
            self._note(outcome.text)
        if outcome.answer is not None:
            self._show(outcome.answer)
        if outcome.copied is not None and not self._is_dumb:
            self._console.file.write(_clipboard(outcome.copied))
            self._console.file.flush()
        return outcome

    def _while_waiting(self, work: Callable[[], R]) -> R:
        """Work in a thread; show what is written meanwhile; Ctrl-C stops the reply and keeps the talk."""
        written, stop, done = [""], threading.Event(), threading.Event()
        self._talk.on_text, self._talk.is_cancelled = (lambda text: written.__setitem__(0, text)), stop.is_set
        results: list[R] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        before = signal.signal(signal.SIGINT, lambda number, frame: stop.set())
        try:
            threading.Thread(target=run, name="reply").start()
            if not done.wait(None if self._is_dumb else _PATIENCE_S):
                with Live(console=self._console, transient=True, auto_refresh=False) as live:
                    while not done.wait(_REFRESH_S):
                        live.update(Text(clean_line(written[0]) or "…", "dim"), refresh=True)
        finally:
            signal.signal(signal.SIGINT, before)
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


def _clipboard(text: str) -> str:
    """Return the sequence by which a terminal takes text into the clipboard (OSC 52), over ssh too."""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"

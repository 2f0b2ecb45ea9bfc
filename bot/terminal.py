"""TerminalChat: a screen over a talk. What is typed comes from the line editor, what is shown goes through rich."""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prompt_toolkit.history import InMemoryHistory
from rich.console import Console
from rich.text import Text

from bot.errors import BotError
from bot.line_editor import PROMPT, Activity, LineEditor
from bot.screen import clean, clean_line
from bot.typed_history import TypedHistory, forget_typed
from seq2seq.errors import Seq2SeqError
from storage.errors import StorageError

if TYPE_CHECKING:
    from bot.commands import Outcome
    from bot.dialogue import Answer
    from bot.talk import Talk

_GRACE_S = 3.0  # what a reply that was told to stop may still take; a database that is locked would take longer
_HINT = "Ctrl-C once more leaves; so do Ctrl-D and /quit."
_NO_EDITOR = "Off the record there is no editor: it would write to the disk."
_UNRECORDED = "Go on without recording?"
R = TypeVar("R")


class TerminalChat:
    """Talk in a terminal until the person leaves.

    The first prompt is there before the model and the memory are: they are opened while the person types.

    Args:
        open_talk: loads the model and opens the memory; off the record where it is given False.
        model_id: who speaks.
        history_file: where typed lines are kept over sessions; None keeps none.
    """

    def __init__(
        self, open_talk: Callable[[bool], Talk], *, model_id: str, is_recorded: bool, history_file: Path | None
    ) -> None:
        self._open_talk, self._model_id, self._is_recorded = open_talk, model_id, is_recorded
        self._talk: Talk | None = None
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._history_file = history_file
        self._history: TypedHistory | None = None
        self._activity = Activity()
        self._stop = threading.Event()  # asked by a reply between its tokens

    def run(self) -> None:
        """Show the greeting, then answer message after message.

        Raises:
            BotError, Seq2SeqError, StorageError: the talk cannot be opened.
            SystemExit: SIGTERM ended it, or the person would not go on without recording.
        """
        record = "This talk is recorded." if self._is_recorded else "Off the record: nothing reaches the disk."
        self._note(f"{clean_line(self._model_id)} speaks. {record} /help shows what else there is.")
        try:
            if self._history_file is not None:
                self._history = TypedHistory(self._history_file)
        except BotError as error:
            self._complain(str(error))
        try:
            if self._console.is_dumb_terminal:
                self._run_plainly()
            else:
                asyncio.run(self._run())
        finally:
            if self._talk is not None and not self._activity.is_working:
                self._talk.close()

    # In a terminal that can move its cursor

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._arrived, self._is_leaving, self._exit_code = asyncio.Event(), False, 0
        self._editor = LineEditor(
            self._activity,
            on_line=self._queue,
            on_interrupt=self._interrupt,
            show_hint=lambda: self._note(_HINT),
            may_open_editor=self._may_open_editor,
            talk=lambda: self._talk,
            fold=self._fold,
            history=self._history or InMemoryHistory(),
            has_colors=not self._console.no_color,
        )
        loop.add_signal_handler(signal.SIGTERM, self._leave, 128 + signal.SIGTERM)
        typing = asyncio.create_task(self._editor.run())
        answering = asyncio.create_task(self._answer_all())
        await asyncio.wait((typing, answering), return_when=asyncio.FIRST_COMPLETED)
        self._leave()
        await typing
        await asyncio.wait((answering,), timeout=_GRACE_S if self._activity.is_working else 0.1)
        for line in self._activity.waiting:
            self._note(f"Not sent: {line}")
        if answering.done():
            answering.result()
        if self._exit_code:
            raise SystemExit(self._exit_code)

    async def _answer_all(self) -> None:
        """Open the talk behind the first prompt; then answer line after line."""
        await self._editor.is_drawn.wait()
        if await self._open():
            self._editor.complete()
        else:
            self._leave(1)
        while not self._is_leaving:
            if self._activity.waiting:
                await self._answer(self._activity.waiting.popleft())
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _open(self) -> bool:
        """Open the talk; False where it cannot be recorded, and the person would not go on without."""
        async with self._editor.animated():
            try:
                self._use(await asyncio.wrap_future(_in_thread(partial(self._open_talk, self._is_recorded))))
                return True
            except StorageError as error:
                if not self._is_recorded:
                    raise
                problem = str(error)
            await self._editor.print_above(lambda: self._complain(problem))
            if not await self._editor.choose(_UNRECORDED, ["No, leave", "Yes"]):
                return False
            self._is_recorded = False
            self._use(await asyncio.wrap_future(_in_thread(partial(self._open_talk, False))))
            return True

    async def _answer(self, line: str) -> None:
        self._begin()
        async with self._editor.animated():
            await self._editor.print_above(lambda: self._echo(line))
            outcome, problem = await asyncio.wrap_future(_in_thread(partial(self._obey, line)))
            problem = problem or self._keep(line, outcome)
            self._activity.is_working = False
            await self._editor.print_above(lambda: self._show(outcome, problem))
        if outcome.ends:
            self._leave()
        if outcome.draft:
            self._editor.offer(outcome.draft)
        if outcome.choices:
            question = "Say which instead? Arrows or a number, Enter; Escape keeps what was said."
            chosen = await self._editor.choose(question, [clean_line(text) for text in outcome.choices])
            if chosen:
                await self._answer(f"/alternatives {chosen + 1}")

    def _queue(self, line: str) -> None:
        self._activity.waiting.append(line)
        self._arrived.set()

    def _interrupt(self) -> None:
        """Stop the reply; where none is made yet, take back what was sent."""
        if self._activity.is_working:
            self._stop.set()
        else:
            self._activity.waiting.clear()

    def _leave(self, exit_code: int = 0) -> None:
        self._is_leaving, self._exit_code = True, self._exit_code or exit_code
        self._stop.set()
        self._arrived.set()
        self._editor.leave()

    def _may_open_editor(self) -> bool:
        """Tell whether $EDITOR may have the text, which it is given as a file."""
        is_recorded = self._is_recorded if self._talk is None else self._talk.is_recorded
        if not is_recorded:
            self._editor.print_soon(lambda: self._note(_NO_EDITOR))
        return is_recorded

    def _fold(self, text: str, less: int) -> list[str]:
        """Fold text to the width of the screen, less some columns."""
        return [line.plain.rstrip() for line in Text(text).wrap(self._console, max(2, self._console.width - less))]

    # In a terminal that can do nothing

    def _run_plainly(self) -> None:
        self._open_plainly()
        is_leaving, draft = False, ""
        while True:
            try:
                line = _ask_plainly(draft).strip()
            except KeyboardInterrupt:
                if is_leaving:
                    return
                is_leaving, draft = True, ""
                self._note(_HINT)
                continue
            except EOFError:
                return
            is_leaving, draft = False, ""
            if not line:
                continue
            self._begin()
            before = signal.signal(signal.SIGINT, lambda number, frame: self._stop.set())
            try:
                outcome, problem = _in_thread(partial(self._obey, line)).result()
            finally:
                signal.signal(signal.SIGINT, before)
                self._activity.is_working = False
            self._show(outcome, problem or self._keep(line, outcome))
            if outcome.ends:
                return
            draft = outcome.draft or ""

    def _open_plainly(self) -> None:
        try:
            self._use(self._open_talk(self._is_recorded))
        except StorageError as error:
            if not self._is_recorded:
                raise
            self._complain(str(error))
            if _ask_plainly(f"{_UNRECORDED} [y/N]").strip().lower() not in ("y", "yes"):
                raise SystemExit(1) from error
            self._is_recorded = False
            self._use(self._open_talk(False))

    # In both

    def _use(self, talk: Talk) -> None:
        talk.on_text = lambda text: setattr(self._activity, "written", text)
        talk.is_cancelled = self._stop.is_set
        self._talk = talk

    def _begin(self) -> None:
        self._stop.clear()
        self._activity.written, self._activity.is_working = "", True

    def _obey(self, line: str) -> tuple[Outcome, str]:
        """Answer one line; returns what it came to, and what went wrong: the chat stays up."""
        from bot.commands import Outcome, is_command, run_command  # and all that they need: too much for every start

        assert self._talk is not None
        try:
            self._talk.slot.refresh()
            if is_command(line):
                return run_command(self._talk, line), ""
            return Outcome(answer=self._talk.say(line[1:] if line.startswith("//") else line)), ""
        except (BotError, Seq2SeqError, StorageError) as error:
            return Outcome(), str(error)

    def _keep(self, line: str, outcome: Outcome) -> str:
        """Keep a typed line for later sessions, unless it was typed off the record; returns what went wrong."""
        if self._history is None or self._talk is None:
            return ""
        try:
            if outcome.forgotten:
                forget_typed(self._history.path, outcome.forgotten)
            if self._talk.is_recorded:
                self._history.keep(line)
        except BotError as error:
            self._history = None  # told once
            return str(error)
        return ""

    def _echo(self, line: str) -> None:
        rows = clean(line).split("\n")
        self._console.print(Text.assemble((PROMPT, "bold"), "\n. ".join(rows)), soft_wrap=True)

    def _show(self, outcome: Outcome, problem: str) -> None:
        if problem:
            self._complain(problem)
        if outcome.text and not outcome.choices:
            self._note(outcome.text)
        if outcome.answer is not None:
            self._show_answer(outcome.answer)
        if outcome.copied is not None and not self._console.is_dumb_terminal:
            self._console.file.write(_clipboard(outcome.copied))
            self._console.file.flush()

    def _show_answer(self, answer: Answer) -> None:
        reply = Text(clean_line(answer.reply.text), "bold")
        if answer.reply.is_cut:
            reply.append(" [stopped]", "dim")
        self._console.print(reply)

    def _note(self, text: str) -> None:
        self._console.print(Text(clean(text), "dim"))

    def _complain(self, text: str) -> None:
        self._console.print(Text(clean(text), "red"))


def _in_thread(work: Callable[[], R]) -> Future[R]:
    """Work in a thread of its own, which an exit of the program need not wait for."""
    done: Future[R] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="talk", daemon=True).start()
    return done


def _ask_plainly(before: str = "") -> str:
    """Ask on a terminal that can do nothing."""
    if before:
        print(before)
    print(PROMPT, end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _clipboard(text: str) -> str:
    """Return the sequence by which a terminal takes text into the clipboard (OSC 52), over ssh too."""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"

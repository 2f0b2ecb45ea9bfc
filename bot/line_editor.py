"""What is typed: one line at the bottom of the screen, alive all the time; what is said scrolls by above it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts.choice_input import ChoiceInput

from bot.screen import clean_line, without_direction
from bot.typed_history import without_quotes

if TYPE_CHECKING:
    from bot.talk import Talk

PROMPT = "> "
_QUOTES = '"""'
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_S = 0.1
_INDENT = 7 * " "  # of what is chosen from, behind its number
_MOST_LIVE_ROWS = 8
_MOST_LIVE_CHARACTERS = 4000


@dataclass
class Activity:
    """What goes on while the person may type.

    Attributes:
        is_working: whether a line is being answered.
        written: the reply so far.
        waiting: lines that were sent meanwhile, oldest first.
    """

    is_working: bool = False
    written: str = ""
    waiting: deque[str] = field(default_factory=deque)

    @property
    def is_busy(self) -> bool:
        return self.is_working or bool(self.waiting)


class LineEditor:
    """Line editing with history, completion, several lines and the person's own editor.

    Enter sends; Alt-Enter, or an open triple quote, begins another line; Ctrl-G opens $EDITOR; Ctrl-R looks through
    what was typed before; Ctrl-C throws the line away; Ctrl-D on an empty line leaves.

    Args:
        activity: what is shown above the line.
        on_line: takes what was sent.
        on_interrupt: takes Ctrl-C while something goes on.
        show_hint: prints how to leave, after a Ctrl-C that had nothing to do.
        may_open_editor: tells whether the text may be given to an editor, which writes it to a file.
        talk: what commands are completed from, once it is there.
        fold: folds text to the width of the screen, less some columns.
    """

    def __init__(
        self,
        activity: Activity,
        *,
        on_line: Callable[[str], None],
        on_interrupt: Callable[[], None],
        show_hint: Callable[[], None],
        may_open_editor: Callable[[], bool],
        talk: Callable[[], Talk | None],
        fold: Callable[[str, int], list[str]],
        history: History,
        has_colors: bool,
    ) -> None:
        self._activity, self._fold = activity, fold
        self._on_line, self._on_interrupt, self._may_open_editor = on_line, on_interrupt, may_open_editor
        self._show_hint, self._has_hinted = show_hint, False
        self.is_drawn = asyncio.Event()
        self._session: PromptSession[None] = PromptSession(
            message=self._message,
            history=history,
            completer=_CommandCompleter(talk),
            complete_while_typing=Condition(lambda: self._session.default_buffer.text.startswith("/")),
            key_bindings=self._keys(),
            input_processors=[_WithoutDirection()],
            color_depth=None if has_colors else ColorDepth.DEPTH_1_BIT,
            multiline=True,
            search_ignore_case=True,
            enable_suspend=True,
            erase_when_done=True,
            prompt_continuation=lambda width, line, wraps: "" if wraps else "." * (width - 1) + " ",
        )

    async def run(self) -> None:
        """Take lines until the person leaves, or ``leave`` is called."""
        self._session.app.after_render += lambda _: self.is_drawn.set()
        self._session.default_buffer.on_text_changed += lambda _: setattr(self, "_has_hinted", False)
        with suppress(EOFError):
            await self._session.prompt_async()

    def leave(self) -> None:
        """End ``run``."""
        if self._session.app.is_running and not self._session.app.is_done:
            self._session.app.exit()

    @asynccontextmanager
    async def animated(self) -> AsyncIterator[None]:
        """Keep drawing the line and the activity above it."""

        async def draw() -> None:
            while True:
                await asyncio.sleep(_FRAME_S)
                self._session.app.invalidate()

        drawing = asyncio.create_task(draw())
        try:
            yield
        finally:
            drawing.cancel()

    def complete(self) -> None:
        """Complete what was typed while the talk was not there yet."""
        buffer = self._session.default_buffer
        if buffer.text.startswith("/"):
            buffer.start_completion()

    def offer(self, draft: str) -> None:
        """Give the person a text to change and send, unless they have begun another."""
        buffer = self._session.default_buffer
        if not buffer.text:
            buffer.document = Document(draft)

    async def print_above(self, show: Callable[[], None]) -> None:
        """Call what prints, with the line out of its way."""
        async with in_terminal():
            show()

    def print_soon(self, show: Callable[[], None]) -> None:
        """Call what prints, as soon as the line is out of its way."""
        self._session.app.create_background_task(self.print_above(show))

    async def choose(self, question: str, options: Sequence[str]) -> int | None:
        """Have one of ``options`` chosen with arrows or its number; None where the person would rather not."""
        keys = KeyBindings()

        @keys.add("escape", eager=True)
        @keys.add("c-d")
        @keys.add("q")
        def refuse(event: KeyPressEvent) -> None:
            event.app.exit(result=None)

        labels = [f"\n{_INDENT}".join(self._fold(text, len(_INDENT) + 4)) for text in options]
        chooser: ChoiceInput[int | None] = ChoiceInput(
            message="\n".join(self._fold(question, 2)), options=list(enumerate(labels)), default=0, key_bindings=keys
        )
        async with in_terminal():
            try:
                return await chooser.prompt_async()
            except (KeyboardInterrupt, EOFError):
                return None

    def _message(self) -> StyleAndTextTuples:
        """Return what stands before the cursor: while a reply is made, what there is of it, and a turning sign."""
        if not self._activity.is_busy:
            return [("bold", PROMPT)]
        rows = self._fold(clean_line(self._activity.written[-_MOST_LIVE_CHARACTERS:]), 1)[-_MOST_LIVE_ROWS:]
        rows += [self._fold(f"{PROMPT}{clean_line(line)}", 1)[0] for line in list(self._activity.waiting)[:3]]
        frame = _FRAMES[int(time.monotonic() / _FRAME_S) % len(_FRAMES)]
        return [("dim", "".join(f"{row}\n" for row in rows)), ("bold", f"{frame} ")]

    def _keys(self) -> KeyBindings:
        keys, is_typing = KeyBindings(), has_focus(DEFAULT_BUFFER)

        @keys.add("enter", filter=is_typing)
        def send(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if buffer.text.count(_QUOTES) % 2:
                buffer.insert_text("\n")
                return
            line = buffer.text
            if line.strip():
                buffer.append_to_history()
                self._on_line(without_quotes(line).strip())
            buffer.reset()

        @keys.add("escape", "enter", filter=is_typing)
        def begin_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c", filter=is_typing)
        @keys.add(Keys.SIGINT)
        def interrupt(event: KeyPressEvent) -> None:
            buffer = self._session.default_buffer
            if self._activity.is_busy:
                self._on_interrupt()
            elif buffer.text:
                buffer.reset()
            elif self._has_hinted:
                self.leave()
            else:
                self._has_hinted = True
                self.print_soon(self._show_hint)

        @keys.add("c-g", filter=is_typing)
        def open_editor(event: KeyPressEvent) -> None:
            if self._may_open_editor():
                event.current_buffer.open_in_editor()

        return keys


class _CommandCompleter(Completer):
    """Completes the names of commands, and what their argument can be."""

    def __init__(self, talk: Callable[[], Talk | None]) -> None:
        self._talk = talk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text, talk = document.text_before_cursor, self._talk()
        if not text.startswith("/") or "\n" in text or talk is None:
            return
        from bot.commands import COMMANDS  # loaded with the talk, for which the first prompt does not wait

        name, blank, argument = text[1:].partition(" ")
        if not blank:
            for command in COMMANDS.values():
                if command.name.startswith(name.lower()):
                    yield Completion(command.name, -len(name), display_meta=command.help)
        elif name in COMMANDS:
            for value in COMMANDS[name].values(talk):
                if value.lower().startswith(argument.lower()):
                    yield Completion(value, -len(argument), display=clean_line(value))


class _WithoutDirection(Processor):
    """Shows what is typed without what would turn the direction of the text around it; what is sent has it."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        return Transformation(
            [(style, without_direction(text)) for style, text, *_ in transformation_input.fragments]
        )

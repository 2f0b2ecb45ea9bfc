"""The review on a whole terminal: one exchange at a time, a key for each decision."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.styles import Style

from bot.review import Review
from bot.review_choice import Which
from bot.review_text import as_fragments
from bot.screen import clean_line, without_direction
from storage.errors import StorageError

_STYLE = Style.from_dict(
    {
        "bar": "reverse",
        "soft": "ansibrightblack",
        "context": "",
        "response": "bold",
        "in": "ansigreen bold",
        "out": "ansiyellow bold",
        "problem": "ansired",
    }
)
_HELP = (
    "a accept  r reject  e edit  u undo    t trust person  b block  w neither\n"
    "← → move  f kind  o only this person  / search  q leave"
)


class ReviewScreen:
    """Keys in, decisions out; everything shown goes through ``clean`` and is never taken for markup."""

    def __init__(self, review: Review) -> None:
        self._review = review
        self._asked: str | None = None  # what is being typed: the words to look for, or another response
        self._problem = ""
        self._line = Buffer(multiline=False, accept_handler=self._take)
        self._body = Window(FormattedTextControl(self._exchange, focusable=True), wrap_lines=True)
        asking = Condition(lambda: self._asked is not None)
        typed = Window(
            BufferControl(self._line, input_processors=[BeforeInput(lambda: f"{self._asked}: ")]),
            height=Dimension(min=1, max=5),
            wrap_lines=True,
            dont_extend_height=True,
        )
        layout = HSplit(
            [
                Window(FormattedTextControl(self._head), height=2, style="class:bar", wrap_lines=True),
                self._body,
                ConditionalContainer(typed, asking),
                Window(
                    FormattedTextControl(_HELP), height=Dimension(min=1, max=3), wrap_lines=True, style="class:bar"
                ),
            ]
        )
        self._application: Application[None] = Application(
            Layout(layout, focused_element=self._body),
            key_bindings=self._keys(asking),
            style=_STYLE,
            full_screen=True,
        )

    def run(self) -> None:
        """Show the screen until the person leaves."""
        self._application.run()

    def _head(self) -> StyleAndTextTuples:
        review, selection = self._review, self._review.selection
        shown = f"{review.place:,} of {len(review.shown):,} ({selection.which.value})"
        if selection.person is not None:
            shown += f", of {clean_line(selection.person)}"
        if selection.words:
            shown += f", with {clean_line(selection.words)}"
        if review.left_out:
            shown += f"; {review.left_out:,} more are not shown"
        return [("", f"{shown}\n{review.tally.as_text()}")]

    def _exchange(self) -> StyleAndTextTuples:
        current = self._review.current
        lines: StyleAndTextTuples = []
        lines += as_fragments(current) if current is not None else [("", "\nThere is nothing here.\n")]
        if self._problem:
            lines.append(("class:problem", f"\n{self._problem}\n"))
        return lines

    def _keys(self, asking: Condition) -> KeyBindings:
        keys = KeyBindings()
        review = self._review
        actions: dict[str, Callable[[], None]] = {
            "a": lambda: review.decide(True),
            "r": lambda: review.decide(False),
            "u": review.undecide,
            "t": lambda: review.set_standing(True),
            "b": lambda: review.set_standing(False),
            "w": lambda: review.set_standing(None),
            "right": lambda: review.go(1),
            "n": lambda: review.go(1),
            "space": lambda: review.go(1),
            "left": lambda: review.go(-1),
            "p": lambda: review.go(-1),
            "pagedown": lambda: review.go(10),
            "pageup": lambda: review.go(-10),
            "home": lambda: review.go(-len(review.shown)),
            "end": lambda: review.go(len(review.shown)),
            "f": self._next_kind,
            "o": self._only_person,
        }
        for name, action in actions.items():
            keys.add(name, filter=~asking)(self._guarded(action))

        @keys.add("/", filter=~asking)
        def search(_: KeyPressEvent) -> None:
            self._ask("search", review.selection.words)

        @keys.add("e", filter=~asking)
        def edit(_: KeyPressEvent) -> None:
            if review.current is not None:
                self._ask("learn instead", clean_line(review.current.learned.response))

        @keys.add("escape", filter=asking, eager=True)
        @keys.add("c-c", filter=asking)
        def cancel(_: KeyPressEvent) -> None:
            self._end_asking()

        @keys.add("q", filter=~asking)
        @keys.add("c-c", filter=~asking)
        @keys.add("c-d", filter=~asking)
        def leave(event: KeyPressEvent) -> None:
            event.app.exit()

        return keys

    def _guarded(self, action: Callable[[], None]) -> Callable[[KeyPressEvent], None]:
        """Let an action's failure be read, and the screen go on."""

        def act(_: KeyPressEvent) -> None:
            self._problem = ""
            try:
                action()
            except StorageError as error:
                self._problem = clean_line(str(error))

        return act

    def _next_kind(self) -> None:
        kinds = list(Which)
        self._review.select(which=kinds[(kinds.index(self._review.selection.which) + 1) % len(kinds)])

    def _only_person(self) -> None:
        current = self._review.current
        is_only = self._review.selection.person is not None
        self._review.select(person=None if is_only or current is None else current.exchange.person)

    def _ask(self, what: str, text: str) -> None:
        self._asked = what
        self._line.text = without_direction(text)
        self._line.cursor_position = len(self._line.text)
        self._application.layout.focus(self._line)

    def _end_asking(self) -> None:
        self._asked = None
        self._line.text = ""
        self._application.layout.focus(self._body)

    def _take(self, line: Buffer) -> bool:
        """Do what was asked for with the line that was typed; the line is empty afterwards."""
        asked, text = self._asked, clean_line(line.text)
        self._end_asking()
        self._problem = ""
        try:
            if asked == "search":
                self._review.select(words=text)
            elif text:
                self._review.decide(True, text)
        except StorageError as error:
            self._problem = clean_line(str(error))
        return False

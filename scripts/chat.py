"""``backchat chat``: the rich chat in a terminal, a reply a line through a pipe, or one reply to one message."""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from scripts import decoding_options as options

if TYPE_CHECKING:
    from bot.engine import Reply
    from bot.settings import Settings
    from bot.talk import Talk

app = typer.Typer()
_MAX_LINE_BYTES = 64 * 2**20
_MOST_IN_FLIGHT = 256
_WANTED_CONTEXT = 'Each line is a JSON list of turns, oldest first, such as ["Hi.", "Hello!", "How are you?"]'


@app.command()
def chat(
    message: Annotated[
        str | None, typer.Argument(help="Answer this one message, in quotes, and end.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a reply.")] = False,
    contexts: Annotated[
        bool, typer.Option("--contexts", help="Read a JSON list of turns a line; nothing is recorded.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="A model id, folder or name; echo says the message back.")] = None,
    continue_last: Annotated[bool, typer.Option("--continue", help="Go on with the last conversation.")] = False,
    conversation: Annotated[
        str | None, typer.Option(help="Go on with the conversation of this name or title, or begin it.")
    ] = None,
    off_record: Annotated[bool, typer.Option("--off-record", help="Nothing of the talk touches the disk.")] = False,
    strategy: options.Strategy = None,
    style: options.Style = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    piece_min_p: options.PieceMinP = None,
    typical_p: options.TypicalP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    no_repeat_ngram: options.NoRepeatNgram = None,
    beam_size: options.BeamSize = None,
    length_penalty: options.LengthPenalty = None,
    min_tokens: options.MinTokens = None,
    max_tokens: options.MaxTokens = None,
    candidates: options.Candidates = None,
    seed: options.Seed = None,
    echo_delay_ms: Annotated[int | None, typer.Option(help="How long the echo engine takes.")] = None,
) -> None:
    """Talk. A terminal gets the rich chat; a pipe gets one reply a line for one message a line."""
    from bot.settings import load_settings

    if contexts and (message is not None or conversation is not None or continue_last):
        raise typer.BadParameter("goes without a MESSAGE, --conversation and --continue", param_hint="--contexts")
    if continue_last and conversation is not None:
        raise typer.BadParameter("goes without --conversation: one of them names it", param_hint="--continue")
    decoding = {
        "strategy": strategy,
        "style": style,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "piece_min_p": piece_min_p,
        "typical_p": typical_p,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram": no_repeat_ngram,
        "beam_size": beam_size,
        "length_penalty": length_penalty,
        "min_tokens": min_tokens,
        "max_tokens": max_tokens,
        "candidates": candidates,
    }
    settings = load_settings(
        {"decoding": decoding, "chat": {"model": model, "seed": seed, "echo_delay_ms": echo_delay_ms}}
    )
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if contexts:
        _answer_contexts(settings, as_json=as_json)
    else:
        _converse(
            settings, message, conversation, continue_last=continue_last, off_record=off_record, as_json=as_json
        )


def _converse(
    settings: Settings,
    message: str | None,
    conversation: str | None,
    *,
    continue_last: bool,
    off_record: bool,
    as_json: bool,
) -> None:
    """Talk in one conversation: the one named, the last one, or a new one."""

    def open_talk(is_recorded: bool) -> Talk:
        return _open_talk(settings, conversation, continue_last=continue_last, is_recorded=is_recorded)

    if message is None and sys.stdin.isatty() and sys.stdout.isatty():
        from bot.terminal import TerminalChat

        history = settings.history_file if settings.chat.keep_history and not off_record else None
        chat = TerminalChat(open_talk, model_id=_model_id(settings), is_recorded=not off_record, history_file=history)
        chat.run()
        return
    with closing(open_talk(not off_record)) as talk, sure_interrupts():
        for text in _lines(sys.stdin.buffer) if message is None else [message]:
            _print_reply(talk.say(text).reply, text, talk.conversation, as_json=as_json)


@contextmanager
def sure_interrupts() -> Iterator[None]:
    """Let Ctrl-C end what is done here, at its end at the latest: Python drops one that comes in a finalizer."""
    has_come = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        has_come = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if has_come:
        raise KeyboardInterrupt


def _open_talk(settings: Settings, conversation: str | None, *, continue_last: bool, is_recorded: bool) -> Talk:
    """Load the model, open the memory, and go to the conversation that is wanted."""
    from bot.assembly import new_conversation, open_persona, open_slot, open_store, terminal_person
    from bot.dialogue import DialogueManager, Wishes
    from bot.settings import set_values
    from bot.talk import Talk

    slot = open_slot(settings)
    store = open_store(settings, off_record=not is_recorded)
    wishes = Wishes(set_values(settings.decoding), settings.chat.seed)
    dialogue = DialogueManager(slot, store, persona=open_persona(settings), wishes=wishes)
    talk = Talk(
        dialogue,
        slot,
        terminal_person(),
        conversation or new_conversation(),
        lambda is_off: open_store(settings, off_record=is_off),
        is_recorded=is_recorded,
    )
    if conversation and (found := store.find_conversation(conversation, talk.person)) is not None:
        talk.conversation = found.key  # by its title
    if continue_last and store.conversations(talk.person, 1, in_private=True):
        talk.go_to(None)
    return talk


def _model_id(settings: Settings) -> str:
    """Return the id of the model that will speak, without loading it."""
    from seq2seq.model_files import load_model_dir
    from seq2seq.registry import Registry

    if settings.chat.model == "echo":
        return "echo"
    return load_model_dir(Registry(settings.models_dir).resolve(settings.chat.model)).model_id


def _answer_contexts(settings: Settings, *, as_json: bool) -> None:
    """Answer each context by itself, many at once, in the order they came."""
    from bot.assembly import open_persona, open_slot
    from bot.dialogue import policy_reply
    from bot.engine import ReplyRequest
    from bot.policy import objection_to
    from bot.settings import set_values

    slot, persona, changes = open_slot(settings), open_persona(settings), set_values(settings.decoding)
    waiting: queue.Queue[tuple[str, Future[Reply]] | None] = queue.Queue(_MOST_IN_FLIGHT)
    failures: list[BaseException] = []

    def print_in_order() -> None:
        while (item := waiting.get()) is not None:
            if failures:
                continue  # nobody reads any more; let the reader of contexts find that out
            try:
                _print_reply(item[1].result(), item[0], None, as_json=as_json)
            except BaseException as error:
                failures.append(error)

    printer = threading.Thread(target=print_in_order)
    printer.start()
    try:
        for number, line in enumerate(_lines(sys.stdin.buffer), start=1):
            context = _context(line, number)
            objection = objection_to(context[-1])
            if objection is None:
                engine = slot.engine_for(context)
                decoding = engine.decoding.with_changes(**changes)
                request = ReplyRequest(context, decoding, settings.chat.seed, persona)
                reply = engine.submit(request)
            else:
                reply = Future()
                reply.set_result(policy_reply(objection))
            waiting.put((context[-1], reply))
            if failures:
                break
    finally:
        waiting.put(None)
        printer.join()
    if failures:
        raise failures[0]


def _context(line: str, number: int) -> list[str]:
    from bot.errors import BotError

    try:
        turns = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BotError(f"standard input, line {number}: not JSON ({error}). {_WANTED_CONTEXT}") from None
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
        raise BotError(f"standard input, line {number}: not a list of turns, {line[:60]!r}. {_WANTED_CONTEXT}")
    return turns


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yield lines as text, whatever their bytes are."""
    while line := stream.readline(_MAX_LINE_BYTES):
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def _print_reply(reply: Reply, message: str, conversation: str | None, *, as_json: bool) -> None:
    from bot.dialogue import candidate_facts
    from bot.screen import clean_line

    if not as_json:
        print(clean_line(reply.text), flush=True)
        return
    facts: dict[str, Any] = {
        "conversation": conversation,
        "message": message,
        "reply": reply.text,
        "model": reply.model_id,
        "strategy": reply.strategy,
        "seed": reply.seed,
        "tokens": reply.tokens,
        "latency_ms": round(reply.latency_ms, 3),
        "candidates": [candidate_facts(candidate) for candidate in reply.candidates],
    }
    print(json.dumps(facts, ensure_ascii=False), flush=True)

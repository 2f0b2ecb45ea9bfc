"""ReplyEngine: turns of context in, one reply out. No history, no database."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

from bot import policy
from seq2seq.config import DecodingConfig
from seq2seq.persona import NOBODY, Persona
from seq2seq.predictor import Candidate, Predictor
from seq2seq.scheduler import CancelledReplyError

ECHO = "echo"


@dataclass(frozen=True)
class ReplyRequest:
    """What one reply is wanted for, and how.

    Attributes:
        context: turns, oldest first; the newest is answered.
        decoding: how to find it; None means the model's own settings.
        seed: None draws one.
        persona: who replies.
        on_text: called with the text so far, where the strategy has one to show.
        is_cancelled: asked between tokens.
    """

    context: Sequence[str]
    decoding: DecodingConfig | None = None
    seed: int | None = None
    persona: Persona = NOBODY
    on_text: Callable[[str], None] | None = None
    is_cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Reply:
    """One reply, and how it came to be.

    Attributes:
        model_id: the model that wrote it.
        tokens: its length, end mark not counted.
        candidates: what could have been said, best first; the first is what was said.
        settings: every decoding setting it was made with.
        is_cut: whether the person stopped it; the text is what had been written.
    """

    text: str
    model_id: str
    strategy: str
    seed: int
    tokens: int
    latency_ms: float
    candidates: Sequence[Candidate] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    is_cut: bool = False


class ReplyEngine(Protocol):
    """Whatever can reply. Safe to share between threads."""

    @property
    def model_id(self) -> str: ...

    @property
    def decoding(self) -> DecodingConfig:
        """Return the settings that a request without its own is answered with."""

    @property
    def context_turns(self) -> int:
        """Return how many past turns it reads; more are of no use to it."""

    @property
    def has_learned(self) -> bool:
        """Return whether it was trained on what people wrote to a bot, and so could repeat it."""

    def reply(self, request: ReplyRequest) -> Reply:
        """Reply, or return what was written until the request was cancelled."""

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        """Reply among other requests, all decoded in one batch."""


class ModelEngine:
    """Replies of a trained model."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.model_id, self.decoding = predictor.model_id, predictor.decoding
        self.context_turns, self.has_learned = predictor.config.context_turns, predictor.has_learned

    @property
    def predictor(self) -> Predictor:
        """Return the model itself, for those who explain replies."""
        return self._predictor

    def reply(self, request: ReplyRequest) -> Reply:
        started = time.perf_counter()
        decoding, seed = self._completed(request)
        written: list[str] = []

        def show(text: str) -> None:
            written[:] = [text]
            if request.on_text is not None:
                request.on_text(text)

        try:
            found = self._predictor.stream(
                request.context, decoding, seed, request.persona, show, request.is_cancelled
            )
        except CancelledReplyError:
            return self._reply((), decoding, seed, started, cut_text=written[0] if written else "")
        return self._reply(found, decoding, seed, started)

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        started = time.perf_counter()
        decoding, seed = self._completed(request)
        found = self._predictor.submit(request.context, decoding, seed, request.persona, request.is_cancelled)
        reply: Future[Reply] = Future()

        def finish(done: Future[list[Candidate]]) -> None:
            try:
                reply.set_result(self._reply(done.result(), decoding, seed, started))
            except CancelledReplyError:
                reply.set_result(self._reply((), decoding, seed, started, cut_text=""))
            except Exception as error:
                reply.set_exception(error)

        found.add_done_callback(finish)
        return reply

    def _completed(self, request: ReplyRequest) -> tuple[DecodingConfig, int]:
        return request.decoding or self.decoding, new_seed() if request.seed is None else request.seed

    def _reply(
        self,
        found: Sequence[Candidate],
        decoding: DecodingConfig,
        seed: int,
        started: float,
        cut_text: str | None = None,
    ) -> Reply:
        if cut_text is not None:
            text, tokens = cut_text, 0
        elif found:
            text, tokens = found[0].text, len(found[0].token_ids)
        else:
            text, tokens = policy.NOTHING_TO_SAY, 0
        return Reply(
            text=text,
            model_id=self.model_id if found or cut_text is not None else policy.MODEL_ID,
            strategy=decoding.strategy,
            seed=seed,
            tokens=tokens,
            latency_ms=1000 * (time.perf_counter() - started),
            candidates=tuple(found),
            settings=asdict(decoding),
            is_cut=cut_text is not None,
        )


class EchoEngine:
    """Says the message back after a delay, so that frontends can be tried without a model."""

    model_id = ECHO
    decoding = DecodingConfig()
    context_turns = 1
    has_learned = False

    def __init__(self, delay_ms: int = 0) -> None:
        self._delay_s = delay_ms / 1000
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="echo")

    def reply(self, request: ReplyRequest) -> Reply:
        started = time.perf_counter()
        seed = new_seed() if request.seed is None else request.seed
        said, is_cut = self._say(request)
        return Reply(
            text=said,
            model_id=self.model_id,
            strategy=ECHO,
            seed=seed,
            tokens=len(said.split()),
            latency_ms=1000 * (time.perf_counter() - started),
            candidates=(Candidate(said, (), 0.0, 0.0),),
            is_cut=is_cut,
        )

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        return self._threads.submit(partial(self.reply, request))

    def _say(self, request: ReplyRequest) -> tuple[str, bool]:
        """Write word by word over the delay, so that streaming and stopping can be seen."""
        words = " ".join(request.context[-1].split()).split(" ")
        pause, waiting = self._delay_s / len(words), threading.Event()
        for number in range(len(words)):
            if request.is_cancelled():
                return " ".join(words[:number]), True
            waiting.wait(pause)
            if request.on_text is not None:
                request.on_text(" ".join(words[: number + 1]))
        return " ".join(words), False


def new_seed() -> int:
    """Draw a seed that any JSON reader keeps exactly."""
    return secrets.randbits(32)

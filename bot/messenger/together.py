"""One engine for all chats: replies that are wanted from many threads are decoded in one batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from bot.dialogue import EngineSlot
from bot.engine import Reply, ReplyEngine, ReplyRequest
from seq2seq.config import DecodingConfig

_MOST_CANDIDATES = 64  # of all replies under way: what a core draws in about half a second
_FEWEST_CANDIDATES = 2  # of one reply, however many are under way


class Load:
    """How many replies are under way. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.replies = 0

    def begin(self) -> None:
        with self._lock:
            self.replies += 1

    def end(self) -> None:
        with self._lock:
            self.replies -= 1

    def share(self, decoding: DecodingConfig) -> DecodingConfig:
        """Return the settings for one more reply: where many are under way, ``rank`` chooses from fewer candidates.

        The settings are stored with the reply, so that it can be made again.
        """
        if decoding.strategy != "rank":
            return decoding
        fair = max(_FEWEST_CANDIDATES, _MOST_CANDIDATES // max(1, self.replies))
        return decoding.with_changes(candidates=min(decoding.candidates, fair))


class BatchedEngine:
    """An engine whose ``reply`` joins the batch of all requests under way. Nothing is shown before it is whole."""

    def __init__(self, engine: ReplyEngine, load: Load) -> None:
        self._engine, self._load = engine, load

    @property
    def model_id(self) -> str:
        return self._engine.model_id

    @property
    def decoding(self) -> DecodingConfig:
        return self._engine.decoding

    @property
    def context_turns(self) -> int:
        return self._engine.context_turns

    @property
    def has_learned(self) -> bool:
        return self._engine.has_learned

    def reply(self, request: ReplyRequest) -> Reply:
        return self.submit(request).result()

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        self._load.begin()
        decoding = self._load.share(request.decoding or self.decoding)
        try:
            reply = self._engine.submit(replace(request, decoding=decoding))
        except BaseException:
            self._load.end()
            raise
        reply.add_done_callback(lambda done: self._load.end())
        return reply


class BatchedSlot:
    """A slot whose engine decodes in batches, whichever model is in it."""

    def __init__(self, slot: EngineSlot) -> None:
        self._slot, self._load = slot, Load()

    @property
    def engine(self) -> ReplyEngine:
        return BatchedEngine(self._slot.engine, self._load)

    def engine_for(self, context: Sequence[str]) -> ReplyEngine:
        return BatchedEngine(self._slot.engine_for(context), self._load)

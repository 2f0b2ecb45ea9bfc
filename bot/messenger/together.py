"""One engine for all chats: replies that are wanted from many threads are decoded in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from bot.dialogue import EngineSlot
from bot.engine import Reply, ReplyEngine, ReplyRequest
from seq2seq.config import DecodingConfig


class BatchedEngine:
    """An engine whose ``reply`` joins the batch of all requests under way. Nothing is shown before it is whole."""

    def __init__(self, engine: ReplyEngine) -> None:
        self._engine = engine

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
        return self._engine.submit(request).result()

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        return self._engine.submit(request)


class BatchedSlot:
    """A slot whose engine decodes in batches, whichever model is in it."""

    def __init__(self, slot: EngineSlot) -> None:
        self._slot = slot

    @property
    def engine(self) -> ReplyEngine:
        return BatchedEngine(self._slot.engine)

    def engine_for(self, context: Sequence[str]) -> ReplyEngine:
        return BatchedEngine(self._slot.engine_for(context))

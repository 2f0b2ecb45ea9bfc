"""Stand-ins that keep the real promises; nothing of ours is patched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from bot.engine import Reply, ReplyRequest
from seq2seq.config import DecodingConfig
from seq2seq.predictor import Candidate


class ScriptedEngine:
    """An engine that says given replies in order, and remembers what it was asked."""

    decoding = DecodingConfig()

    def __init__(
        self, *replies: str, model_id: str = "m1", context_turns: int = 3, has_learned: bool = False
    ) -> None:
        self.model_id, self.context_turns, self.has_learned = model_id, context_turns, has_learned
        self._replies = list(replies)
        self.requests: list[ReplyRequest] = []

    @property
    def contexts(self) -> list[Sequence[str]]:
        return [request.context for request in self.requests]

    def reply(self, request: ReplyRequest) -> Reply:
        self.requests.append(request)
        text = self._replies.pop(0)
        candidates = (Candidate(text, (9,), -1.0, -0.5), Candidate(f"{text} (or so)", (9, 9), -2.0, -0.7))
        seed = request.seed if request.seed is not None else 7
        return Reply(text, self.model_id, "rank", seed, 1, 0.5, candidates, {"temperature": 0.8})

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        future: Future[Reply] = Future()
        future.set_result(self.reply(request))
        return future


class FixedSlot:
    """A slot whose model never changes."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine

    def engine_for(self, context: Sequence[str]) -> ScriptedEngine:
        return self.engine

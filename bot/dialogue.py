"""DialogueManager: the path of a message. Remember it, reply, remember the reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bot import policy
from bot.engine import Reply, ReplyEngine, ReplyRequest
from bot.model_slot import ModelSlot
from seq2seq.predictor import Candidate
from storage.records import ReplyRecord, Turn
from storage.store import ConversationStore


@dataclass(frozen=True)
class Answer:
    """What a frontend shows: the reply, and the turn it was stored as (None where nothing was to be stored)."""

    reply: Reply
    turn: Turn | None


class DialogueManager:
    """The one door of every frontend. Safe to share between threads; turns of one conversation come in order.

    Args:
        decoding: settings that differ from the model's own.
        persona: lines about the bot, in front of every context.
        seed: for every reply; None draws a new one each time.
    """

    def __init__(
        self,
        slot: ModelSlot,
        store: ConversationStore,
        *,
        decoding: Mapping[str, Any] | None = None,
        persona: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        self._slot, self._store = slot, store
        self._decoding, self._persona, self._seed = dict(decoding or {}), tuple(persona), seed

    def respond(
        self,
        conversation: str,
        message: str,
        *,
        person: str,
        on_text: Callable[[str], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """Answer a message; both turns are stored, in order, once.

        Raises:
            StorageError: the memory did not answer in time.
        """
        objection = policy.objection_to(message)
        if objection is not None:
            return Answer(policy_reply(objection), None)
        engine = self._slot.engine
        turn = self._store.add_turn(conversation, message, person=person)
        context = [t.text for t in self._store.recent_turns(conversation, engine.context_turns)]
        reply = engine.reply(self._request(engine, context, on_text, is_cancelled))
        return Answer(reply, self._store.add_reply(turn, reply.text, record_of(reply)))

    def _request(
        self,
        engine: ReplyEngine,
        context: Sequence[str],
        on_text: Callable[[str], None] | None,
        is_cancelled: Callable[[], bool],
    ) -> ReplyRequest:
        decoding = engine.decoding.with_changes(**self._decoding)
        return ReplyRequest(context, decoding, self._seed, self._persona, on_text, is_cancelled)


def policy_reply(text: str) -> Reply:
    """Return a reply that no model wrote."""
    return Reply(text, model_id="policy", strategy="policy", seed=0, tokens=0, latency_ms=0.0)


def record_of(reply: Reply) -> ReplyRecord:
    """Return what the memory keeps of how a reply came to be."""
    return ReplyRecord(
        model_id=reply.model_id,
        strategy=reply.strategy,
        seed=reply.seed,
        tokens=reply.tokens,
        latency_ms=round(reply.latency_ms, 3),
        settings=reply.settings,
        candidates=tuple(candidate_facts(candidate) for candidate in reply.candidates),
    )


def candidate_facts(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as JSON has it: text, score, log_prob, and the terms of its rank where it has them."""
    facts: dict[str, Any] = {
        "text": candidate.text,
        "score": round(candidate.score, 6),
        "log_prob": round(candidate.log_prob, 6),
    }
    if candidate.terms is not None:
        facts["terms"] = {name: round(value, 6) for name, value in asdict(candidate.terms).items()}
    return facts

"""DialogueManager: the path of a message. Remember it, reply, remember the reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from bot import policy
from bot.engine import Reply, ReplyEngine, ReplyRequest
from bot.leak_guard import LeakGuard
from seq2seq.persona import NOBODY, Persona
from seq2seq.predictor import Candidate
from storage.records import Outgoing, ReplyRecord, Turn
from storage.store import ConversationStore


class EngineSlot(Protocol):
    """Whatever holds the engine to reply with."""

    @property
    def engine(self) -> ReplyEngine: ...

    def engine_for(self, context: Sequence[str]) -> ReplyEngine:
        """Return the engine that knows the language of a context."""


@dataclass(frozen=True)
class Wishes:
    """How one reply is wanted.

    Attributes:
        decoding: settings that differ from the model's own.
        seed: None draws a new one.
        tried: how many replies there are already; a fixed seed would make the same again, and is moved on by so many.
        on_text: called with the text so far, where the strategy has one to show.
        is_cancelled: asked between tokens; what was written until then is the reply.
    """

    decoding: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    tried: int = 0
    on_text: Callable[[str], None] | None = None
    is_cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Answer:
    """What a frontend shows: the reply, and the turn it was stored as (None where nothing was to be stored)."""

    reply: Reply
    turn: Turn | None


class DialogueManager:
    """The one door of every frontend. Safe to share between threads; who waits for each answer keeps the order.

    Args:
        persona: who the bot is.
        wishes: how replies are wanted; the settings of one reply go before these, its seed stands instead.
        guard: knows what people wrote; that of ``store`` where it is not given.
    """

    def __init__(
        self,
        slot: EngineSlot,
        store: ConversationStore,
        *,
        persona: Persona = NOBODY,
        wishes: Wishes | None = None,
        guard: LeakGuard | None = None,
    ) -> None:
        self._slot, self.store, self.persona = slot, store, persona
        self.wishes, self._guard = wishes or Wishes(), guard or LeakGuard(store)

    def over(self, store: ConversationStore) -> DialogueManager:
        """Return the same over another memory; what people wrote in this one is guarded there too."""
        return DialogueManager(self._slot, store, persona=self.persona, wishes=self.wishes, guard=self._guard)

    def respond(
        self,
        conversation: str,
        message: str,
        *,
        person: str,
        instead_of: int | None = None,
        wishes: Wishes | None = None,
    ) -> Answer:
        """Answer a message; both turns are stored, in order.

        Args:
            instead_of: id of the person's turn that this one was edited from.

        Raises:
            StorageError: the memory did not answer in time.
        """
        objection = policy.objection_to(message)
        if objection is not None:
            return Answer(policy_reply(objection), None)
        return self.answer(self.store.add_turn(conversation, message, person=person, instead_of=instead_of), wishes)

    def answer(self, turn: Turn, wishes: Wishes | None = None) -> Answer:
        """Reply to a stored turn of a person; a reply that it has already stays beside the new one."""
        context = [t.text for t in self.store.branch_to(turn.id, self._slot.engine.context_turns)]
        reply = self._reply(context, wishes, turn.person, turn.conversation)
        return Answer(reply, self.store.add_reply(turn, reply.text, record_of(reply)))

    def respond_by_post(
        self,
        conversation: str,
        message: str,
        carry: Callable[[Reply], Outgoing],
        *,
        person: str,
        external_id: str,
        instead_of: int | None = None,
        wishes: Wishes | None = None,
    ) -> tuple[Answer, Outgoing | None]:
        """Answer a message that a messenger brought and keeps until it is answered.

        Both turns, and the message that carries the reply back, are stored in one transaction. Where the update was
        answered before, that answer stays.

        Args:
            carry: makes the message that carries the reply.
            external_id: names the message where it came from; one that came before is not stored again.
            instead_of: id of the person's turn that this one was edited from.

        Returns:
            The answer, and the message as the outbox has it; None where nothing was stored.

        Raises:
            StorageError: the memory did not answer in time.
        """
        objection = policy.objection_to(message)
        if objection is not None:
            return Answer(policy_reply(objection), None), None
        before = self.store.context(conversation, self._slot.engine.context_turns - 1, instead_of=instead_of)
        reply = self._reply([*before, message], wishes, person, conversation)
        turn, outgoing = self.store.post_exchange(
            conversation,
            message,
            reply.text,
            record_of(reply),
            carry(reply),
            person=person,
            external_id=external_id,
            instead_of=instead_of,
        )
        return Answer(reply, turn), outgoing

    def _reply(self, context: Sequence[str], wishes: Wishes | None, person: str, conversation: str) -> Reply:
        engine = self._slot.engine_for(context)
        return self._guard.reply(engine, self.request(context, engine, wishes), person, conversation)

    def request(self, context: Sequence[str], engine: ReplyEngine, wishes: Wishes | None = None) -> ReplyRequest:
        """Return what the engine is asked in order to answer the newest turn of a context."""
        wishes = wishes or self.wishes
        decoding = engine.decoding.with_changes(**{**self.wishes.decoding, **wishes.decoding})
        seed = None if wishes.seed is None else wishes.seed + wishes.tried
        return ReplyRequest(context, decoding, seed, self.persona, wishes.on_text, wishes.is_cancelled)


def policy_reply(text: str) -> Reply:
    """Return a reply that no model wrote."""
    return Reply(text, model_id=policy.MODEL_ID, strategy=policy.MODEL_ID, seed=0, tokens=0, latency_ms=0.0)


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
        is_cut=reply.is_cut,
    )


def candidate_facts(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as JSON has it: text, score, log_prob, and a persona's fact or the terms of its rank."""
    facts: dict[str, Any] = {
        "text": candidate.text,
        "score": round(candidate.score, 6),
        "log_prob": round(candidate.log_prob, 6),
    }
    if candidate.fact is not None:
        facts["fact"] = candidate.fact
    if candidate.ruled_out is not None:
        facts["ruled_out"] = candidate.ruled_out
    if candidate.terms is not None:
        facts["terms"] = {name: round(value, 6) for name, value in asdict(candidate.terms).items()}
    return facts

"""Make a stored reply again, or explain it: its seed, settings, context and model were stored with it."""

from __future__ import annotations

from typing import Any

from bot.engine import ModelEngine, Reply, ReplyRequest
from bot.errors import BotError
from bot.talk import explain_turn
from bot.why import describe
from seq2seq.config import DecodingConfig
from seq2seq.errors import Seq2SeqError
from seq2seq.persona import NOBODY, Persona
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry
from storage.records import Turn
from storage.store import ConversationStore


class Replayer:
    """Replies from the past. Each model is loaded once.

    Args:
        persona: who the bot is; it is not stored, so it must be what it was.
    """

    def __init__(self, store: ConversationStore, registry: Registry, persona: Persona = NOBODY) -> None:
        self._store, self._registry, self._persona = store, registry, persona
        self._engines: dict[str, ModelEngine] = {}

    def replay(self, turn: Turn) -> Reply:
        """Make the reply of a bot's turn once more: the same bytes on the same kind of processor.

        Raises:
            BotError: the turn is no model's reply, or its model is gone.
        """
        if turn.reply is None or turn.parent_id is None:
            raise BotError(f"turn {turn.id} is no reply of a model")
        try:
            engine = self._engine(turn.reply.model_id)
            settings: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in turn.reply.settings.items()
            }
            decoding = DecodingConfig(**settings)
        except (Seq2SeqError, TypeError) as error:
            raise BotError(
                f"turn {turn.id} was written by {turn.reply.model_id}, and cannot be made again: {error}"
            ) from error
        context = [before.text for before in self._store.branch_to(turn.parent_id, engine.context_turns)]
        return engine.reply(ReplyRequest(context, decoding, turn.reply.seed, self._persona))

    def explain(self, turn: Turn) -> str:
        """Say how the reply of a bot's turn came to be; token by token where its model is still there."""
        assert turn.reply is not None
        try:
            explanation = explain_turn(self._store, turn, self._engine(turn.reply.model_id), self._persona)
        except Seq2SeqError:
            explanation = None
        return describe(turn.text, turn.reply, explanation)

    def _engine(self, model_id: str) -> ModelEngine:
        if model_id not in self._engines:
            self._engines[model_id] = ModelEngine(Predictor.load(self._registry.resolve(model_id)))
        return self._engines[model_id]

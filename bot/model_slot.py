"""ModelSlot: the loaded model, swapped whole when the registry's current one changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from bot.engine import ECHO, EchoEngine, ModelEngine, ReplyEngine, ReplyRequest
from seq2seq.config import DecodingConfig
from seq2seq.errors import Seq2SeqError
from seq2seq.languages import knows, knows_better
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry, RegistryEntry

_LOG = logging.getLogger(__name__)


class ModelSlot:
    """Hands out the engine to reply with. Who holds one keeps it to the end of a reply, whatever is swapped in."""

    def __init__(
        self, registry: Registry, name: str | None = None, *, threads: int = 1, echo_delay_ms: int = 0
    ) -> None:
        """Load a model.

        Args:
            name: a model by id, folder or name; ``echo``; None follows the registry's current one.

        Raises:
            Seq2SeqError: there is no such model, or it cannot be loaded.
        """
        self._registry, self._threads, self._echo_delay_ms = registry, threads, echo_delay_ms
        self._lock = threading.Lock()
        self._follows = name is None
        self._engine: ReplyEngine = self._load(name)
        self._refused: str | None = None
        self._shipped: dict[str, ModelEngine | None] = {}  # by name, once another language called for them

    @property
    def engine(self) -> ReplyEngine:
        return self._engine

    def engine_for(self, context: Sequence[str]) -> ReplyEngine:
        """Return the engine whose model knows the language of a context: that of its newest turn that shows one.

        Where a model was asked for by name, it is the one. Else the models that ship along take over from the
        current one in their own languages; they are loaded when they are first needed.
        """
        engine = self._engine
        if not self._follows or not isinstance(engine, ModelEngine):
            return engine
        for turn in reversed(context):
            knowing = self._knowing(engine, turn)
            if knowing is not None:
                return knowing
        return engine

    def engine_of(self, model_id: str) -> ReplyEngine | None:
        """Return the loaded engine of a model, or None where it is not loaded."""
        loaded = (self._engine, *filter(None, self._shipped.values()))
        return next((engine for engine in loaded if engine.model_id == model_id), None)

    def models(self) -> list[RegistryEntry]:
        """Return every model that could be switched to."""
        return self._registry.entries()

    def switch(self, name: str) -> ReplyEngine:
        """Load another model and keep to it.

        Raises:
            Seq2SeqError: it cannot be loaded; the old one stays.
        """
        engine = self._load(name)
        with self._lock:
            self._engine, self._follows = engine, False
        return engine

    def refresh(self) -> bool:
        """Swap in the current model where it has changed; True where something was swapped.

        A model that cannot be loaded or cannot reply is refused once, with an error in the log; the old one stays.
        """
        with self._lock:
            if not self._follows:
                return False
            wanted = None
            try:
                wanted = self._registry.resolve(None).name
                if wanted in (self._engine.model_id, self._refused):
                    return False
                engine = self._load(None)
                engine.reply(ReplyRequest(["Hello"], DecodingConfig(strategy="greedy"), seed=0))
            except Seq2SeqError as error:
                self._refused = wanted
                _LOG.error("The promoted model cannot be used; the old one stays: %s", error)
                return False
            _LOG.info("Model %s replaces %s", engine.model_id, self._engine.model_id)
            self._engine = engine
            return True

    def _knowing(self, engine: ModelEngine, text: str) -> ModelEngine | None:
        """Return which model knows the language of a text, or None where that cannot be told."""
        tokenizer = engine.predictor.tokenizer
        known = knows(tokenizer, text)
        if known != "no":
            return engine if known == "yes" else None
        others = [other for other in self._shipped_engines() if other.predictor.tokenizer.digest != tokenizer.digest]
        for other in others:
            if knows_better(other.predictor.tokenizer, tokenizer, text):
                return other
        is_best = all(knows_better(tokenizer, other.predictor.tokenizer, text) for other in others)
        return engine if is_best else None

    def _shipped_engines(self) -> list[ModelEngine]:
        """Return what ships along beside the current model, loaded once; what cannot be loaded is left out."""
        with self._lock:
            for name in self._registry.shipped():
                if name in self._shipped or name == self._engine.model_id:
                    continue
                try:
                    self._shipped[name] = ModelEngine(Predictor.load(self._registry.resolve(name), self._threads))
                except Seq2SeqError as error:
                    _LOG.error("The model %s cannot be used: %s", name, error)
                    self._shipped[name] = None
            return list(filter(None, self._shipped.values()))

    def _load(self, name: str | None) -> ReplyEngine:
        if name == ECHO:
            return EchoEngine(self._echo_delay_ms)
        return ModelEngine(Predictor.load(self._registry.resolve(name), self._threads))

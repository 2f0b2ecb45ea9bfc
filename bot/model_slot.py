"""ModelSlot: the loaded model, swapped whole when the registry's current one changes."""

from __future__ import annotations

import logging
import threading

from bot.engine import ECHO, EchoEngine, ModelEngine, ReplyEngine, ReplyRequest
from seq2seq.config import DecodingConfig
from seq2seq.errors import Seq2SeqError
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

    @property
    def engine(self) -> ReplyEngine:
        return self._engine

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

    def _load(self, name: str | None) -> ReplyEngine:
        if name == ECHO:
            return EchoEngine(self._echo_delay_ms)
        return ModelEngine(Predictor.load(self._registry.resolve(name), self._threads))

"""The commands that only the messenger has: who the bot is, what it keeps of a person, and what admins may do."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.commands import COMMANDS, Frontend
from bot.messenger.intake import Message
from bot.messenger.metrics import Metrics
from bot.messenger.splitting import split_text
from bot.messenger.texts import Texts
from bot.model_slot import ModelSlot
from seq2seq.errors import Seq2SeqError
from seq2seq.learning.report import remove_pages
from seq2seq.provenance import models_that_saw
from seq2seq.registry import Registry
from storage.errors import LinkCodeError
from storage.mailbox import Mailbox
from storage.records import Outgoing
from storage.store import ConversationStore

_LOG = logging.getLogger(__name__)
FRONTEND: Frontend = "telegram"
EXPORT_FILE = "backchat.json"
# In a group everybody reads the answer; these tell of what one person said elsewhere, or change it.
_PRIVATE = {"consent", "export", "forget", "link", "search", "history", "continue", "rename", "set", "show", "seed"}
# Done twice they do something else: they take back more, or toggle. What is done again by /retry is one more reply.
_ONCE = {"undo", "alternatives", "continue", "link", "rollback"}
_PEOPLE = ("start", "help", "privacy", "consent", "export", "forget", "link")
_ADMINS = ("stats", "broadcast", "promote", "rollback")


@dataclass(frozen=True)
class Said:
    """What a command answers.

    Attributes:
        is_kept: false where not even the outbox shall hold it.
        others: messages to other chats, which are stored together with the answer.
    """

    text: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_kept: bool = True
    others: Sequence[Outgoing] = ()


Own = Callable[[Message, str, Texts], Said]


class Desk:
    """Does the messenger's own commands."""

    def __init__(
        self,
        store: ConversationStore,
        mailbox: Mailbox,
        slot: ModelSlot,
        registry: Registry,
        metrics: Metrics,
        runs_dir: Path,
    ) -> None:
        self._store, self._mailbox, self._slot = store, mailbox, slot
        self._registry, self._metrics, self._runs_dir = registry, metrics, runs_dir

    def find(self, name: str, *, is_admin: bool) -> Own | None:
        """Return what does a command; the admins' are there for admins only."""
        if name in _PEOPLE or (is_admin and name in _ADMINS):
            own: Own = getattr(self, f"_{name}")
            return own
        return None

    def serves(self, name: str) -> bool:
        """Tell whether the messenger serves a command of the common table."""
        return name in COMMANDS and FRONTEND in COMMANDS[name].frontends

    def is_for_private_chats(self, name: str) -> bool:
        return name in _PRIVATE

    def is_done_once(self, name: str) -> bool:
        """Tell whether a command must not be done again where a crash hides how far it came."""
        return name in _ONCE

    def menu(self, texts: Texts, *, is_admin: bool = False) -> list[tuple[str, str]]:
        """Return the name and the line of help of all that people can command, or admins."""
        helps = {command.name: command.help for command in COMMANDS.values() if FRONTEND in command.frontends}
        names = [*_PEOPLE, *(name for name in helps if name not in _PEOPLE), *(_ADMINS if is_admin else ())]
        return [(name, texts.command_help(name, helps.get(name, name))) for name in names]

    def _start(self, message: Message, arguments: str, texts: Texts) -> Said:
        """Say hello; a link such as t.me/BOT?start=CODE also links the person."""
        if arguments and message.is_private:
            linked = self._try_link(message, arguments)
            if linked:
                return Said(texts.say("linked"))
        return Said(texts.say("start" if message.is_private else "group_start"))

    def _help(self, message: Message, arguments: str, texts: Texts) -> Said:
        return Said("\n".join(f"/{name} - {text}" for name, text in self.menu(texts)))

    def _privacy(self, message: Message, arguments: str, texts: Texts) -> Said:
        return Said(texts.say("privacy", consent=self._consent_word(message, texts)))

    def _consent(self, message: Message, arguments: str, texts: Texts) -> Said:
        if arguments.lower() not in ("on", "off"):
            return Said(texts.say("consent_is", consent=self._consent_word(message, texts)))
        is_granted = arguments.lower() == "on"
        if is_granted != self._store.people.has_consent(message.person):
            self._store.people.set_consent(message.person, is_granted)
        return Said(texts.say("consent_on" if is_granted else "consent_off"))

    def _export(self, message: Message, arguments: str, texts: Texts) -> Said:
        if not self._store.people.identities(message.person):
            return Said(texts.say("export_empty"))
        return Said(texts.say("export_caption"), {"file": True})

    def _forget(self, message: Message, arguments: str, texts: Texts) -> Said:
        if arguments.lower() != "everything":
            return Said(texts.say("forget_ask"))
        models = models_that_saw(self._registry, self._store.provenance.turn_ids_of(message.person))
        count = self._store.delete_person(message.person)
        remove_pages(self._runs_dir, lambda moment: bool(self._store.provenance.erased_turn_ids(moment)))
        said = texts.say("forgotten", count=count or 0)
        if models:
            _LOG.warning(
                "Trained on what was just erased: %s. A new one without it: backchat retrain --from-scratch",
                ", ".join(models),
            )
            said += "\n" + texts.say("forgotten_models", models=", ".join(models))
        return Said(said, is_kept=False)

    def _link(self, message: Message, arguments: str, texts: Texts) -> Said:
        if not arguments:
            return Said(texts.say("link_code", code=self._store.people.new_link_code(message.person)))
        return Said(texts.say("linked" if self._try_link(message, arguments) else "link_unknown"))

    def _stats(self, message: Message, arguments: str, texts: Texts) -> Said:
        counts, (waiting, unsent) = self._store.counts(), self._mailbox.backlog()
        lines = [
            f"model: {self._slot.engine.model_id}",
            f"up: {self._metrics.uptime_s / 3600:.1f} h",
            f"people: {counts.people}, conversations: {counts.conversations}, turns: {counts.turns}",
            f"waiting: {waiting} in, {unsent} out",
            f"replies: {self._metrics.counts['replies']}, half of them within "
            f"{self._metrics.reply_quantile_s(0.5):.2f} s, 95 % within {self._metrics.reply_quantile_s(0.95):.2f} s",
        ]
        lines += [f"{rated.model_id}: {rated.good} good, {rated.bad} bad" for rated in self._store.ratings_by_model()]
        return Said("\n".join(lines))

    def _broadcast(self, message: Message, arguments: str, texts: Texts) -> Said:
        """Send a text to every private chat that has written to the bot."""
        parts = split_text(arguments)
        if not parts:
            return Said("/broadcast TEXT")
        chats = [chat for chat in self._mailbox.chats() if not chat.startswith("-")]
        others = [Outgoing(self._mailbox.bot, chat, parts, person=f"telegram:{chat}") for chat in chats]
        return Said(f"On its way to {len(chats)} chats.", others=others)

    def _promote(self, message: Message, arguments: str, texts: Texts) -> Said:
        if not arguments:
            return Said("/promote MODEL")
        return self._change_model(lambda: self._registry.promote(arguments))

    def _rollback(self, message: Message, arguments: str, texts: Texts) -> Said:
        return self._change_model(self._registry.rollback)

    def _change_model(self, change: Callable[[], str]) -> Said:
        try:
            model = change()
        except Seq2SeqError as error:
            return Said(str(error))
        self._slot.refresh()
        return Said(f"{model} is current; {self._slot.engine.model_id} replies.")

    def _try_link(self, message: Message, code: str) -> bool:
        """Make this account and the one that asked for the code one person's; go on in their last conversation."""
        try:
            self._store.people.link(code, message.person)
        except LinkCodeError:
            return False
        if message.is_private:
            for last in self._store.conversations(message.person, 1, in_private=True):
                self._mailbox.set_conversation(message.place, last.key)
        return True

    def _consent_word(self, message: Message, texts: Texts) -> str:
        return texts.say("on" if self._store.people.has_consent(message.person) else "off")


def export_of(store: ConversationStore, registry: Registry, person: str) -> bytes:
    """Return all that is kept about a person, and which models were trained on their words, as JSON.

    What others said in the same group is not theirs.
    """
    identities = store.people.identities(person)
    conversations = json.loads("".join(store.export("json", person=person)))
    for conversation in conversations:
        conversation["turns"] = [turn for turn in conversation["turns"] if turn["person"] in identities]
    consents = [
        {"granted": entry.is_granted, "at": entry.created.isoformat()} for entry in store.people.consents(person)
    ]
    models = models_that_saw(registry, store.provenance.turn_ids_of(person))
    facts = {"identities": identities, "consents": consents, "models": models, "conversations": conversations}
    return json.dumps(facts, ensure_ascii=False, indent=1).encode()

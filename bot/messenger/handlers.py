"""What an update comes to. Everything here is plain and blocking: the bot runs it in threads, a chat at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.commands import run_command
from bot.dialogue import DialogueManager
from bot.engine import Reply
from bot.errors import BotError
from bot.messenger import buttons
from bot.messenger.access import Access
from bot.messenger.commands import FRONTEND, Desk
from bot.messenger.intake import Me, Message, message_of, place_called, thread_of
from bot.messenger.metrics import Metrics
from bot.messenger.splitting import split_text
from bot.messenger.texts import Languages, Texts
from bot.model_slot import ModelSlot
from bot.talk import Talk
from seq2seq.errors import Seq2SeqError
from storage.mailbox import Mailbox
from storage.records import Incoming, Outgoing, Turn
from storage.store import ConversationStore

_TALKS_REMEMBERED = 1000
_NOTHING = "…"


@dataclass(frozen=True)
class Handled:
    """What came of an update: a message to send, in the outbox already, and what a pressed button says."""

    outgoing: Outgoing | None = None
    toast: str | None = None


class Handlers:
    """Answers updates. Safe to share between threads as long as a chat's updates come one after another.

    Args:
        dialogue: answers in one batch for all chats.
        send: puts a message on its way that is in the outbox already.
        remakes_edited: whether a reply is made anew when its message is edited.
    """

    def __init__(
        self,
        me: Me,
        dialogue: DialogueManager,
        slot: ModelSlot,
        mailbox: Mailbox,
        access: Access,
        metrics: Metrics,
        desk: Desk,
        send: Callable[[Outgoing], None],
        *,
        remakes_edited: bool = True,
        has_buttons: bool = True,
    ) -> None:
        self._me, self._dialogue, self._slot, self._mailbox = me, dialogue, slot, mailbox
        self._access, self._metrics, self._desk, self._send = access, metrics, desk, send
        self._remakes_edited, self._has_buttons = remakes_edited, has_buttons
        self._store = dialogue.store
        self._languages = Languages()
        self._talks: OrderedDict[str, Talk] = OrderedDict()

    def handle(self, incoming: Incoming) -> Handled:
        """Answer an update, and note that it needs no more work."""
        message = message_of(incoming.payload, self._me)
        handled = Handled()
        if message is not None:
            handled = Handled(self._answer(incoming, message))
        elif "callback_query" in incoming.payload:
            handled = self._press(incoming, incoming.payload["callback_query"])
        elif "message_reaction" in incoming.payload:
            self._react(incoming, incoming.payload["message_reaction"])
        elif "my_chat_member" in incoming.payload:
            status = incoming.payload["my_chat_member"]["new_chat_member"]["status"]
            self._mailbox.set_reachable(incoming.chat, status not in ("kicked", "left"))
        if handled.outgoing is None:
            self._mailbox.finish(incoming.update_id)
        return handled

    def give_up(self, incoming: Incoming) -> Outgoing | None:
        """Give up on an update, and say so where somebody waits for an answer."""
        return self._end(incoming, "trouble")

    def refuse(self, incoming: Incoming, *, is_told: bool) -> Outgoing | None:
        """Leave an update unanswered because too many of its chat are waiting, and say so where wanted."""
        return self._end(incoming, "too_fast" if is_told else None)

    def _end(self, incoming: Incoming, text: str | None) -> Outgoing | None:
        message = message_of(incoming.payload, self._me)
        if message is None or message.is_edited or text is None:
            self._mailbox.finish(incoming.update_id, is_failed=True)
            return None
        return self._say(incoming, message, self._texts(message).say(text))

    def _answer(self, incoming: Incoming, message: Message) -> Outgoing | None:
        texts = self._texts(message)
        if not self._access.allows(message.user, message.chat):
            is_told = message.is_private and not message.is_edited
            if not is_told or self._access.is_blocked(message.user, message.chat):
                return None
            return self._say(incoming, message, texts.say("not_allowed", number=message.user))
        if message.is_edited:
            return self._remake(incoming, message)
        if message.command is not None:
            return self._command(incoming, message, *message.command)
        if message.text is None:
            return self._say(incoming, message, texts.say("only_text"))
        return self._reply(incoming, message, message.text, external_id=self._name_of(message))

    def _reply(
        self,
        incoming: Incoming,
        message: Message,
        text: str,
        *,
        external_id: str,
        instead_of: int | None = None,
        edits: int | None = None,
    ) -> Outgoing | None:
        """Let the model answer; the reply's turn, its message and the end of the update are stored together."""
        talk = self._talk(message)
        answer, outgoing = self._dialogue.respond_by_post(
            talk.conversation,
            text[1:] if text.startswith("//") else text,
            self._carrier(incoming, message, edits=edits),
            person=message.person,
            external_id=external_id,
            instead_of=instead_of,
            wishes=talk.wishes(),
        )
        return outgoing or self._say(incoming, message, answer.reply.text)

    def _remake(self, incoming: Incoming, message: Message) -> Outgoing | None:
        """Answer the last message anew where it was edited, in the place of the first answer."""
        if not self._remakes_edited or message.text is None or message.command is not None:
            return None
        last = self._store.recent_turns(self._conversation(message), 2)
        asked = next((turn for turn in reversed(last) if turn.speaker == "person"), None)
        name = self._name_of(message)
        if asked is None or (asked.external_id or "").partition(".")[0] != name:
            return None
        shown = self._mailbox.messages_of(last[-1].id) if last[-1].speaker == "bot" else []
        edits = shown[-1] if shown else None
        name = f"{name}.{incoming.update_id}"
        return self._reply(incoming, message, message.text, external_id=name, instead_of=asked.id, edits=edits)

    def _command(self, incoming: Incoming, message: Message, name: str, arguments: str) -> Outgoing | None:
        texts = self._texts(message)
        own = self._desk.find(name, is_admin=self._access.is_admin(message.user))
        if own is None and not self._desk.serves(name):
            if not message.is_private:
                return None  # it may be another bot's
            return self._say(incoming, message, texts.say("unknown_command", command=f"/{name}"))
        if not message.is_private and self._desk.is_for_private_chats(name):
            return self._say(incoming, message, texts.say("only_private"))
        if self._desk.is_done_once(name) and not self._mailbox.begin_once(incoming.update_id):
            return self._say(incoming, message, texts.say("interrupted"))
        if own is not None:
            said = own(message, arguments, texts)
            outgoing = self._outgoing(incoming, message, said.text, said.options)
            if not said.is_kept:
                return outgoing
            answer, *others = self._mailbox.post_all([outgoing, *said.others])
            for other in others:
                self._send(other)
            return answer
        talk = self._talk(message)
        before = talk.conversation
        try:
            if name == "edit" and arguments:  # as a message: its turn is stored with its answer, or not at all
                return self._reply(
                    incoming, message, arguments, external_id=self._name_of(message), instead_of=talk.asked().id
                )
            outcome = run_command(talk, f"/{name} {arguments}".strip(), FRONTEND)
        except (BotError, Seq2SeqError) as error:
            return self._say(incoming, message, str(error))
        if talk.conversation != before:
            self._mailbox.set_conversation(message.place, talk.conversation)
        if outcome.answer is None or outcome.answer.turn is None:
            return self._say(incoming, message, outcome.text or outcome.draft or _NOTHING)
        outgoing = self._carrier(incoming, message, outcome.answer.turn)(outcome.answer.reply)
        return self._mailbox.post(outgoing)

    def _press(self, incoming: Incoming, query: Mapping[str, Any]) -> Handled:
        """Do what a pressed button says; another reply is shown in the place of the one before."""
        texts = self._languages.of(query["from"].get("language_code"))
        user = int(query["from"]["id"])
        if not self._access.allows(user, int(incoming.chat)):
            return Handled(toast="")
        body = query.get("message", {})
        number = int(body.get("message_id", 0))
        turn_id = self._mailbox.turn_of(incoming.chat, number)
        turn = self._store.turn(turn_id) if turn_id is not None else None
        if turn is None:
            return Handled(toast=texts.say("stale"))
        data = query.get("data")
        if data in (buttons.GOOD, buttons.BAD):
            self._store.rate(turn.id, f"telegram:{user}", 1 if data == buttons.GOOD else -1)
            return Handled(toast=texts.say("rated_good" if data == buttons.GOOD else "rated_bad"))
        if data not in (buttons.ANOTHER, buttons.LEFT, buttons.RIGHT):
            return Handled(toast="")
        chosen = self._choose(turn, data, place_called(int(incoming.chat), thread_of(body)))
        if chosen is None:
            return Handled(toast=texts.say("no_other"))
        parts = split_text(chosen.text)[:1] or [_NOTHING]
        options = {"edits": number, "buttons": self._buttons(chosen, texts)}
        edit = Outgoing(
            self._mailbox.bot, incoming.chat, parts, incoming.update_id, turn.person, options, turn_id=chosen.id
        )
        return Handled(self._mailbox.post(edit), toast="")

    def _choose(self, turn: Turn, data: str, place: str) -> Turn | None:
        """Return the reply to show instead, and go on talking behind it where it answers the last message."""
        beside = self._store.alternatives(turn.id)
        last = self._store.recent_turns(turn.conversation, 1)
        is_last = bool(last) and any(last[0].id == other.id for other in beside)
        if data == buttons.ANOTHER:
            asked = self._store.turn(turn.parent_id) if is_last and turn.parent_id is not None else None
            if asked is None:
                return None
            talk = self._talks.get(place)
            wishes = talk.wishes() if talk is not None else self._dialogue.wishes
            return self._dialogue.answer(asked, replace(wishes, tried=len(beside))).turn
        at = [other.id for other in beside].index(turn.id) + (1 if data == buttons.RIGHT else -1)
        if not 0 <= at < len(beside):
            return None
        return self._store.set_head(beside[at].id) if is_last else beside[at]

    def _react(self, incoming: Incoming, reaction: Mapping[str, Any]) -> None:
        """Take a reaction to a reply as a rating."""
        turn_id = self._mailbox.turn_of(incoming.chat, int(reaction["message_id"]))
        user = int(reaction["user"]["id"])
        if turn_id is not None and self._access.allows(user, int(incoming.chat)):
            self._store.rate(turn_id, f"telegram:{user}", buttons.rating_of(reaction["new_reaction"]))

    def _talk(self, message: Message) -> Talk:
        """Return the talk at a place, with the settings that were changed there since the start."""
        talk = self._talks.pop(message.place, None)
        conversation = self._conversation(message)
        if talk is None:
            talk = Talk(self._dialogue, self._slot, message.person, conversation, _no_other_memory)
        talk.person, talk.conversation, talk.language = message.person, conversation, message.language
        self._talks[message.place] = talk
        if len(self._talks) > _TALKS_REMEMBERED:
            self._talks.popitem(last=False)
        return talk

    def _conversation(self, message: Message) -> str:
        """Return the conversation that is being talked in at a place."""
        return self._mailbox.conversation_at(message.place) or f"telegram:{message.place}"

    def _name_of(self, message: Message) -> str:
        """Return what names a message in its conversation; other bots and chats in it may have the same numbers."""
        return f"{self._mailbox.bot}/{message.chat}/{message.number}"

    def _texts(self, message: Message) -> Texts:
        return self._languages.of(message.language)

    def _carrier(
        self, incoming: Incoming, message: Message, turn: Turn | None = None, *, edits: int | None = None
    ) -> Callable[[Reply], Outgoing]:
        """Return what makes the message that carries a reply: a new one, or the one that is edited."""

        def carry(reply: Reply) -> Outgoing:
            self._metrics.count("replies")
            options: dict[str, Any] = {"buttons": self._buttons(turn, self._texts(message))}
            if edits is not None:
                options["edits"] = edits
            return self._outgoing(incoming, message, reply.text, options, turn)

        return carry

    def _buttons(self, turn: Turn | None, texts: Texts) -> dict[str, Any] | None:
        if not self._has_buttons:
            return None
        beside = [other.id for other in self._store.alternatives(turn.id)] if turn is not None else []
        at = beside.index(turn.id) + 1 if turn is not None else 1
        return buttons.button_facts(texts.say("button_another"), at, max(len(beside), 1))

    def _say(self, incoming: Incoming, message: Message, text: str) -> Outgoing:
        return self._mailbox.post(self._outgoing(incoming, message, text))

    def _outgoing(
        self,
        incoming: Incoming,
        message: Message,
        text: str,
        options: Mapping[str, Any] | None = None,
        turn: Turn | None = None,
    ) -> Outgoing:
        where: dict[str, Any] = {"thread": message.thread} if message.thread else {}
        if not message.is_private:
            where["reply_to"] = message.number
        return Outgoing(
            self._mailbox.bot,
            incoming.chat,
            split_text(text) or [_NOTHING],
            incoming.update_id,
            message.person,
            where | dict(options or {}),
            turn.id if turn is not None else None,
        )


def _no_other_memory(is_off_record: bool) -> ConversationStore:
    raise BotError("a messenger's talk is always on the record")

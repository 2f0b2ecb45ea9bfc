"""Talk: one conversation as a frontend holds it, and all that can be done in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.assembly import new_conversation
from bot.dialogue import Answer, DialogueManager, Wishes
from bot.engine import ModelEngine, ReplyEngine
from bot.errors import BotError
from bot.messenger.texts import languages
from bot.model_slot import ModelSlot
from seq2seq.config import DecodingConfig
from seq2seq.explanation import Explanation, explain
from seq2seq.persona import NOBODY, Persona
from seq2seq.style import with_style
from storage.records import Conversation, Counts, ReplyRecord, Turn
from storage.store import ConversationStore

_MOST_LOADED_TURNS = 10_000
_ALTERNATIVES = 9  # as many as are read before one is chosen
_LOADED = "loaded"  # the model of bot turns that came from a file


class Talk:
    """Where one person talks. Not shared between threads.

    Args:
        open_store: opens the memory; off the record where it is given True.

    Attributes:
        decoding: settings that the person changed.
        seed: None draws a new one for every reply; to begin with it is that of the dialogue.
        language: code of the language that commands answer in; English where there are no texts for it.
        on_text, is_cancelled: see ``Wishes``.
    """

    def __init__(
        self,
        dialogue: DialogueManager,
        slot: ModelSlot,
        person: str,
        conversation: str,
        open_store: Callable[[bool], ConversationStore],
        *,
        is_recorded: bool = True,
    ) -> None:
        self.slot, self.person, self.conversation, self.is_recorded = slot, person, conversation, is_recorded
        self.decoding: dict[str, Any] = {}
        self.seed = dialogue.wishes.seed
        self.language: str | None = None
        self.on_text: Callable[[str], None] | None = None
        self.is_cancelled: Callable[[], bool] = lambda: False
        self._dialogue, self._open_store = dialogue, open_store
        self._other: tuple[DialogueManager, str] | None = None  # the other side of /record, and where it stood

    @property
    def store(self) -> ConversationStore:
        return self._dialogue.store

    @property
    def engine(self) -> ReplyEngine:
        return self.slot.engine

    @property
    def settings(self) -> DecodingConfig:
        """Return the settings that replies are found with now."""
        return self.engine.decoding.with_changes(**self.decoding)

    def wishes(self, tried: int = 0) -> Wishes:
        """Return how the next reply is wanted, of which there are ``tried`` already."""
        return Wishes(dict(self.decoding), self.seed, tried, self.on_text, self.is_cancelled)

    def text(self, name: str, **facts: object) -> str:
        """Return a text of the bot's own, of ``bot/messenger/texts``, in this talk's language."""
        return languages().of(self.language).say(name, **facts)

    def close(self) -> None:
        """Close the memory on both sides of the record."""
        self.store.close()
        if self._other is not None:
            self._other[0].store.close()

    # Saying

    def say(self, message: str) -> Answer:
        """Say something, and have it answered."""
        return self._dialogue.respond(self.conversation, message, person=self.person, wishes=self.wishes())

    def retry(self) -> Answer:
        """Have the last message answered once more; the reply that was there stays beside."""
        asked, last = self.asked(), self.history(1)[0]
        tried = len(self.store.alternatives(last.id)) if last.speaker == "bot" else 0
        return self._dialogue.answer(asked, self.wishes(tried))

    def edit(self, message: str) -> Answer:
        """Say something else instead of the last message; that one stays on a branch of its own."""
        asked = self.asked()
        return self._dialogue.respond(
            self.conversation, message, person=self.person, instead_of=asked.id, wishes=self.wishes()
        )

    def undo(self, exchanges: int = 1) -> list[Turn]:
        """Go back behind the last messages; returns what is no longer part of the talk."""
        return self.store.step_back(self.conversation, exchanges)

    def alternatives(self) -> list[str]:
        """Return what else could be said in place of the last reply, the best few, what is said now first."""
        now = self.last_reply()
        texts = [now.text, *(turn.text for turn in self.store.alternatives(now.id))]
        if now.reply is not None:  # those that were ruled out have no words
            texts += [str(candidate["text"]) for candidate in now.reply.candidates if candidate["text"]]
        return list(dict.fromkeys(texts))[:_ALTERNATIVES]

    def choose(self, number: int) -> str:
        """Say another of ``alternatives`` instead, counted from 1; returns it."""
        texts = self.alternatives()
        if not 1 <= number <= len(texts):
            raise BotError(self.text("no_alternative", number=number, count=len(texts)))
        now, text = self.last_reply(), texts[number - 1]
        for turn in self.store.alternatives(now.id):
            if turn.text == text:
                self.store.set_head(turn.id)
                return text
        assert now.reply is not None
        self.store.add_reply(self.asked(), text, now.reply)
        return text

    # Judging

    def rate(self, value: int) -> Turn:
        """Call the last reply good (1) or bad (-1)."""
        reply = self.last_reply()
        self.store.rate(reply.id, self.person, value)
        return reply

    def teach(self, text: str) -> None:
        """Keep what should have been said instead of the last reply."""
        self.store.teach(self.last_reply().id, self.person, text)

    def explain(self) -> tuple[Turn, Explanation | None]:
        """Return the last reply, and how it came to be token by token where its model is the one loaded."""
        turn = self.last_reply()
        engine = self.slot.engine_of(turn.model_id or "")
        explanation = explain_turn(self.store, turn, engine, self._dialogue.persona) if engine is not None else None
        return turn, explanation

    # Places

    def start_over(self) -> None:
        """Go to a new conversation; the old one stays in the memory."""
        self.conversation = new_conversation()

    def go_to(self, name: str | None) -> Conversation:
        """Go on with the conversation of this name, or with the last one but this; never with a group's."""
        if name is None:
            last = self.store.conversations(self.person, 2, in_private=True)
            found = next((c for c in last if c.key != self.conversation), None)
        else:
            found = self.store.find_conversation(name, self.person, in_private=True)
        if found is None:
            raise BotError(
                self.text("no_other_conversation") if name is None else self.text("no_such_conversation", title=name)
            )
        self.conversation = found.key
        return found

    def forget(self) -> list[str]:
        """Erase this conversation for good, and begin a new one; returns what the person had said in it."""
        said = [turn.text for turn in self.store.turns(self.conversation) if turn.speaker == "person"]
        taught = [text for f in self.store.feedback(self.conversation).values() for text in f.taught.values()]
        self.store.delete_conversation(self.conversation)
        self.start_over()
        return said + taught

    def record(self, wanted: bool) -> None:
        """Keep what is said from now on, or keep it off the disk. What was said on the other side stays there."""
        if wanted == self.is_recorded:
            return
        here = (self._dialogue, self.conversation)
        if self._other is not None:
            self._dialogue, self.conversation = self._other
        else:
            self._dialogue = self._dialogue.over(self._open_store(not wanted))
            self.conversation = new_conversation()
        self._other, self.is_recorded = here, wanted
        if not wanted:  # the bot still knows what the talk is about
            self._repeat(here[0].store.recent_turns(here[1], self.engine.context_turns))

    def save(self, path: Path) -> int:
        """Write this conversation to .jsonl (which can be loaded), .json, .csv or .md; returns its turns.

        The file is new, and only its owner may read it.
        """
        form = {".jsonl": "jsonl", ".json": "json", ".csv": "csv", ".md": "md"}.get(path.suffix.lower())
        if form is None:
            raise BotError(f"{path}: the name must end in .jsonl, .json, .csv or .md")
        if path.exists():
            raise BotError(f"{path}: is there already; choose another name")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.writelines(self.store.export(form, conversation=self.conversation))
        except OSError as error:
            raise BotError(f"{path}: cannot be written ({error.strerror})") from error
        return len(self.store.recent_turns(self.conversation, _MOST_LOADED_TURNS))

    def load(self, path: Path) -> int:
        """Begin a new conversation with the turns of a saved .jsonl file; returns how many.

        Raises:
            CorpusError: the file is damaged or holds no dialogue.
        """
        from seq2seq.lines import BadLines
        from seq2seq.readers import read_dialogues  # with all formats of chats: too much for every start

        if path.suffix.lower() != ".jsonl":
            raise BotError(f"{path}: only .jsonl files can be loaded; /save NAME.jsonl writes one")
        dialogue = next(read_dialogues(path, BadLines()), None)
        if dialogue is None:
            raise BotError(f"{path}: holds no conversation")
        turns = dialogue.turns[-_MOST_LOADED_TURNS:]
        self.start_over()
        for turn in turns:
            self._add(turn.speaker == "bot", turn.text, ReplyRecord(_LOADED, _LOADED, 0, 0, 0.0))
        return len(turns)

    # Reading

    def history(self, limit: int) -> list[Turn]:
        """Return the last turns of this talk, oldest first."""
        return self.store.recent_turns(self.conversation, limit)

    def search(self, words: str, limit: int) -> list[Turn]:
        """Return turns of this person's conversations in which all ``words`` occur, newest first."""
        return self.store.search(words, self.person, limit)

    def counts(self) -> Counts:
        return self.store.counts()

    def last_reply(self) -> Turn:
        """Return the bot's last turn.

        Raises:
            BotError: it has not said anything yet.
        """
        turns = self.store.recent_turns(self.conversation, 1)
        if not turns or turns[-1].speaker != "bot":
            raise BotError(self.text("no_reply_yet"))
        return turns[-1]

    def asked(self) -> Turn:
        """Return the person's last message, answered or not.

        Raises:
            BotError: there is none yet.
        """
        turns = [turn for turn in self.store.recent_turns(self.conversation, 2) if turn.speaker == "person"]
        if not turns:
            raise BotError(self.text("no_message_yet"))
        return turns[-1]

    def _repeat(self, turns: list[Turn]) -> None:
        for turn in turns:
            self._add(turn.speaker == "bot", turn.text, turn.reply)

    def _add(self, is_reply: bool, text: str, reply: ReplyRecord | None) -> None:
        before = self.store.recent_turns(self.conversation, 1)
        if is_reply and reply is not None and before:
            self.store.add_reply(before[-1], text, reply)
        else:
            self.store.add_turn(self.conversation, text, person=self.person)


def explain_turn(
    store: ConversationStore, turn: Turn, engine: ReplyEngine, persona: Persona = NOBODY
) -> Explanation | None:
    """Go through a stored reply token by token; None where another model than ``engine``'s wrote it."""
    if not isinstance(engine, ModelEngine) or turn.parent_id is None or turn.reply is None:
        return None
    if turn.model_id != engine.model_id:
        return None
    context = [t.text for t in store.branch_to(turn.parent_id, engine.context_turns)]
    token_ids = engine.predictor.tokenizer.encode(turn.text)
    lines = with_style(turn.reply.settings.get("style", "none"), persona.lines)
    return explain(engine.predictor, context, token_ids, lines)

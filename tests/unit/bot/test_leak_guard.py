from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import policy
from bot.dialogue import DialogueManager, Wishes, record_of
from bot.engine import Reply, ReplyRequest
from bot.leak_guard import RULED_OUT, RunIndex
from bot.why import describe
from seq2seq.predictor import Candidate
from storage.store import ConversationStore, StorageConfig
from storage.voices import Said
from tests.fakes import FixedSlot, ScriptedEngine

CANARY = "the spare key lies under the third blue flower pot"
HARMLESS = "I have no idea, sorry about that."


class CandidatesEngine(ScriptedEngine):
    """Has the same candidates for everybody, best first; by ``rank`` the ones it is given for that."""

    def __init__(self, *texts: str, ranked: tuple[str, ...] = (), has_learned: bool = True) -> None:
        super().__init__(has_learned=has_learned)
        self._texts, self._ranked = texts, ranked

    def reply(self, request: ReplyRequest) -> Reply:
        self.requests.append(request)
        texts = self._ranked if len(self.requests) > 1 and self._ranked else self._texts
        for end in range(1, len(texts[0].split()) + 1):
            if request.on_text is not None:
                request.on_text(" ".join(texts[0].split()[:end]))
        found = tuple(Candidate(text, (9,) * len(text.split()), -1.0, -n) for n, text in enumerate(texts))
        return Reply(texts[0], self.model_id, "rank", 7, len(found[0].token_ids), 0.5, found, {})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    opened.add_turn("secrets", f"Remember: {CANARY.capitalize()}!", person="telegram:1")
    yield opened
    opened.close()


def ask(store: ConversationStore, engine: ScriptedEngine, person: str = "telegram:2", place: str = "other") -> Reply:
    return DialogueManager(FixedSlot(engine), store).respond(place, "Where is it?", person=person).reply


def test_what_one_person_alone_wrote_is_not_said_to_another(store: ConversationStore) -> None:
    reply = ask(store, CandidatesEngine(f"Oh, {CANARY}, he said.", HARMLESS))
    assert reply.text == HARMLESS
    assert reply.model_id == "m1"
    assert [(one.text, one.ruled_out) for one in reply.candidates] == [(HARMLESS, None), ("", RULED_OUT)]


def test_who_wrote_it_may_hear_it(store: ConversationStore) -> None:
    assert ask(store, CandidatesEngine(CANARY), person="telegram:1").text == CANARY


def test_who_wrote_it_may_hear_it_under_another_name(store: ConversationStore) -> None:
    code = store.people.new_link_code("telegram:1")
    store.people.link(code, "terminal:ada")
    assert ask(store, CandidatesEngine(CANARY), person="terminal:ada").text == CANARY


def test_what_several_people_wrote_is_no_secret(store: ConversationStore) -> None:
    store.add_turn("elsewhere", CANARY, person="telegram:3")
    assert ask(store, CandidatesEngine(CANARY)).text == CANARY


def test_what_was_said_in_the_same_conversation_is_known_there(store: ConversationStore) -> None:
    assert ask(store, CandidatesEngine(CANARY), place="secrets").text == CANARY


def test_a_few_words_in_a_row_are_nobodys(store: ConversationStore) -> None:
    assert ask(store, CandidatesEngine("Under the third blue flower.")).text == "Under the third blue flower."


def test_what_was_taught_is_guarded_too(store: ConversationStore) -> None:
    turn = store.add_turn("c", "Where do you live?", person="telegram:1")
    store.teach(turn.id, "telegram:1", "Behind the old mill on Ropewalk Lane.")
    assert ask(store, CandidatesEngine("behind the old mill on Ropewalk Lane", HARMLESS)).text == HARMLESS


def test_chinese_is_guarded_by_longer_runs(store: ConversationStore) -> None:
    store.add_turn("c", "备用钥匙放在门口左边第三个蓝色花盆下面", person="telegram:1")
    assert ask(store, CandidatesEngine("钥匙放在门口左边第三个蓝色花盆下面。", HARMLESS)).text == HARMLESS
    assert ask(store, CandidatesEngine("备用钥匙放在门口")).text == "备用钥匙放在门口"


def test_where_every_candidate_gives_somebody_away_others_are_looked_for(store: ConversationStore) -> None:
    engine = CandidatesEngine(CANARY, ranked=(f"Well, {CANARY}.", HARMLESS))
    reply = ask(store, engine)
    assert reply.text == HARMLESS
    assert engine.requests[1].decoding is not None
    assert engine.requests[1].decoding.strategy == "rank"


def test_where_none_is_left_there_is_nothing_to_say(store: ConversationStore) -> None:
    reply = ask(store, CandidatesEngine(CANARY))
    assert (reply.text, reply.model_id) == (policy.NOTHING_TO_SAY, policy.MODEL_ID)


def test_it_is_not_shown_while_it_grows_either(store: ConversationStore) -> None:
    shown: list[str] = []
    dialogue = DialogueManager(FixedSlot(CandidatesEngine(CANARY, HARMLESS)), store)
    dialogue.respond("other", "Where is it?", person="telegram:2", wishes=Wishes(on_text=shown.append))
    assert shown[-1] == "the spare key lies under"


def test_what_a_person_stopped_is_looked_at_too(store: ConversationStore) -> None:
    class CutEngine(CandidatesEngine):
        def reply(self, request: ReplyRequest) -> Reply:
            return replace(super().reply(request), candidates=(), is_cut=True)

    assert ask(store, CutEngine(CANARY)).text == ""
    assert ask(store, CutEngine(HARMLESS)).text == HARMLESS


def test_a_model_that_learned_from_nobody_is_not_looked_at(store: ConversationStore) -> None:
    assert ask(store, CandidatesEngine(CANARY, has_learned=False)).text == CANARY


def test_why_says_that_a_candidate_was_ruled_out_and_does_not_show_it(store: ConversationStore) -> None:
    reply = ask(store, CandidatesEngine(CANARY, HARMLESS, "Maybe."))
    shown = describe(reply.text, record_of(reply), None)
    assert f"ruled out: {RULED_OUT}" in shown
    assert "spare key" not in shown
    assert "Maybe." in shown


def test_the_words_are_not_stored_with_the_reply(store: ConversationStore) -> None:
    ask(store, CandidatesEngine(CANARY, HARMLESS))
    (_, answer) = store.turns("other")
    assert answer.reply is not None
    assert [candidate["text"] for candidate in answer.reply.candidates] == [HARMLESS, ""]


def test_erased_words_are_in_no_index_that_is_made_afterwards(store: ConversationStore) -> None:
    assert len(RunIndex(store.voices.all_said())) > 0
    store.delete_person("telegram:1")
    assert len(RunIndex(store.voices.all_said())) == 0


def test_imported_chats_are_the_owners_and_nobody_elses() -> None:
    index = RunIndex([Said("imported:chat/Bo", "chat", CANARY)])
    assert index.is_private(CANARY, ["telegram:2"], "other", ())
    assert not index.is_private(CANARY, ["terminal:ada", "imported:chat/Bo"], "other", ())

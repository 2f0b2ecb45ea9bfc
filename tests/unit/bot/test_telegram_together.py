from __future__ import annotations

from concurrent.futures import Future

from bot.engine import Reply, ReplyRequest
from bot.messenger.together import BatchedSlot
from seq2seq.config import DecodingConfig
from tests.fakes import FixedSlot, ScriptedEngine


class WaitingEngine(ScriptedEngine):
    """An engine whose replies come when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Future[Reply]] = []

    def submit(self, request: ReplyRequest) -> Future[Reply]:
        self.requests.append(request)
        self.waiting.append(Future())
        return self.waiting[-1]


def candidates(engine: WaitingEngine) -> list[int]:
    return [request.decoding.candidates for request in engine.requests if request.decoding is not None]


def test_the_more_replies_are_under_way_the_fewer_candidates_each_has() -> None:
    inner = WaitingEngine()
    slot = BatchedSlot(FixedSlot(inner))
    for number in range(32):
        slot.engine_for(["hi"]).submit(ReplyRequest([f"hi {number}"]))
    assert candidates(inner) == [24, 24, 21, 16, 12, 10, 9, 8, 7, 6, 5, 5, 4, 4, 4, 4, *[3] * 5, *[2] * 11]
    for reply in inner.waiting:
        reply.set_result(Reply("", "m1", "rank", 0, 0, 0.0))
    slot.engine.submit(ReplyRequest(["hi again"]))
    assert candidates(inner)[-1] == 24, "replies that came are no load any more"


def test_what_was_asked_for_is_never_made_more_and_other_strategies_stay_as_they_are() -> None:
    inner = WaitingEngine()
    slot = BatchedSlot(FixedSlot(inner))
    slot.engine.submit(ReplyRequest(["hi"], DecodingConfig(candidates=2)))
    for _ in range(20):
        slot.engine.submit(ReplyRequest(["hi"], DecodingConfig(strategy="sample")))
    assert candidates(inner) == [2, *[24] * 20]

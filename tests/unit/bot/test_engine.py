from __future__ import annotations

import threading

from bot.engine import EchoEngine, ReplyRequest, new_seed


def test_the_echo_says_the_newest_turn_back() -> None:
    reply = EchoEngine().reply(ReplyRequest(["old", "say  this\nback"], seed=3))
    assert (reply.text, reply.model_id, reply.seed, reply.tokens) == ("say this back", "echo", 3, 3)
    assert [candidate.text for candidate in reply.candidates] == ["say this back"]


def test_the_echo_writes_word_by_word_and_can_be_stopped() -> None:
    shown: list[str] = []
    reply = EchoEngine().reply(ReplyRequest(["a b c"], on_text=shown.append, is_cancelled=lambda: len(shown) == 2))
    assert shown == ["a", "a b"]
    assert (reply.text, reply.is_cut) == ("a b", True)


def test_echoes_wait_side_by_side() -> None:
    engine, barrier = EchoEngine(), threading.Barrier(3, timeout=20)
    waiting = [
        engine.submit(ReplyRequest([text], on_text=lambda _: (barrier.wait(), None)[1])) for text in ("a", "b", "c")
    ]
    assert [future.result(timeout=20).text for future in waiting] == ["a", "b", "c"]


def test_a_new_seed_is_drawn_each_time_and_fits_any_json_reader() -> None:
    seeds = {new_seed() for _ in range(50)}
    assert len(seeds) > 40
    assert all(0 <= seed < 2**53 for seed in seeds)

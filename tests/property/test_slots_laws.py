from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.runtime import Memory, State
from seq2seq.slots import GoingOn, Slots

Row = tuple[int, int]  # the token read last, and the number of the row's state


def memory_of(job: int) -> Memory:
    return Memory(
        np.full((1, 3, 2), job, np.float32), np.full((1, 3, 2), -job, np.float32), np.ones((1, 3), np.float32)
    )


def state_of(numbers: list[int]) -> State:
    hidden = np.array(numbers, np.float32).reshape(1, -1, 1).repeat(2, axis=0)
    return State(hidden, -hidden)


@given(st.data())
def test_every_row_keeps_what_is_its_own_whoever_joins_multiplies_or_leaves(data: st.DataObject) -> None:
    slots = Slots()
    jobs: dict[int, np.ndarray] = {}
    expected: dict[int, list[Row]] = {}
    fresh = 0
    for moment in range(data.draw(st.integers(1, 8))):
        for _ in range(data.draw(st.integers(0, 3))):
            fresh += 1
            rows = data.draw(st.integers(1, 5))
            jobs[fresh] = slots.add(memory_of(fresh), state_of([fresh]), rows, moment)
            expected[fresh] = [(moment, fresh)] * rows
        going_on, after, numbers = [], {}, [0] * slots.count
        for job, places in jobs.items():
            for n, place in enumerate(places):
                numbers[place] = 1000 * moment + 100 * n + job  # what the step makes of each row's state
            parents = data.draw(st.lists(st.integers(0, len(places) - 1), max_size=7))
            if parents:
                tokens = np.array([10 * moment + n for n in range(len(parents))])
                going_on.append(GoingOn(places, places[np.array(parents)], tokens))
                after[job] = [(int(t), 1000 * moment + 100 * n + job) for t, n in zip(tokens, parents, strict=True)]
        if not after:
            slots.clear()
            jobs, expected = {}, {}
            continue
        jobs = dict(zip(after, slots.follow(state_of(numbers), going_on), strict=True))
        expected = after
        assert slots.count == sum(map(len, jobs.values())) == len(set(np.concatenate(list(jobs.values())).tolist()))
        assert slots.state is not None
        for job, places in jobs.items():
            found = [(int(slots.tokens[place]), int(slots.state.hidden[0, place, 0])) for place in places]
            assert found == expected[job]
            for place in places:
                assert (slots.memory.keys[place] == job).all()
                assert (slots.memory.values[place] == -job).all()
                assert slots.state.cell[1, place, 0] == -slots.state.hidden[1, place, 0]

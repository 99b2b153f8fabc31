"""The few-shot sampler: the CoOp algorithm, checked against known subsets and its properties."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from promptbench.data.fewshot import half_of, sample

labels = st.lists(st.integers(0, 6), min_size=1, max_size=120)


@given(labels, st.integers(1, 20), st.integers(0, 5))
def test_takes_shots_of_each_class_or_all_it_has(rows: list[int], shots: int, seed: int) -> None:
    chosen = sample(rows, shots, seed)
    assert len(set(chosen)) == len(chosen)
    sizes, taken = Counter(rows), Counter(rows[i] for i in chosen)
    assert all(taken[label] == min(size, shots) for label, size in sizes.items())


@given(labels, st.integers(1, 20))
def test_classes_come_in_order_of_first_appearance(rows: list[int], shots: int) -> None:
    order = list(dict.fromkeys(rows[i] for i in sample(rows, shots, 1)))
    assert order == list(dict.fromkeys(rows))


def test_one_stream_runs_through_all_classes() -> None:
    rows = [3] * 10 + [1] * 2 + [2] * 10
    stream = random.Random(7)
    expected = [*stream.sample(range(10), 4), 10, 11, *stream.sample(range(12, 22), 4)]
    assert sample(rows, 4, 7) == expected


def test_known_subset() -> None:
    """Frozen: a change of Python's generator or of the algorithm must not pass unseen."""
    assert sample([0] * 8 + [1] * 8, 3, 1) == [2, 4, 0, 12, 8, 11]


@given(st.integers(2, 1000))
def test_halves_cover_all_classes_once(n: int) -> None:
    base, new = half_of(n, "base"), half_of(n, "new")
    assert [*base, *new] == list(half_of(n, "all"))
    assert len(base) - len(new) in (0, 1)

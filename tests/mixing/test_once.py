"""What is found out about a record once, for as long as it lives."""

from __future__ import annotations

import gc

from promptbench import mixing
from promptbench.records import Record, once
from tests.made_records import record


def test_each_record_is_looked_at_once_and_copies_by_themselves() -> None:
    looked: list[str] = []

    @once
    def seen(r: Record) -> int:
        looked.append(r.preset)
        return len(looked)

    first = record()
    assert [seen(first), seen(first)] == [1, 1]
    other = first.model_copy(update={"preset": "other"})
    assert [seen(other), seen(first), seen(other)] == [2, 1, 2]
    assert looked == [first.preset, "other"]


def test_a_record_in_the_place_of_another_is_looked_at() -> None:
    sizes = once(lambda r: r.seed)
    for seed in range(200):  # memory is used again, and with it identities
        assert sizes(record().model_copy(update={"seed": seed})) == seed
        gc.collect(0)


def test_records_that_say_the_same_share_what_they_say() -> None:
    first, other = record(), record().model_copy(update={"seed": 7})
    assert mixing.agreements(first) is mixing.agreements(other)
    changed = first.model_copy(update={"training": first.training.model_copy(update={"epochs": 9})})
    assert mixing.agreements(changed) != mixing.agreements(first)

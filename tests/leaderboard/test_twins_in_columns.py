"""Nearly equal records are found in columns; no pair is lost that a look at each pair finds."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from promptbench.leaderboard.checking import twins
from promptbench.leaderboard.checking.cells import Entry
from promptbench.mixing.outlines import with_confusions
from promptbench.records import SCHEMA
from promptbench.records.confusion_sums import packed, summed, sums_of, unpacked
from tests.made_records import record

CLASSES, EACH = 5, 40


def entry(seed: int, table: np.ndarray) -> Entry:
    """A record of which all confusions are known; `table` is (classes, classes)."""
    target = record().targets[0].model_dump() | {
        "correct": table.diagonal().tolist(),
        "total": table.sum(axis=1).tolist(),
        "confusions": {f"{i}:{j}": int(n) for (i, j), n in np.ndenumerate(table) if n and i != j},
    }
    made = record(seed=seed, schema_version=SCHEMA, targets=[target])
    return Path(f"{seed}"), made


@pytest.fixture
def entries() -> list[Entry]:
    """Drawn tables, and some of them again with a few images moved."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(CLASSES) * 2, size=CLASSES)
    tables = [np.stack([rng.multinomial(EACH, p) for p in shares]) for _ in range(30)]
    for moved in range(8):
        table = tables[moved].copy()
        for _ in range(moved):
            i, j = np.argwhere(table > 0)[rng.integers((table > 0).sum())]
            table[i, j] -= 1
            table[i, (j + 1) % CLASSES] += 1
        tables.append(table)
    return [entry(seed, table) for seed, table in enumerate(tables, 1)]


def test_no_pair_is_lost(entries: list[Entry]) -> None:
    places = range(len(entries))
    wanted = {
        (i, j)
        for i, j in itertools.combinations(places, 2)
        if twins._moved(entries[i], entries[j]) <= twins._most(entries[i][1], entries[j][1])
    }
    near = list(twins._near(entries, list(places)))
    assert len(wanted) >= 6
    assert wanted <= set(near)
    assert len(near) < len(entries) * 2  # of 703 pairs few are looked at one by one
    assert near == sorted(near)


def test_what_many_records_share_is_compared_by_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Methods learn from the same few shots: each is compared with the kinds of records that have
    them, not with every record, and every pair of other seeds is found."""
    seeds = [1] * 40 + [2] * 3 + [1] * 2
    same = [(Path(f"{n}"), record(seed=seed)) for n, seed in enumerate(seeds)]
    asked: list[int] = []
    look = twins._may_be_equal
    monkeypatch.setattr(twins, "_may_be_equal", lambda a, b: asked.append(1) or look(a, b))
    found = [(i, j) for i, j, what in twins._with_equal_facts(same) if what == "few-shot images"]
    places = range(len(seeds))
    wanted = [(i, j) for j in places for i in range(j) if seeds[i] != seeds[j]]
    assert found == wanted
    facts = len(list(twins._facts(same[0][1])))
    assert len(asked) <= 2 * facts * len(seeds)  # of two seeds; one by one they were 990 each


def test_sums_of_confusions_that_an_outline_was_told_are_those_of_the_whole_table(
    entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are remembered with it, so that no record is read again for them."""
    expected = [twins._sums(each).tolist() for each in entries]
    monkeypatch.setattr(twins, "_confusions", lambda *_: pytest.fail("a record was read"))
    monkeypatch.setattr(twins, "digests", with_confusions)  # as an outline has them
    assert [twins._sums(each).tolist() for each in entries] == expected
    assert len({tuple(sums) for sums in expected}) > 30 and sum(expected[0]) == EACH * CLASSES


def test_records_that_leave_confusions_out_tell_no_sums() -> None:
    plain = record()  # of schema 1, which has none
    assert sums_of(plain.targets) is None and with_confusions(plain).confusions == ""
    many = {"confusions": {}, "correct": [1] * 201, "total": [1] * 201}
    some = [record().targets[0].model_copy(update=many)]
    assert sums_of(some) is None
    sums = summed(Counter({("a", 0, 1): 70_000, ("b", 3, 3): 2}))
    assert unpacked(packed(sums)).tolist() == sums.tolist() and sums.sum() == 70_002
    assert summed(Counter({("a", 0, 1): 2**40})).max() == 2**31 - 1

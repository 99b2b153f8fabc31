"""Records sorted into tables and rows, each of which means one thing."""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from promptbench.core.selection import USUAL
from promptbench.mixing.facts import (
    Facts,
    Key,
    Role,
    agreements,
    as_json,
    distinct,
    shots_together,
    stated,
    table_of,
)
from promptbench.records import Record, once_for_alike


class Variant(NamedTuple):
    """What a row stands for. `stored`: pixels to which its images were made smaller; `apart`: a
    digest of what its records agree on, where others of the same variant say otherwise. `preset`
    stands for all presets of its records, where these are one in fact (see `rows`)."""

    method: str
    inference: str
    preset: str
    overrides: tuple[str, ...]
    limit: int
    stored: tuple[int, ...] = ()
    paradigm: str = ""
    provider: str = ""
    title: str = ""
    apart: str = ""
    selection: str = USUAL

    @property
    def usual(self) -> bool:
        """Whether it is the method as published: nothing is changed, all images count, and the last
        epoch is scored."""
        return self[2:6] == ("paper", (), 0, ()) and self.selection == USUAL


@once_for_alike
def variant_of(r: Record) -> Variant:
    """What a record's row stands for, as far as the record itself shows: all facts of role ROW."""
    facts = dict(stated(r, Role.ROW))
    own = {path.rpartition(".")[2]: value for (path, scope), value in facts.items() if not scope}
    stored = {value for (_, scope), value in facts.items() if scope and value is not None}
    own |= {
        "method": own.pop("name"),
        "overrides": tuple(sorted(own["overrides"])),
        "limit": own["limit"] or 0,
        "stored": tuple(sorted(stored)),
    }
    return Variant(**own)


def tables(records: Iterable[Record]) -> list[list[Record]]:
    """Records that may share a table, see `table_of`; in the order in which they come. Trials of a
    search have scored nothing, and stand in none."""
    found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    together = functools.cache(shots_together)  # many records name the same few protocols
    known: dict[int, tuple[Any, ...]] = {}  # by likeness: no seed changes a table
    for record in records:
        if not record.is_trial:
            kind = id(record.likeness)
            if kind not in known:
                known[kind] = tuple(table_of(record, together).values())
            found[known[kind]].append(record)
    return list(found.values())


def rows(records: Iterable[Record]) -> dict[Variant, list[Record]]:
    """The records of each row of a table.

    Presets that are one in fact share a row, under the first of them: those of a method that learns
    nothing, and those that led to the same trainings on the same sources. Records of one variant
    share a row unless they contradict each other. Where they do, each row
    holds records that do not: whole seeds as far as possible, the oldest first; a record that none
    of several rows of its seed contradicts stands in all of them.
    """
    of_variant: dict[Variant, list[Record]] = defaultdict(list)
    for record in records:
        of_variant[variant_of(record)].append(record)
    found = {}
    for variant, own in _one_per_setting(of_variant).items():
        for digest, members in _consistent_rows(own):
            found[variant._replace(apart=digest)] = members
    return found


def latest(records: Iterable[Record]) -> list[Record]:
    """The records of a table without those that newer ones of the same cell of a row replace,
    oldest first.

    A newer record that has scored fewer targets leaves the older one in place for the others.
    """
    given = list(records)
    kept = {id(r) for row in rows(given).values() for r in _latest_of_row(row)}
    return [r for r in sorted(given, key=_age, reverse=True)[::-1] if id(r) in kept]


def _latest_of_row(row: Sequence[Record]) -> list[Record]:
    kept: list[Record] = []
    scored: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for r in sorted(row, key=_age, reverse=True):  # all presets stay: they say what is one
        of_cell = scored[(r.preset, *_source(r), r.seed)]
        targets = {target.key for target in r.targets}
        if not targets <= of_cell:
            kept.append(r)
            of_cell |= targets
    return kept


def _age(r: Record) -> str:
    return r.created


# --- presets that are one in fact -----------------------------------------------------------------


PAPER = "paper"  # the preset that a method is published with
Piles = dict[Variant, list[Record]]


def _one_per_setting(of_variant: Piles) -> Piles:
    """Variants whose presets are one in fact as one variant, under the papers' preset if it is
    among them."""
    found: Piles = {}
    beside: dict[Variant, list[Variant]] = defaultdict(list)  # of one but for the preset
    for variant, own in sorted(of_variant.items(), key=lambda item: item[0].preset != PAPER):
        others = beside[variant._replace(preset="")]
        known = next((other for other in others if _is_one(found[other], own)), None)
        if known is not None:
            found[known] += own
            continue
        named = variant._replace(preset=PAPER) if not others and learns_nothing(own) else variant
        found[named] = list(own)
        others.append(named)
    return found


def _is_one(one: Sequence[Record], other: Sequence[Record]) -> bool:
    """Whether records of two presets come from the same settings: nothing is learned, by the same
    parameters; or all sources are the same, and on each a seed of both has the same training.

    What a search has chosen stays apart: its trials are a fact of its own.
    """
    if learns_nothing([*one, *other]):
        return len({as_json(r.method.parameters) for r in (*one, *other)}) == 1
    if any(r.tuning is not None for r in (*one, *other)):
        return False
    first, second = ({(*_source(r), r.seed): r.training_id for r in side} for side in (one, other))
    both = first.keys() & second.keys()
    sources = {_source(r) for r in (*one, *other)}
    return sources == {place[:-1] for place in both} and all(
        first[place] == second[place] for place in both
    )


def learns_nothing(records: Iterable[Record]) -> bool:
    """Whether records are of a method that has no settings which a preset could choose."""
    return all(r.method.paradigm == "zero-shot" for r in records)


def _source(r: Record) -> tuple[str, str, int]:
    return r.source.dataset, r.source.classes, r.source.shots


# --- records of one variant that contradict each other ------------------------------------------


Pile = tuple[dict[Key, str], list[Record]]  # what its records say together, without contradiction


def _consistent_rows(own: list[Record]) -> list[tuple[str, list[Record]]]:
    said = [agreements(r) for r in own]
    contested = _contested(said)
    if not contested:
        return [("", own)]
    some: list[Pile] = [
        ({k: v for k, v in facts.items() if k in contested}, [r])
        for facts, r in zip(said, own, strict=True)
    ]
    by_seed: dict[int, list[Pile]] = defaultdict(list)
    for pile in sorted(some, key=_place):
        by_seed[pile[1][0].seed].append(pile)
    whole = [pile for seed in sorted(by_seed) for pile in _of_seed(by_seed[seed])]
    order = {id(r): i for i, r in enumerate(own)}
    return [
        (_digest(facts), sorted(members, key=lambda r: order[id(r)]))
        for facts, members in _piled(sorted(whole, key=_place))
    ]


def _contested(said: Sequence[Facts]) -> set[Key]:
    first: dict[Key, str] = {}
    return {
        key for facts in distinct(said) for key, v in facts.items() if first.setdefault(key, v) != v
    }


def _of_seed(piles: Sequence[Pile]) -> list[Pile]:
    """The records of one seed in consistent piles; what fits several of them is in each."""
    found = []
    for facts, _ in _piled(piles):
        members: list[Record] = []
        for own, (record,) in piles:
            if _fits(facts, own):
                facts.update(own)
                members.append(record)
        found.append((facts, members))
    return found


def _piled(piles: Sequence[Pile]) -> list[Pile]:
    """Piles put together: each on the first that it does not contradict."""
    found: list[Pile] = []
    for facts, members in piles:
        for known, others in found:
            if _fits(known, facts):
                known.update(facts)
                others += [r for r in members if not any(r is other for other in others)]
                break
        else:
            found.append((dict(facts), list(members)))
    return found


def _fits(known: Facts, facts: Facts) -> bool:
    return all(known.get(key, value) == value for key, value in facts.items())


def _place(pile: Pile) -> tuple[str, int, str, str]:
    """Oldest first; whatever the order in which records come."""
    r = min(pile[1], key=lambda r: (r.created, r.cell_id))
    return r.created, r.seed, r.cell_id, as_json(sorted(pile[0].items()))


def _digest(facts: Facts) -> str:
    return hashlib.sha256(as_json(sorted(facts.items())).encode()).hexdigest()

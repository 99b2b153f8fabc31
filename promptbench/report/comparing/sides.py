"""The sides of a comparison: which records a name or a folder stands for, and what they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from promptbench import mixing
from promptbench.core.registry import METHODS, SELECTIONS
from promptbench.core.selection import USUAL, recorded
from promptbench.errors import UserError, unknown
from promptbench.mixing import Variant
from promptbench.records import Record
from promptbench.report import gather
from promptbench.report.titles import titles
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

# The records of places by path; all of them can be read.
Read = Callable[[tuple[Path, ...]], Mapping[Path, Record]]
_INFERENCE = ("unified", "decoupled")
_MOST_PLACES = 4  # that are named of a side


def select(
    side: str,
    places: Sequence[Path],
    protocol: str | None = None,
    suite: str | None = None,
    preset: str = "paper",
    shots: Collection[int] | None = None,
    read: Read | None = None,
) -> dict[Path, Record]:
    """The records of one side, by path: a folder of one variant's records, or a method among
    `places`, which are `read`, by default wholly.

    A method stands for its row without changed settings and limit, selected by its protocol's rule,
    if there is one. Behind it may stand an inference rule and a selection rule: `coop:validation`.

    Raises:
        UserError: nothing found, or more than one variant.
    """
    name, *rules = side.split(":")
    as_folder = Path(side).exists()
    paths = (Path(side),) if as_folder else tuple(places)
    by_path = (read or _read)(paths)
    everything = list(by_path.values())
    found = [
        r
        for r in everything
        if protocol in (None, r.protocol.name)
        and suite in (None, r.suite)
        and (shots is None or r.source.shots in shots)
    ]
    if not as_folder:
        inference, selected = _rules_of(rules)
        wanted = (name, inference or "unified")
        found = [r for r in found if (r.method.name, r.inference) == wanted]
        found = [r for r in found if r.preset == preset or mixing.learns_nothing([r])]
        found = [r for r in found if selected in (None, r.protocol.selection)]
    if not found:
        where = side if as_folder else ", ".join(map(str, places))
        if not as_folder:
            _refuse_unknown(name, [r.method.name for r in everything])
        there = _kinds([r for r in everything if as_folder or r.method.name == name])
        raise UserError(
            f"no records of {side!r} with these options under {where}"
            + (f"; there are some of {there}" if there else "")
        )
    if not as_folder:
        found = [r for r in found if not any(mixing.variant_of(r)[3:6])] or found
        if selected is None:
            found = [r for r in found if r.protocol.selection == USUAL] or found
    variants = _rows(found)
    if len(variants) > 1:
        rows = "; ".join(sorted(map(printable, titles(variants))))
        raise UserError(
            f"{side!r} stands for several rows: {rows}; "
            "name a folder that holds the records of one of them"
        )
    chosen = {id(r) for r in found}
    return {path: r for path, r in by_path.items() if id(r) in chosen}


def _read(places: tuple[Path, ...]) -> dict[Path, Record]:
    return gather.read(places, refuse=gather.anything).all()


def _kinds(records: Sequence[Record]) -> str:
    """What options of `select` records differ in: protocol, suite, preset and rules."""
    kinds = dict.fromkeys(
        f"{r.protocol.name} (suite {r.suite}, {r.source.shots} shots, preset {r.preset}, "
        f"{r.inference}, {r.protocol.selection})"
        for r in records
    )
    return printable("; ".join(kinds))


def _rows(records: Sequence[Record]) -> list[list[Record]]:
    """The rows of records; one that stands in several tables counts once."""
    found: dict[Variant, list[Record]] = defaultdict(list)
    for table in mixing.tables(records):
        for variant, own in mixing.rows(table).items():
            found[variant] += own
    return list(found.values())


def _rules_of(named: Sequence[str]) -> tuple[str | None, str | None]:
    """The inference rule and what records call the selection rule, of names behind a method's."""
    inference = selected = None
    for name in named:
        if name in _INFERENCE:
            inference = name
        elif name in SELECTIONS.names():
            selected = recorded(SELECTIONS.load(name))
        elif name:
            known = [*_INFERENCE, *SELECTIONS.names()]
            raise unknown("inference or selection rule", name, known)
    return inference, selected


def _refuse_unknown(method: str, recorded: Sequence[str]) -> None:
    if method not in (known := [*METHODS.names(), *recorded]):
        raise unknown("method or folder", method, known)


def places(records: Sequence[Record]) -> str:
    """Return what records were made of: protocols with their datasets, shots and seeds."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for r in sorted(records, key=lambda r: r.seed):
        what = f"{r.protocol.name} on {r.source.dataset}, {counted(r.source.shots, 'shot')}"
        seeds[what].append(r.seed)
    said = [
        f"{what}, seed{'s' * (len(set(own)) > 1)} {', '.join(map(str, dict.fromkeys(own)))}"
        for what, own in sorted(seeds.items())
    ]
    more = [f"and {len(said) - _MOST_PLACES} more"] if len(said) > _MOST_PLACES else []
    return printable("; ".join([*said[:_MOST_PLACES], *more]))

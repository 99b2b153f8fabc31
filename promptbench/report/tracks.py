"""Which rows may be compared: what a method may learn from besides its few labelled images, what
its settings were chosen by, and which of a training's states is scored.

Rows that differ in one of these share neither marks, ranks, leaders, differences to papers nor a
diagram of ranks. Whoever orders rows asks `fields`; what else keeps rows apart (weights, precision,
protocol, images) is decided before, by `promptbench.mixing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from promptbench.core.registry import BUILT_IN
from promptbench.core.selection import USUAL
from promptbench.core.traits import CLASS_TEXTS
from promptbench.mixing import learns_nothing
from promptbench.records import Record
from promptbench.report import published
from promptbench.support.prose import counted

INDUCTIVE = "inductive"
LLM_TEXT = "LLM text"
OTHER = "other data"
TRACKS = {
    INDUCTIVE: "only the few labelled images and the class names",
    LLM_TEXT: "also texts of a language model about the classes, or attributes that it found",
    "teacher": "also a larger model, on images without labels",
    "transductive": "also the test images, without labels",
    OTHER: "also data of another kind, or it is not stated",
}


PAPER = "paper"  # settings as papers have them, whatever they were chosen by
ANY: tuple[str, ...] = ()  # the settings of a method that has none: it competes with all


class Conditions(NamedTuple):
    """Under what rows compete: what a method may learn from, what its settings were chosen by,
    which of a training's states is scored, and what is unusual about weights and precision."""

    track: str
    settings: str = PAPER
    selection: str = USUAL
    around: str = ""


class Entrant(Protocol):
    """What is asked of a row: `settings` are all ways by which its settings were chosen, `ANY` for
    a method that learns nothing; a row that does not compete knows or scores what others do not."""

    @property
    def track(self) -> str: ...
    @property
    def settings(self) -> tuple[str, ...]: ...
    @property
    def selection(self) -> str: ...
    @property
    def around(self) -> str: ...
    @property
    def competes(self) -> bool: ...


class Side(NamedTuple):
    """The records of a row, as an `Entrant`."""

    track: str
    settings: tuple[str, ...]
    selection: str
    around: str = ""
    competes: bool = True


def side_of(records: Sequence[Record]) -> Side:
    """Return by what a row of these records competes."""
    settings = dict.fromkeys(each for record in records for each in settings_of(record))
    return Side(of_record(records[0]), tuple(settings), records[0].protocol.selection)


def fields(rows: Sequence[Entrant]) -> dict[Conditions, list[int]]:
    """Return which rows may be compared with each other, by number, under each conditions that a
    row has: track by track, settings as papers have them first, then one choice for all datasets,
    then those of searches.

    A method that learns nothing competes in all fields of its track, and makes one of its own only
    where nothing else competes there.
    """
    found = {
        Conditions(row.track, settings, row.selection, row.around)
        for row in rows
        for settings in row.settings
        if row.competes
    }
    tracked = {(each.track, each.around) for each in found}
    found |= {
        Conditions(row.track, around=row.around)
        for row in rows
        if row.competes and (row.track, row.around) not in tracked
    }
    made: dict[Conditions, list[int]] = {}
    for under in sorted(found, key=_place):
        members = [i for i, row in enumerate(rows) if _takes_part(row, under)]
        if members not in made.values():  # presets of all rows may be one in fact
            made[under] = members
    return made


def homes(found: dict[Conditions, list[int]]) -> dict[int, Conditions]:
    """Return the field that a row has its own marks and its own rank in, by the row's number: the
    first one. In others, what is best there may be hindered by it."""
    first: dict[int, Conditions] = {}
    for under, members in found.items():
        for row in members:
            first.setdefault(row, under)
    return first


def alike(one: Entrant, other: Entrant) -> bool:
    """Return whether two rows of one table learn from the same, by settings that were chosen alike
    and one selection rule, whatever else one of them knows."""
    if one.track != other.track:
        return False
    if ANY in (one.settings, other.settings):
        return True  # nothing is learned, so that nothing is selected
    return one.selection == other.selection and not set(one.settings).isdisjoint(other.settings)


def _takes_part(row: Entrant, under: Conditions) -> bool:
    if not row.competes or (row.track, row.around) != (under.track, under.around):
        return False
    return row.settings == ANY or (
        under.settings in row.settings and row.selection == under.selection
    )


def _place(own: Conditions) -> tuple[int, str, int, str, bool, str]:
    rule = (own.selection != USUAL, own.selection)
    return place(own.track), own.around, _place_of(own.settings), own.settings, *rule


def place_of_row(row: Entrant) -> tuple[int, str, bool, str]:
    """Return where a row stands among others of its track: by its settings, then by its rule."""
    first = min(((_place_of(each), each) for each in row.settings), default=(0, PAPER))
    rule = row.selection if row.settings != ANY and row.selection != USUAL else ""
    return *first, bool(rule), rule  # what learns nothing stands among the papers' settings


def _place_of(settings: str) -> int:
    """Those of papers, then one choice for all datasets, then those of searches."""
    known = (PAPER, "unified")
    return known.index(settings) if settings in known else len(known)


def settings_of(record: Record) -> tuple[str, ...]:
    """Return what a record's settings were chosen by: a paper, one choice for all datasets
    (unified), or a search, which only searches of the same budget, rule and seeds equal.

    A method that learns nothing has no settings to choose.
    """
    info = record.tuning
    if learns_nothing([record]):
        return ANY
    if info is None:
        return (record.preset,)
    spent = f"{counted(info.budget, 'trial')} on {counted(len(info.seeds), 'seed')}"
    return (f"equal budget: {spent}, {info.engine}, {info.rule}",)


def called(under: Conditions, among: Iterable[Conditions], short: bool = True) -> str:
    """Return conditions in words, the track first; settings as papers have them, scored after the
    last epoch, are said only beside others. A `short` name leaves out what no other one of `among`
    has otherwise: engine and rule of a search."""
    every = list(among)
    plain = {(each.settings, each.selection) for each in every} <= {(PAPER, USUAL)}
    name = short_settings(under.settings)
    alike = {each.settings for each in every if short_settings(each.settings) == name}
    if len(alike) > 1 or not short:
        name = long_settings(under.settings)
    rule = "" if under.selection == USUAL else under.selection
    track = under.track if short else TRACKS[under.track]
    parts = (track, under.around, "" if plain else name, rule)
    return (", " if short else "; ").join(filter(None, parts))


def described(row: Entrant) -> str:
    """Return by what a row competes, in words."""
    settings = " and ".join(map(long_settings, row.settings)) or "no settings"
    rule = "" if row.settings == ANY else row.selection
    return ", ".join(filter(None, (row.track, settings, rule)))


def short_settings(settings: str) -> str:
    """Return what settings were chosen by, without engine and rule."""
    return settings.partition(", ")[0] if ": " in settings else f"{settings} settings"


def long_settings(settings: str) -> str:
    """Return what settings were chosen by, in full."""
    return settings if ": " in settings else f"{settings} settings"


def place(track: str) -> int:
    """Return where a track stands among the others: what uses least comes first."""
    return list(TRACKS).index(track)


def of_record(record: Record) -> str:
    """Return the track of a record's method: that of its paper, or what it says itself; texts about
    the classes, whoever wrote them, count as a language model's.

    A method of others that does not say that it learns from nothing else is not inductive, whatever
    its name.
    """
    own = record.method
    printed = published.methods().get(own.name)
    if printed is not None and printed.track != INDUCTIVE:
        return printed.track
    if own.extra_data == CLASS_TEXTS:
        return LLM_TEXT
    return INDUCTIVE if own.extra_data == "none" or own.provider == BUILT_IN else OTHER

"""Tracks: what a method may learn from besides its few labelled images, and what its settings were
chosen by.

Numbers of different tracks do not compete: they share neither marks, ranks nor differences.
"""

from __future__ import annotations

from promptbench.core.registry import BUILT_IN
from promptbench.core.traits import CLASS_TEXTS
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
ANY_SETTINGS = ""  # of a method that has none: it competes with all


def settings_of(record: Record) -> str:
    """Return what a record's settings were chosen by: a paper, one choice for all datasets
    (unified), or a search, which only searches of the same budget, rule and seeds equal.

    A method that learns nothing has no settings to choose.
    """
    info = record.tuning
    if record.method.paradigm == "zero-shot":
        return ANY_SETTINGS
    if info is None:
        return record.preset
    spent = f"{counted(info.budget, 'trial')} on {counted(len(info.seeds), 'seed')}"
    return f"equal budget: {spent}, {info.engine}, {info.rule}"


def short_settings(settings: str) -> str:
    """Return what settings were chosen by, without engine and rule."""
    return settings.partition(", ")[0] if ": " in settings else f"{settings} settings"


def place_of_settings(settings: str) -> int:
    """Return where settings stand among others: those of papers, then one choice for all datasets,
    then those of searches."""
    known = (PAPER, "unified")
    return known.index(settings) if settings in known else len(known)


def compete(one: str, other: str) -> bool:
    """Return whether settings chosen by these may share a ranking."""
    return one == other or ANY_SETTINGS in (one, other)


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

"""Tables of what there is, for `promptbench ls`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from promptbench.catalogue.prepared import state_of
from promptbench.config import suites
from promptbench.core.metric import NEEDS
from promptbench.core.registry import (
    ANALYSES,
    BUILT_IN,
    EXECUTORS,
    FORMATS,
    METHODS,
    METRICS,
    PROTOCOLS,
    SELECTIONS,
    TRACKERS,
    Registry,
)
from promptbench.core.traits import has_decoupled_inference
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import presets
from promptbench.models.capabilities import OFFERS
from promptbench.planning import grids


def table(what: str, backbone: str | None = None) -> Table:
    """The table of `promptbench ls`.

    Args:
        backbone: of methods, an architecture of which the table says which run on it.

    Raises:
        UserError: a backbone that there is not, or in a table that is not of methods.
    """
    if backbone and what != "methods":
        raise UserError(f"--backbone is for ls methods: {what} do not depend on the backbone")
    makers: Mapping[str, Callable[[], Table]] = {
        "methods": partial(_methods, backbone),
        "protocols": _protocols,
        "metrics": _metrics,
        "executors": _executors,
        "selections": _selections,
        "trackers": _trackers,
        "datasets": datasets,
        "suites": _suites,
        "weights": _weights,
        "grids": _grids,
        "analyses": _analyses,
        "formats": _formats,
    }
    return makers[what]()


def _view(first: str, *others: str) -> Table:
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_justify="left")
    view.add_column(first, no_wrap=True, style="bold")
    for heading in others:  # what does not fit is folded, never cut
        view.add_column(heading, overflow="fold")
    return view


def _methods(backbone: str | None = None) -> Table:
    facts: dict[str, Callable[[Any], str]] = {
        "title": lambda cls: cls.title,
        "paper": lambda cls: cls.paper,
        "paradigm": lambda cls: cls.paradigm,
        "inference": lambda cls: "both" if has_decoupled_inference(cls) else "unified",
    }
    if backbone is None:
        return _plugins(METHODS, facts)
    return _methods_on(backbone, facts)


def _methods_on(backbone: str, facts: Mapping[str, Callable[[Any], str]]) -> Table:
    """The methods, which of them run on a backbone, and what the others need that it lacks."""
    absent: set[str] = set()

    def runs(cls: Any) -> str:
        lacking = backbones.lacking_in(backbone, cls.needs)
        absent.update(lacking)
        return f"no: {', '.join(lacking)}" if lacking else "yes"

    backbones.architecture(backbone)  # or the error is of the backbone, not of every method
    kept = {name: facts[name] for name in ("title", "paradigm")}
    view = _plugins(METHODS, {f"on {backbone}": runs, **kept})
    lines = [f"{name}: {OFFERS[name]}" for name in OFFERS if name in absent]
    if others := backbones.offering(absent) if absent else []:
        lines.append(f"backbones that offer all of this: {', '.join(others)}")
    view.caption = "\n".join(filter(None, (escape("\n".join(lines)), str(view.caption or ""))))
    return view


def _protocols() -> Table:
    return _plugins(
        PROTOCOLS,
        {
            "title": lambda cls: cls.title,
            "version": lambda cls: str(cls.version),
            "selection": lambda cls: str(cls.selection),
        },
    )


def _executors() -> Table:
    return _plugins(
        EXECUTORS,
        {
            "title": lambda cls: cls.title,
            "--jobs": lambda cls: "any number" if cls.takes_jobs else "1",
        },
    )


def _metrics() -> Table:
    return _plugins(
        METRICS,
        {
            "title": lambda cls: cls.title,
            "unit": lambda cls: cls.unit,
            "better": lambda cls: cls.better,
            "needs": lambda cls: cls.needs,
        },
        note="needs, beside counts per class: "
        + "; ".join(f"{name}, {text}" for name, text in NEEDS.items() if name != "counts"),
    )


def _selections() -> Table:
    return _plugins(SELECTIONS, {"what is scored": lambda cls: cls.title})


def _trackers() -> Table:
    return _plugins(
        TRACKERS,
        {
            "title": lambda cls: cls.title,
            "after a colon": lambda cls: cls.takes,
        },
    )


def _plugins(
    registry: Registry[Any], facts: Mapping[str, Callable[[Any], str]], note: str = ""
) -> Table:
    """The plugins of a kind, with facts of their classes by heading; below them `note`, which says
    what these mean, and which are somebody else's."""
    view = _view(registry.kind, *facts)
    below = [note]
    for name in registry.names():
        try:
            plugin = registry.load(name)
        except UserError as error:  # one broken package must not hide the others
            view.add_row(name, "[red]cannot be loaded[/]")
            below.append(str(error))
            continue
        view.add_row(name, *(escape(fact(plugin.cls)) for fact in facts.values()))
        if plugin.provider != BUILT_IN:
            below.append(f"{name} is from {plugin.provider}")
    view.caption = escape("\n".join(filter(None, below))) or None
    return view


def _analyses() -> Table:
    return _plugins(ANALYSES, {"title": lambda cls: cls.title, "question": _first_line})


def _formats() -> Table:
    return _plugins(
        FORMATS,
        {
            "title": lambda cls: cls.title,
            "files": lambda cls: cls.suffix or "–",
            "about": _first_line,
        },
    )


def _first_line(cls: Any) -> str:
    """What the module of a plugin says first of itself."""
    return (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0].removesuffix(".")


def datasets(root: Path | None = None) -> Table:
    """The table of all datasets and of what is prepared below a data root."""
    view = _view("dataset", "suite", "classes", "train", "val", "test", "prepared")
    for column in view.columns[2:6]:
        column.justify = "right"
    for name in cards.names():
        card = cards.load(name)
        sizes = [str(card.splits.get(split, "–")) for split in ("train", "val", "test")]
        state = state_of(card, root)
        view.add_row(name, card.suite, str(len(card.classes)), *sizes, state)
    return view


def _suites() -> Table:
    view = _view("suite", "title", "backbone", "weights", "shots", "seeds")
    for name in suites.names():
        suite = suites.load(name)
        seeds = ",".join(map(str, suite.seeds))
        view.add_row(name, suite.title, suite.backbone, suite.weights, str(suite.shots), seeds)
    return view


def _weights() -> Table:
    view = _view("preset", "backbone", "files or folders")
    view.columns[1].no_wrap = True
    for name, preset in presets.presets().items():
        member = preset.member
        view.add_row(name, " or\n".join(member.backbones), ",\n".join(member.files))
    view.caption = (
        "--backbone takes a preset, or its family (remoteclip, laion) where the file's name says "
        "which member it is; promptbench info NAME says how images enter"
    )
    return view


def _grids() -> Table:
    view = _view("grid", "methods", "protocols", "seeds", "presets", "variants")
    for name in grids.names():
        grid = grids.load(name)
        lists = (grid.methods, grid.protocols, grid.seeds, grid.presets)
        view.add_row(name, *(", ".join(map(str, each)) for each in lists), str(len(grid.variants)))
    return view

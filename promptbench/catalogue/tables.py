"""Tables of what there is, for `promptbench ls`."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from promptbench import grids, suites
from promptbench.catalogue.prepared import state_of
from promptbench.data import cards
from promptbench.errors import UserError
from promptbench.method import has_decoupled_inference
from promptbench.registry import METHODS, METRICS, PROTOCOLS


def table(what: str) -> Table:
    """The table of `promptbench ls`."""
    makers = {
        "methods": _methods,
        "protocols": _protocols,
        "metrics": _metrics,
        "datasets": datasets,
        "suites": _suites,
        "grids": _grids,
    }
    return makers[what]()


def _view(first: str, *others: str) -> Table:
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_justify="left")
    view.add_column(first, no_wrap=True, style="bold")
    for heading in others:  # what does not fit is folded, never cut
        view.add_column(heading, overflow="fold")
    return view


def _methods() -> Table:
    view = _view("method", "title", "paper", "paradigm", "inference", "provider")
    broken: list[str] = []
    for name in METHODS.names():
        try:
            plugin = METHODS.load(name)
        except UserError as error:  # one broken package must not hide the others
            view.add_row(name, "[red]cannot be loaded[/]")
            broken.append(str(error))
            continue
        cls = plugin.cls
        rules = "both" if has_decoupled_inference(cls) else "unified"
        view.add_row(name, cls.title, cls.paper, cls.paradigm, rules, plugin.provider)
    view.caption = escape("\n".join(broken)) or None
    return view


def _protocols() -> Table:
    view = _view("protocol", "title", "version", "selection", "provider")
    for name in PROTOCOLS.names():
        plugin = PROTOCOLS.load(name)
        cls = plugin.cls
        view.add_row(name, cls.title, str(cls.version), cls.selection, plugin.provider)
    return view


def _metrics() -> Table:
    view = _view("metric", "title", "unit", "better", "needs", "provider")
    broken: list[str] = []
    for name in METRICS.names():
        try:
            plugin = METRICS.load(name)
        except UserError as error:  # as in `_methods`
            view.add_row(name, "[red]cannot be loaded[/]")
            broken.append(str(error))
            continue
        cls = plugin.cls
        view.add_row(name, escape(cls.title), cls.unit, cls.better, cls.needs, plugin.provider)
    view.caption = escape("\n".join(broken)) or None
    return view


def datasets(root: Path | None = None) -> Table:
    """The table of all data sets and of what is prepared below a data root."""
    view = _view("data set", "suite", "classes", "train", "val", "test", "prepared")
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


def _grids() -> Table:
    view = _view("grid", "methods", "protocols", "seeds", "presets", "variants")
    for name in grids.names():
        grid = grids.load(name)
        lists = (grid.methods, grid.protocols, grid.seeds, grid.presets)
        view.add_row(name, *(", ".join(map(str, each)) for each in lists), str(len(grid.variants)))
    return view

"""What there is: tables for `promptbench ls` and descriptions for `promptbench info`."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from promptbench import grids, suites
from promptbench.catalogue import method_card
from promptbench.data import cards, shards, store
from promptbench.errors import UserError, unknown
from promptbench.method import has_decoupled_inference
from promptbench.prose import say
from promptbench.registry import METHODS, PROTOCOLS, Plugin
from promptbench.report import published
from promptbench.safe_text import visible


def table(what: str) -> Table:
    """The table of `promptbench ls`."""
    makers = {
        "methods": _methods,
        "protocols": _protocols,
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


def datasets(root: Path | None = None) -> Table:
    """The table of all data sets and of what is prepared below a data root."""
    view = _view("data set", "suite", "classes", "train", "val", "test", "prepared")
    for name in cards.names():
        card = cards.load(name)
        sizes = [str(card.splits.get(split, "–")) for split in ("train", "val", "test")]
        state = _state(card, root)
        view.add_row(name, card.suite, str(len(card.classes)), *sizes, state)
    return view


def _state(card: cards.DataCard, root: Path | None) -> str:
    folder = store.folder_of(card, root)
    if not (folder / "index.json").is_file():
        if card.source.kind == "generated":
            return "at first use"
        return "served" if store.is_prepared(card, root) else "no"
    index = shards.read_index(folder / "index.json")
    size = sum(path.stat().st_size for path in folder.glob("*.tar")) / 2**20
    variant = f", resized to {index.resize_short}" if index.resize_short else ""
    stale = ", of another card" if index.card_digest != card.digest else ""
    return f"yes, {size:,.0f} MiB{variant}{stale if store.is_own_format(card) else ''}"


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


def describe(name: str, console: Console) -> None:
    """Print what is known of a method, protocol, data set or suite.

    Raises:
        UserError: nothing has that name.
    """
    if name in METHODS.names():
        _describe_method(METHODS.load(name), console)
    elif name in PROTOCOLS.names():
        _describe_plugin(PROTOCOLS.load(name), console)
    elif name in cards.names():
        describe_card(cards.load(name), None, console)
    elif name in suites.names():
        _describe_suite(suites.load(name), console)
    else:
        known = [*METHODS.names(), *PROTOCOLS.names(), *cards.names(), *suites.names()]
        raise unknown("name", name, known)


def _describe_plugin(plugin: Plugin[Any], console: Console) -> None:
    console.print(f"[bold]{escape(plugin.cls.title)}[/] ({plugin.name}, from {plugin.provider})")
    say(console, inspect.getdoc(sys.modules[plugin.cls.__module__]) or "")
    if plugin.gin_file:
        console.print(f"\n[bold]{plugin.gin_file.name}[/]")
        say(console, plugin.gin_file.read_text(encoding="utf-8"))


def _describe_method(plugin: Plugin[Any], console: Console) -> None:
    means = {
        protocol: method_card.published_means(plugin.name, published.lines(protocol))
        for protocol in PROTOCOLS.names()
    }
    card = method_card.card_of(plugin)
    method_card.show(card, {name: rows for name, rows in means.items() if rows}, console)


def _describe_suite(suite: suites.Suite, console: Console) -> None:
    _facts(console, suite.model_dump(exclude={"overlay"}))
    own = [name for name in cards.names() if cards.load(name).suite == suite.name]
    console.print(f"[bold]{len(own)} data sets:[/] {escape(', '.join(own))}", highlight=False)


def describe_card(card: cards.DataCard, root: Path | None, console: Console) -> None:
    """Print everything a card says, and where its shards are."""
    left_out = {"classes", "source", "archives", "obtain", "layout", "notes", "fingerprints"}
    facts = card.model_dump(exclude=left_out, exclude_defaults=True)
    source = f"{card.source.kind} {card.source.location}".strip()
    where = store.folder_of(card, root)
    _facts(
        console,
        facts
        | {"source": source, "card sha256": card.digest}
        | {"prepared": _state(card, root), "folder": where},
    )
    for title, lines in (("get it", card.obtain), ("layout", card.layout), ("notes", card.notes)):
        _bullets(console, title, lines)
    _bullets(
        console,
        "published files",
        [f"{a.file}: {a.bytes} bytes, md5 {a.md5}, sha256 {a.sha256}" for a in card.archives],
    )
    shown = ", ".join(card.classes[:40]) + (" ..." if len(card.classes) > 40 else "")
    console.print(
        f"[bold]{len(card.classes)} classes:[/] {escape(visible(shown))}", highlight=False
    )


def _bullets(console: Console, title: str, lines: list[str]) -> None:
    if lines:
        console.print(f"[bold]{title}[/]", highlight=False)
    for line in lines:
        console.print(f"  - {visible(line)}", markup=False, highlight=False)


def _facts(console: Console, facts: dict[str, Any]) -> None:
    view = Table(show_header=False, box=None)
    for key, value in facts.items():
        if value not in (None, ""):
            view.add_row(f"[bold]{key}[/]", escape(visible(_fact(value))))
    console.print(view)


def _fact(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_fact, value))
    return str(value)

"""What is known of one plugin, dataset or suite, for `promptbench info`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from promptbench.catalogue import backbones, method_card, metric_card
from promptbench.catalogue.prepared import remarks_of, state_of
from promptbench.config import suites
from promptbench.core.registry import (
    ANALYSES,
    EXECUTORS,
    FORMATS,
    METHODS,
    METRICS,
    PROTOCOLS,
    SELECTIONS,
    TRACKERS,
    Plugin,
)
from promptbench.data.cards import cards
from promptbench.data.shards import store
from promptbench.errors import closest, unknown
from promptbench.records import scores
from promptbench.report import published
from promptbench.report.published import PublishedMethod
from promptbench.report.tracks import TRACKS
from promptbench.support.prose import flowing, say
from promptbench.support.safe_text import visible

# The kinds of plugins that are described by what their modules say.
_KINDS = (PROTOCOLS, SELECTIONS, TRACKERS, EXECUTORS, ANALYSES, FORMATS)


def describe(name: str, console: Console) -> None:
    """Print what is known of a method, protocol, dataset, suite, backbone or another plugin.

    Raises:
        UserError: nothing has that name.
    """
    name = published.called(name)
    if name in METHODS.names():
        _describe_method(METHODS.load(name), console)
    elif name in METRICS.names():
        _describe_plugin(METRICS.load(name), console)
        _facts(console, metric_card.facts(scores.load(name)))
    elif (kind := next((k for k in _KINDS if name in k.names()), None)) is not None:
        _describe_plugin(kind.load(name), console)
    elif name in cards.names():
        describe_card(cards.load(name), None, console)
    elif name in suites.names():
        _describe_suite(suites.load(name), console)
    elif name in published.methods():
        _describe_printed(published.methods()[name], console)
    elif name in backbones.names():
        _facts(console, backbones.facts_of(name))
    elif backbones.is_weights(name):
        _facts(console, backbones.facts_of_weights(name))
    else:
        kinds = (METHODS, METRICS, *_KINDS, cards, suites, backbones)
        known = [*(n for has in kinds for n in has.names()), *published.methods()]
        lists = (
            "`promptbench ls methods` lists methods, and so for protocols, datasets, metrics ..."
        )
        raise unknown("name", name, known, "" if closest(name, known) else lists)


def _describe_plugin(plugin: Plugin[Any], console: Console) -> None:
    console.print(f"[bold]{escape(plugin.cls.title)}[/] ({plugin.name}, from {plugin.provider})")
    say(console, flowing(inspect.getdoc(sys.modules[plugin.cls.__module__]) or ""))
    if plugin.gin_file:
        console.print(f"\n[bold]{plugin.gin_file.name}[/]")
        say(console, plugin.gin_file.read_text(encoding="utf-8"))


def _describe_method(plugin: Plugin[Any], console: Console) -> None:
    method_card.show(method_card.card_of(plugin), _means(plugin.name), console)


def _describe_printed(method: PublishedMethod, console: Console) -> None:
    """A method that only papers know."""
    console.print(f"[bold]{escape(method.title)}[/] ({escape(method.name)}, only in papers)")
    say(console, f"paper: {method.paper}" + (f" ({method.year})" if method.year else ""))
    say(console, f"paradigm: {method.paradigm}")
    say(console, f"track: {method.track}, {TRACKS[method.track]}")
    if method.parts:
        titles = (published.methods()[part].title for part in method.parts)
        say(console, f"parts: {', '.join(titles)}")
    method_card.show_means(_means(method.name), console)


def _means(method: str) -> dict[str, list[method_card.PublishedMean]]:
    """The published means of a method, by protocol."""
    means = {
        protocol: method_card.published_means(method, published.lines(protocol))
        for protocol in PROTOCOLS.names()
    }
    return {protocol: rows for protocol, rows in means.items() if rows}


def _describe_suite(suite: suites.Suite, console: Console) -> None:
    _facts(console, suite.model_dump(exclude={"overlay"}))
    own = [name for name in cards.names() if cards.load(name).suite == suite.name]
    console.print(f"[bold]{len(own)} datasets:[/] {escape(', '.join(own))}", highlight=False)


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
        | {"prepared": state_of(card, root), "folder": where}
        | remarks_of(card, root),
    )
    for title, lines in (("get it", card.obtain), ("layout", card.layout), ("notes", card.notes)):
        _bullets(console, title, lines)
    _bullets(
        console,
        "published files",
        [_archive(archive) for archive in card.archives],
    )
    shown = ", ".join(card.classes[:40]) + (" ..." if len(card.classes) > 40 else "")
    console.print(
        f"[bold]{len(card.classes)} classes:[/] {escape(visible(shown))}", highlight=False
    )


def _archive(archive: cards.Archive) -> str:
    """A published file: its size and checksums, or that nobody knows them, and what it is."""
    size = "size unknown" if archive.bytes == "unknown" else f"{archive.bytes:,} bytes"
    sums = f"md5 {archive.md5}, sha256 {archive.sha256}"
    if {archive.md5, archive.sha256} == {"unknown"}:
        sums = "checksums unknown"
    remark = f" ({archive.remark})" if archive.remark else ""
    urls = f"; from {', then '.join(archive.urls)}" if archive.urls else ""
    return f"{archive.file}: {size}, {sums}{remark}{urls}"


def _bullets(console: Console, title: str, lines: list[str]) -> None:
    if lines:
        console.print(f"[bold]{title}[/]", highlight=False)
    for line in lines:
        console.print(f"  - {visible(line)}", markup=False, highlight=False)


def _facts(console: Console, facts: Mapping[str, Any]) -> None:
    view = Table(show_header=False, box=None)
    view.add_column(no_wrap=True)
    view.add_column(overflow="fold")  # hashes and paths are longer than a narrow terminal
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

"""The card of a method: what module, class and gin file say, as plain data and on the terminal."""

from __future__ import annotations

import inspect
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from promptbench import config
from promptbench.config import suites
from promptbench.core.registry import BUILT_IN, METHODS, Plugin
from promptbench.core.traits import extra_data_of, has_decoupled_inference
from promptbench.records.scores import load
from promptbench.report.published import clauses
from promptbench.report.text import SLIP
from promptbench.spaces import kept
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered
from promptbench.support.prose import flowing, say

if TYPE_CHECKING:
    from promptbench.core.method import Equals

EQUALS: Mapping[Equals, str] = {
    "reference code": "its authors' code, on recorded inputs",
    "equations": "its equations in closed form; its authors' code was not run",
    "neither": "not compared with its authors' code, nor with its equations",
}
_NO_RULE = "n/a"  # what sources say of methods that have one rule of inference
_OVERALL = "Average"  # what papers call the mean over datasets


@dataclass(frozen=True)
class MethodCard:
    """A method described; `settings` is its gin text, `defaults` its parameters' defaults."""

    name: str
    title: str
    provider: str
    text: str
    facts: Mapping[str, str]
    settings: str
    defaults: Mapping[str, str]


def card_of(plugin: Plugin[Any]) -> MethodCard:
    """The card of a loaded method."""
    return _with_backbones(_of_class(plugin))


def card_named(name: str, memory: Remembered | None = None) -> MethodCard:
    """The card of an installed method.

    What the classes of promptbench's own say is remembered, as their modules import torch; a plugin
    may change under the same version.
    """
    if memory is None or METHODS.provider(name) != BUILT_IN:
        return card_of(METHODS.load(name))
    key = remembered.key_of("card of a method", name)
    if (found := memory.get(key)) is not None:
        return _with_backbones(MethodCard(**json.loads(found)))
    card = _of_class(METHODS.load(name))
    memory.put(key, json.dumps(asdict(card)))
    return _with_backbones(card)


def _of_class(plugin: Plugin[Any]) -> MethodCard:
    cls = plugin.cls
    parameters = cls.vit_b16_parameters
    rules = "unified; decoupled as a marked variant" if has_decoupled_inference(cls) else "unified"
    if cls.paradigm == "selective":
        rules += "; by class name: a learned row for names that were trained on, text for others"
    facts = {
        "paper": cls.paper,
        "paradigm": cls.paradigm,
        "inference": rules,
        "data beyond the few shots": extra_data_of(cls, {}),
        "classes it can score": "any" if cls.open_vocabulary else "those it was trained on",
        "needs of a backbone": ", ".join(cls.needs) or "features only",
        "parameters on ViT-B/16": "not stated" if parameters is None else f"{parameters:,}",
        "equations from": cls.equations_from,
        "numbers equal": EQUALS.get(cls.equals, str(cls.equals)),
    }
    return MethodCard(
        name=plugin.name,
        title=cls.title,
        provider=plugin.provider,
        text=flowing(inspect.getdoc(sys.modules[cls.__module__]) or ""),
        facts=facts,
        settings=plugin.gin_file.read_text(encoding="utf-8") if plugin.gin_file else "",
        defaults={
            f"{cls.__name__}.{name}": repr(parameter.default)
            for name, parameter in config.parameters(cls).items()
        },
    )


def _with_backbones(card: MethodCard) -> MethodCard:
    """The card with where settings on the suites' own backbones come from, of those that need
    some."""
    every = map(suites.load, suites.names())
    own = {suite.backbone: kept.origin(suite, card.name) for suite in every}
    facts = {f"settings on {backbone}": text for backbone, text in own.items() if text}
    return replace(card, facts={**card.facts, **facts})


@dataclass(frozen=True)
class PublishedMean:
    """What one source prints as a method's mean over datasets, column by column; `slips` say of
    which columns, and how, it contradicts the source's other numbers."""

    backbone: str
    shots: str
    inference: str
    source: str
    note: str
    values: Mapping[str, float]
    slips: Mapping[str, str]


def published_means(method: str, lines: Iterable[Mapping[str, str]]) -> list[PublishedMean]:
    """The published means of a method among the published numbers of a protocol."""
    found: dict[tuple[str, str, str, str, str], dict[str, float]] = defaultdict(dict)
    slips: dict[tuple[str, str, str, str, str], dict[str, str]] = defaultdict(dict)
    for line in lines:
        if line["method"] == method and line["dataset"] == _OVERALL:
            facts = (line[name] for name in ("backbone", "shots", "inference", "source"))
            backbone, shots, inference, source = facts
            note, slip = clauses(line["note"])
            key = (backbone, shots, inference, source, note)
            slips[key] |= {line["split"]: slip} if slip else {}
            found[key][line["split"]] = float(line["value"])
    return [PublishedMean(*key, values, slips[key]) for key, values in found.items()]


def show(card: MethodCard, means: Mapping[str, list[PublishedMean]], console: Console) -> None:
    """Print a card with the published means, protocol by protocol."""
    console.print(f"[bold]{escape(card.title)}[/] ({escape(f'{card.name}, from {card.provider}')})")
    say(console, card.text)
    facts = Table(show_header=False, box=None, pad_edge=False)
    for key, value in card.facts.items():
        facts.add_row(f"[bold]{key}[/]", escape(value))
    console.print()
    console.print(facts)
    show_means(means, console)
    console.print("\n[bold]Parameters and their defaults[/]")
    for name, value in card.defaults.items():
        say(console, f"{name} = {value}")
    if not card.defaults:
        say(console, "none")
    console.print("\n[bold]Settings (gin)[/]")
    settings = card.settings or "none: the defaults hold"
    say(console, settings)


def show_means(means: Mapping[str, list[PublishedMean]], console: Console) -> None:
    """Print the published means of a method, protocol by protocol."""
    for protocol, of_protocol in means.items():
        console.print()
        console.print(_means(protocol, of_protocol))


def _means(protocol: str, means: list[PublishedMean]) -> Table:
    columns = list(dict.fromkeys(split for mean in means for split in mean.values))
    title = f"Published under {protocol}, mean over datasets{load().in_unit}"
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for heading in ("shots", *columns):
        view.add_column(heading, justify="right", no_wrap=True)
    view.add_column("backbone", no_wrap=True)
    tells = any(mean.inference != _NO_RULE for mean in means)
    if tells:
        view.add_column("inference", no_wrap=True)
    view.add_column("source", overflow="fold")
    for mean in means:
        marks = {column: SLIP if column in mean.slips else "" for column in columns}
        numbers = [f"{mean.values[c]:.2f}{marks[c]}" if c in mean.values else "—" for c in columns]
        slips = [f"{SLIP} {column}: {slip}" for column, slip in mean.slips.items()]
        source = "; ".join(filter(None, (mean.source, mean.note, *slips)))
        rule = [mean.inference] if tells else []
        view.add_row(mean.shots, *numbers, mean.backbone, *rule, escape(source))
    return view

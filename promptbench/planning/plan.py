"""From a request to a plan: what is to be computed, by which methods, and what is done of it."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptbench import config
from promptbench.config import ConfigSources
from promptbench.config.suites import Suite
from promptbench.core import selection
from promptbench.core.protocol import Leg, Protocol
from promptbench.core.registry import METHODS, PROTOCOLS, Plugin
from promptbench.data.shards import store
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.planning import class_texts
from promptbench.planning import sources as learned_from
from promptbench.planning.cells import Cell, of_request
from promptbench.planning.class_texts import Shelf
from promptbench.planning.legs import legs_of, unseen
from promptbench.planning.machine import Machine
from promptbench.planning.request import BASELINE, Request
from promptbench.planning.settings import datasets_named, known_names, load_protocol
from promptbench.planning.standing import as_used


@dataclass(frozen=True)
class Plan:
    """All cells of a run, the baseline's among them, and the protocol that tabulates them."""

    suite: Suite
    protocol_name: str
    protocol: Protocol
    legs: tuple[Leg, ...]
    cells: tuple[Cell, ...]
    out: Path
    left_out: tuple[str, ...] = ()  # methods of "all" that cannot run, with the reason
    remarks: tuple[str, ...] = ()  # what is odd about the data, a sentence each
    title: str = ""  # what a grid calls its rows
    root: Path | None = None  # the data root, where one is given
    request: Request | None = None  # what asked for it; None: a single record's cell

    def done(self) -> list[Cell]:
        """Cells whose record exists and is whole."""
        return [cell for cell in self.cells if cell.is_done(self.out)]

    def pending(self) -> list[Cell]:
        """Cells still to compute, in order."""
        done = {cell.id for cell in self.done()}
        return [cell for cell in self.cells if cell.id not in done]

    def datasets(self) -> list[str]:
        """All datasets of the plan, each once."""
        return datasets_named(self.legs)


def build(
    request: Request,
    precision: str,
    out: Path = Machine.out,
    elsewhere: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a request, computed in a precision, with its records under `out`.

    Args:
        elsewhere: datasets that are not on this machine, with the digests (`store.digests`) that
            they have where the plan was first made: cells that need them have the ids of there,
            and cannot be computed here.

    Raises:
        UserError: datasets without a card, not prepared, that cannot be learned from or have fewer
            images than shots, a configuration that does not hold, decoupled inference of a method
            that has none, a method that cannot score the protocol's targets.
    """
    suite = request.resolved_suite()
    methods = [METHODS.load(name) for name in request.methods]
    if request.baseline and BASELINE not in request.methods:
        methods.insert(0, METHODS.load(BASELINE))
    known = known_names([*methods, PROTOCOLS.load(request.protocol)])
    own = config.load(ConfigSources(tuple(request.gin), tuple(request.set)), known)
    protocol = load_protocol(request.protocol, suite.name, known, own)
    if request.inference == "decoupled" and not protocol.split_known:
        raise UserError(
            f"{request.protocol} scores all class names at once, so that no split is known at test "
            "time; drop --inference decoupled"
        )
    counts = dict.fromkeys(request.shots or protocol.shot_counts(suite.shots))
    legs = tuple(leg for shots in counts for leg in legs_of(protocol, shots, request.datasets))
    learned_from.check_splits(legs, suite.name)
    shelf = class_texts.shelf_of(request.class_texts, suite.backbone)
    shelf.read_all()
    methods, left_out = _fitting(methods, legs, request, shelf)
    named, absent = datasets_named(legs), elsewhere or {}
    here = store.digests([name for name in named if name not in absent], request.root)
    digests = {name: absent[name] if name in absent else here[name] for name in named}
    learned_from.check_shots([leg for leg in legs if leg.source.dataset in here], request.root)
    checkpoint = backbones.find(suite.backbone, suite.weights)
    suite = as_used(suite, suite.backbone, checkpoint.label, checkpoint.sha256, named)
    shared: dict[str, Any] = {
        "protocol": request.protocol,
        "protocol_version": protocol.version,
        "selection": selection.of_protocol(PROTOCOLS.load(request.protocol)),
        "suite": suite.name,
        "backbone": suite.backbone,
        "weights": checkpoint.label,
        "weights_sha256": checkpoint.sha256,
        "preprocess": backbones.preprocess_of(suite.backbone, checkpoint).departures,
        "precision": precision,
        "limit": request.limit,
        "preset": request.preset,
        "cards_sha256": digests,
    }
    load = functools.cache(functools.partial(config.load, known=known))  # each file once
    cells = of_request(request, suite, protocol, legs, methods, shared, load, own, shelf)
    return Plan(
        suite,
        request.protocol,
        protocol,
        legs,
        tuple(cells),
        out,
        left_out,
        (
            *learned_from.shared_prompts(datasets_named(legs), suite.backbone),
            *class_texts.remarks(
                shelf, named, {cell.method.name: bool(cell.class_texts) for cell in cells}
            ),
        ),
        request.title,
        request.root,
        request,
    )


def _fitting(
    methods: Sequence[Plugin[Any]], legs: Sequence[Leg], request: Request, shelf: Shelf
) -> tuple[list[Plugin[Any]], tuple[str, ...]]:
    """The methods that can run; of "all", the others are left out, by name and reason."""
    some_unseen, textless = any(map(unseen, legs)), shelf.lacking(legs)
    obstacles = {method.name: _obstacle(method, some_unseen, textless) for method in methods}
    unfit = {name: reason for name, reason in obstacles.items() if reason}
    if unfit and not request.every:
        name, reason = next(iter(unfit.items()))
        raise UserError(f"{name} cannot run under {request.protocol}: {reason}")
    left_out = tuple(f"{name} ({reason})" for name, reason in unfit.items())
    return [method for method in methods if method.name not in unfit], left_out


def _obstacle(method: Plugin[Any], some_unseen: bool, textless: Sequence[str]) -> str | None:
    """Why a method cannot run here, if it cannot; `some_unseen`: not all names were learned;
    `textless`: datasets without class texts."""
    if some_unseen and not method.cls.open_vocabulary:
        return (
            "it scores only classes it was trained on; few_shot is a protocol whose targets have "
            "the source's classes"
        )
    if textless and method.cls.class_texts is True:
        return (
            f"it uses sentences about the classes, and no file is named for {', '.join(textless)}: "
            "add --class-texts FILE (docs/class-texts.md)"
        )
    missing = [name for name in method.cls.requires if importlib.util.find_spec(name) is None]
    if missing:
        return f"it needs {missing[0]}: {method.cls.requires[missing[0]]}"
    return None


def distinct(plans: Sequence[Plan]) -> list[Plan]:
    """The plans without the cells that an earlier one, or an earlier cell of the same, holds.

    A plan whose every cell an earlier one holds, such as a variant that comes to the same settings,
    gives that one its title: a = b.
    """
    owners: dict[str, int] = {}
    found: list[Plan] = []
    for made in plans:
        cells = []
        for cell in made.cells:
            if cell.id not in owners:
                owners[cell.id] = len(found)
                cells.append(cell)
        if made.title and made.cells and not cells:
            owner = max(owners[cell.id] for cell in made.cells)
            if found[owner].title != made.title:
                found[owner] = replace(found[owner], title=f"{found[owner].title} = {made.title}")
        found.append(replace(made, cells=tuple(cells)))
    return found

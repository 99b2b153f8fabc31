"""From a request to a plan: what is to be computed, by which methods, and what is done of it."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from promptbench import config
from promptbench.config import ConfigSources
from promptbench.config.suites import Suite
from promptbench.core import selection
from promptbench.core.protocol import Leg, Protocol
from promptbench.core.registry import METHODS, PROTOCOLS, SELECTIONS, Plugin
from promptbench.core.selection import Selection
from promptbench.data.shards import store
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.planning import class_texts, sweeps
from promptbench.planning import sources as learned_from
from promptbench.planning.cells import Cell
from promptbench.planning.fitting import fitting, long_enough
from promptbench.planning.legs import legs_of
from promptbench.planning.machine import Machine
from promptbench.planning.request import BASELINE, Request
from promptbench.planning.requested import cells_of
from promptbench.planning.settings import (
    datasets_named,
    known_names,
    load_protocol,
    scope_of,
    shipped,
)
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
    remarks: tuple[str, ...] = ()  # what is odd about data and weights, a sentence each
    title: str = ""  # what a grid calls its rows
    root: Path | None = None  # the data root, where one is given
    request: Request | None = None  # what asked for it; None: a single record's cell

    def pending(self) -> list[Cell]:
        """Cells still to compute, in order: those whose record is not there, or is damaged."""
        return [cell for cell in self.cells if not cell.is_done(self.out)]

    def datasets(self) -> list[str]:
        """All datasets of the plan, each once."""
        return datasets_named(self.legs)


class Finished(NamedTuple):
    """A cell whose record exists and is whole, and the output folder that it is in."""

    cell: Cell
    out: Path


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
            images than shots, a configuration that does not hold, a training with fewer steps than
            stages, decoupled inference of a method that has none, a method that cannot score the
            protocol's targets, or that needs of the backbone what it does not offer.
    """
    suite = request.resolved_suite()
    methods = [METHODS.load(name) for name in request.methods]
    if request.baseline and BASELINE not in request.methods:
        methods.insert(0, METHODS.load(BASELINE))
    known = known_names([*methods, PROTOCOLS.load(request.protocol)])
    of_user = ConfigSources(tuple(request.gin), tuple(request.set), tuple(request.swept))
    own = config.load(of_user, known)
    protocol = load_protocol(request.protocol, suite.name, known, own)
    if request.inference == "decoupled" and not protocol.split_known:
        raise UserError(
            f"{request.protocol} scores all class names at once, so that no split is known at test "
            "time; drop --inference decoupled"
        )
    counts = dict.fromkeys(request.shots or protocol.shot_counts(suite.shots))
    legs = tuple(leg for shots in counts for leg in legs_of(protocol, shots, request.datasets))
    learned_from.check_splits(legs, suite.name)
    load = functools.cache(functools.partial(config.load, known=known))  # each file once

    def parameters_of(method: Plugin[Any], leg: Leg) -> Mapping[str, Any]:
        bindings = load(shipped(method, suite.backbone, leg, request.recorded_preset)) + own
        scope = scope_of(request.protocol, protocol, request.preset, leg)
        return bindings.values(method.cls, scope)

    shelf = class_texts.shelf_of(request.class_texts, suite.backbone)
    shelf.read_all()
    methods, left_out = fitting(methods, legs, request, suite.backbone, parameters_of, shelf)
    if request.trial:  # from here on there is no target: it cannot be read, nor scored
        legs = tuple(dict.fromkeys(Leg(leg.source, ()) for leg in legs))
    named, absent = datasets_named(legs), elsewhere or {}
    here = store.digests([name for name in named if name not in absent], request.root)
    digests = {name: absent[name] if name in absent else here[name] for name in named}
    learned_from.check_shots([leg for leg in legs if leg.source.dataset in here], request.root)
    checkpoint = backbones.find(suite.backbone, suite.weights, suite.weights_preset)
    suite = as_used(suite, suite.backbone, checkpoint.label, checkpoint.sha256, named)
    shared: dict[str, Any] = {
        "protocol": request.protocol,
        "protocol_version": protocol.version,
        "suite": suite.name,
        "backbone": suite.backbone,
        "weights": checkpoint.label,
        "weights_sha256": checkpoint.sha256,
        "preprocess": backbones.preprocess_of(suite.backbone, checkpoint).departures,
        "precision": precision,
        "limit": request.limit,
        "preset": request.recorded_preset,
        "cards_sha256": digests,
    }
    rules = [selection.of_protocol(PROTOCOLS.load(request.protocol))]
    rules += [SELECTIONS.load(name) for name in request.select or ()]
    every = cells_of(request, suite, protocol, legs, methods, shared, rules, load, own, shelf)
    cells, too_short = long_enough(every, request.every)
    learned_from.check_validation(
        [cell for cell in cells if cell.leg.source.dataset in here], suite.name, request.root
    )
    return Plan(
        suite,
        request.protocol,
        protocol,
        legs,
        tuple(cells),
        out,
        (*left_out, *too_short),
        (
            *learned_from.shared_prompts(datasets_named(legs), suite.backbone),
            *filter(None, [backbones.remark_on(suite.backbone, checkpoint)]),
            *class_texts.remarks(
                shelf, named, {cell.method.name: bool(cell.class_texts) for cell in cells}
            ),
        ),
        request.title,
        request.root,
        request,
    )


def of_requests(requests: Sequence[Request], precision: str, out: Path) -> list[Plan]:
    """The plans of what one command asks for, each cell in the first that has it.

    Raises:
        UserError: as `build`, and a sweep whose values all come to the same cells.
    """
    made = [build(request, precision, out) for request in requests]
    ids = [[cell.id for cell in own.cells] for own in made]
    sweeps.refuse_idle(zip(requests, ids, strict=True))
    return distinct(made)


def parted(plans: Iterable[Plan]) -> tuple[list[Finished], list[Cell]]:
    """The cells of plans that are done, and those that are pending; each is looked at once."""
    finished, pending = list[Finished](), list[Cell]()
    for made in plans:
        for cell in made.cells:
            if cell.is_done(made.out):
                finished.append(Finished(cell, made.out))
            else:
                pending.append(cell)
    return finished, pending


def folders(plans: Iterable[Plan]) -> list[Path]:
    """The folders in which the records of plans lie, or will lie."""
    return [cell.folder(made.out) for made in plans for cell in made.cells]


def distinct(plans: Sequence[Plan]) -> list[Plan]:
    """The plans without the cells that an earlier one, or an earlier cell of the same, holds.

    A plan whose every cell an earlier one holds, such as a variant that comes to the same settings,
    gives that one its title: a = b.
    """
    owners: dict[str, int] = {}
    found: list[Plan] = []
    looking_on = _looking_on(plans)
    for made in plans:
        cells = []
        for cell in map(looking_on, made.cells):
            if cell.id not in owners:
                owners[cell.id] = len(found)
                cells.append(cell)
        if made.title and made.cells and not cells:
            owner = max(owners[cell.id] for cell in made.cells)
            if found[owner].title != made.title:
                found[owner] = replace(found[owner], title=f"{found[owner].title} = {made.title}")
        found.append(replace(made, cells=tuple(cells)))
    return found


def _looking_on(plans: Sequence[Plan]) -> Callable[[Cell], Cell]:
    """What gives a cell all selection rules that look on at its training in one of the plans, so
    that whichever of the cells comes first trains for all of them."""
    rules: dict[str, dict[str, Plugin[Selection]]] = defaultdict(dict)
    for cell in (cell for made in plans for cell in made.cells):
        rules[cell.training_id] |= {rule.name: rule for rule in cell.rules}

    def widened(cell: Cell) -> Cell:
        every = tuple(rules[cell.training_id].values())
        return cell if len(every) == len(cell.rules) else replace(cell, rules=every)

    return widened

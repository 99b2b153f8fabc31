"""From a request to cells: what is to be computed, what determines each number, what is done.

A cell is one training with everything scored on it. Its id hashes all that determines its numbers;
its training id leaves out what only evaluation depends on, so that cells can share a training.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptbench import backbones, config, records, selection
from promptbench.class_sets import spelled
from promptbench.config import Bindings, ConfigSources
from promptbench.data import store
from promptbench.errors import UserError
from promptbench.method import has_decoupled_inference
from promptbench.planning import sources as learnt_from
from promptbench.planning.legs import legs_of, unseen
from promptbench.planning.machine import Machine
from promptbench.planning.request import BASELINE, Request
from promptbench.planning.settings import (
    datasets_named,
    differences,
    known_names,
    load_protocol,
    scope_of,
    settings_of,
    shipped,
)
from promptbench.prose import counted
from promptbench.protocol import Leg, Protocol
from promptbench.registry import METHODS, PROTOCOLS, Plugin
from promptbench.selection import Selection
from promptbench.suites import Suite
from promptbench.suites.standing import as_used


@dataclass(frozen=True)
class Cell:
    """One training and its targets, with the configuration in force as plain data.

    `weights` is what records call them, `preprocess` what is unusual about how images enter.
    """

    method: Plugin[Any]
    protocol: str
    protocol_version: int
    selection: Plugin[Selection]
    suite: str
    leg: Leg
    seed: int
    preset: str
    inference: str
    backbone: str
    weights: str
    preprocess: dict[str, Any]
    precision: str
    limit: int | None
    parameters: dict[str, Any] = field(repr=False)
    recipe: dict[str, Any] = field(repr=False)
    overrides: list[str] = field(repr=False)
    weights_sha256: str = field(repr=False)
    cards_sha256: dict[str, str] = field(repr=False)
    marks: tuple[str, ...] = field(default=(), repr=False)  # see labels
    prefix: str = field(default="", repr=False)

    @functools.cached_property
    def training_id(self) -> str:
        """Hash of everything that determines the trained parameters."""
        source, rule = self.leg.source, self.selection
        facts = {
            "method": [self.method.name, self.method.provider, self.parameters],
            "recipe": self.recipe,
            "source": [source.dataset, spelled(source.classes, source.labels), source.shots],
            "card": self.cards_sha256[source.dataset],
            "seed": self.seed,
            "backbone": [self.backbone, self.weights_sha256, *self._unusual],
            "precision": self.precision,
        }
        if rule.name != Protocol.selection:  # the usual one is older than rules are facts of ids
            facts["selection"] = [rule.name, rule.provider]
        return _digest(facts)

    @property
    def _unusual(self) -> list[dict[str, Any]]:
        return [self.preprocess] if self.preprocess else []

    @functools.cached_property
    def id(self) -> str:
        """Hash of everything that determines the record's numbers."""
        targets = [
            [t.key, t.split, t.shift, self.cards_sha256[t.dataset], *t.own_labels]
            for t in self.leg.targets
        ]
        protocol = [self.protocol, self.protocol_version, self.inference, self.preset]
        return _digest([self.training_id, self.suite, protocol, targets, self.limit])

    @property
    def label(self) -> str:
        """How the cell is called in progress and logs; `labels` marks what a run tells apart."""
        inference = () if self.inference == "unified" else (self.inference,)
        variant = "; ".join((*inference, *self.marks))
        name = self.method.name + (f" ({variant})" if variant else "")
        source = self.leg.source
        return (
            f"{self.prefix}{name} on {source.dataset}, {counted(source.shots, 'shot')}, "
            f"seed {self.seed}"
        )

    def folder(self, out: Path) -> Path:
        """Where the record, its predictions and its parameters lie."""
        return out / self._place

    @functools.cached_property
    def _place(self) -> str:
        source = self.leg.source
        name = f"{source.dataset}-{source.shots}shot-seed{self.seed}-{self.id[:10]}"
        return f"{self.suite}/{self.protocol}/{self.method.name}/{name}"

    def is_done(self, out: Path) -> bool:
        """Whether its record exists and it and the files beside it are whole."""
        folder = self.folder(out)
        return (folder / records.RECORD).is_file() and records.damage(folder) is None

    def training_folder(self, out: Path) -> Path:
        """Where the training's checkpoint and parameters lie."""
        return out / self.suite / "trainings" / f"{self.method.name}-{self.training_id[:16]}"


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

    def done(self) -> list[Cell]:
        """Cells whose record exists and is whole."""
        return [cell for cell in self.cells if cell.is_done(self.out)]

    def pending(self) -> list[Cell]:
        """Cells still to compute, in order."""
        done = {cell.id for cell in self.done()}
        return [cell for cell in self.cells if cell.id not in done]

    def datasets(self) -> list[str]:
        """All data sets of the plan, each once."""
        return datasets_named(self.legs)


def build(request: Request, precision: str, out: Path = Machine.out) -> Plan:
    """The plan of a request, computed in a precision, with its records under `out`.

    Raises:
        UserError: data sets without a card, not prepared, that cannot be learnt from or have fewer
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
    learnt_from.check_splits(legs, suite.name)
    methods, left_out = _fitting(methods, legs, request)
    named = datasets_named(legs)
    digests = store.digests(named, request.root)
    learnt_from.check_shots(legs, request.root)
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
    }
    load = functools.cache(functools.partial(config.load, known=known))  # each file once
    cells = [
        Cell(leg=leg, seed=seed, inference=inference, cards_sha256=digests, **shared, **settled)
        for leg in legs
        for method in methods
        for settled in (_settled(request, suite.backbone, protocol, method, leg, load, own),)
        for inference in _inferences(method, request.inference, protocol, leg)
        for seed in suite.seeds
    ]
    return Plan(
        suite,
        request.protocol,
        protocol,
        legs,
        tuple(cells),
        out,
        left_out,
        learnt_from.shared_prompts(datasets_named(legs), suite.backbone),
        request.title,
        request.root,
    )


def _fitting(
    methods: Sequence[Plugin[Any]], legs: Sequence[Leg], request: Request
) -> tuple[list[Plugin[Any]], tuple[str, ...]]:
    """The methods that can run; of "all", the others are left out, by name and reason."""
    some_unseen = any(map(unseen, legs))
    obstacles = {method.name: _obstacle(method, some_unseen) for method in methods}
    unfit = {name: reason for name, reason in obstacles.items() if reason}
    if unfit and not request.every:
        name, reason = next(iter(unfit.items()))
        raise UserError(f"{name} cannot run under {request.protocol}: {reason}")
    left_out = tuple(f"{name} ({reason})" for name, reason in unfit.items())
    return [method for method in methods if method.name not in unfit], left_out


def _obstacle(method: Plugin[Any], some_unseen: bool) -> str | None:
    """Why a method cannot run here, if it cannot; `some_unseen`: not all names were learned."""
    if some_unseen and not method.cls.open_vocabulary:
        return (
            "it scores only classes it was trained on; few_shot is a protocol whose targets have "
            "the source's classes"
        )
    missing = [name for name in method.cls.requires if importlib.util.find_spec(name) is None]
    if missing:
        return f"it needs {missing[0]}: {method.cls.requires[missing[0]]}"
    return None


def _inferences(method: Plugin[Any], wanted: str, protocol: Protocol, leg: Leg) -> list[str]:
    """The inference rules to score a method by, each a cell of its own on one training.

    Where no target is shifted, or no split is known, a decoupled rule is the unified one.
    """
    decoupled = has_decoupled_inference(method.cls)
    if wanted == "decoupled" and not decoupled and method.name != BASELINE:
        raise UserError(
            f"{method.cls.title} has no decoupled inference; drop --inference decoupled or run it "
            "for methods that have it (promptbench ls methods)"
        )
    differs = protocol.split_known and any(target.shift != "none" for target in leg.targets)
    if wanted == "auto":
        return ["decoupled", "unified"] if decoupled and differs else ["unified"]
    return [wanted] if decoupled else ["unified"]


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


def _settled(
    request: Request,
    backbone: str,
    protocol: Protocol,
    method: Plugin[Any],
    leg: Leg,
    load: Callable[[ConfigSources], Bindings],
    own: Bindings,
) -> dict[str, Any]:
    """A method as it is set for a leg, whatever the seed: fields of its cells."""
    came_with = load(shipped(method, backbone, leg))
    scope = scope_of(request.protocol, protocol, request.preset, leg)
    settings = settings_of(method, came_with + own, scope, leg.source.shots)
    usual = settings_of(method, came_with, scope, leg.source.shots) if own else settings
    return {
        "method": method,
        "parameters": settings[method.cls.__name__],
        "recipe": settings.get("Recipe", {}),
        "overrides": differences(usual, settings),
    }


def _digest(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

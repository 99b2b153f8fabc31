"""From a request to cells: what is to be computed, what determines each number, what is done.

A cell is one training with everything scored on it. Its id hashes all that determines its numbers;
its training id leaves out what only evaluation depends on, so that cells can share a training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptbench import backbones, checkpoints, config
from promptbench.config import ConfigSources, KnownNames
from promptbench.data import cards, store
from promptbench.errors import UserError
from promptbench.method import has_decoupled_inference
from promptbench.protocol import Leg, Protocol
from promptbench.recipe import Recipe
from promptbench.registry import METHODS, PROTOCOLS, Plugin
from promptbench.request import BASELINE, Request
from promptbench.suites import Suite
from promptbench.suites import names as suite_names


@dataclass(frozen=True)
class Cell:
    """One training and its targets, with the configuration in force as plain data."""

    method: Plugin[Any]
    protocol: str
    protocol_version: int
    suite: str
    leg: Leg
    seed: int
    preset: str
    inference: str
    backbone: str
    weights: str
    precision: str
    limit: int | None
    scope: str
    sources: ConfigSources = field(repr=False)
    known: KnownNames = field(repr=False)
    parameters: dict[str, Any] = field(repr=False)
    recipe: dict[str, Any] = field(repr=False)
    overrides: list[str] = field(repr=False)
    weights_sha256: str = field(repr=False)
    cards_sha256: dict[str, str] = field(repr=False)

    @property
    def training_id(self) -> str:
        """Hash of everything that determines the trained parameters."""
        source = self.leg.source
        return _digest(
            {
                "method": [self.method.name, self.method.provider, self.parameters],
                "recipe": self.recipe,
                "source": [source.dataset, source.classes, source.shots],
                "card": self.cards_sha256[source.dataset],
                "seed": self.seed,
                "backbone": [self.backbone, self.weights_sha256],
                "precision": self.precision,
            }
        )

    @property
    def id(self) -> str:
        """Hash of everything that determines the record's numbers."""
        targets = [
            [t.key, t.split, t.shift, self.cards_sha256[t.dataset]] for t in self.leg.targets
        ]
        protocol = [self.protocol, self.protocol_version, self.inference, self.preset]
        return _digest([self.training_id, self.suite, protocol, targets, self.limit])

    @property
    def label(self) -> str:
        """How the cell is called in progress and logs."""
        variant = "" if self.inference == "unified" else f" ({self.inference})"
        return f"{self.method.name}{variant} on {self.leg.source.dataset}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Where the record, its predictions and its parameters lie."""
        source = self.leg.source
        name = f"{source.dataset}-{source.shots}shot-seed{self.seed}-{self.id[:10]}"
        return out / self.suite / self.protocol / self.method.name / name

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

    def done(self) -> list[Cell]:
        """Cells whose record exists."""
        return [cell for cell in self.cells if (cell.folder(self.out) / "record.json").is_file()]

    def pending(self) -> list[Cell]:
        """Cells still to compute, in order."""
        done = {cell.id for cell in self.done()}
        return [cell for cell in self.cells if cell.id not in done]

    def datasets(self) -> list[str]:
        """All data sets of the plan, each once."""
        return _datasets(self.legs)


def build(request: Request, precision: str) -> Plan:
    """The plan of a request.

    Raises:
        UserError: data sets without a card or not prepared, a configuration that does not hold,
            decoupled inference of a method that has none.
    """
    suite = request.resolved_suite()
    methods = [METHODS.load(name) for name in request.methods]
    if request.baseline and BASELINE not in request.methods:
        methods.insert(0, METHODS.load(BASELINE))
    known = known_names([*methods, PROTOCOLS.load(request.protocol)])
    protocol = load_protocol(request.protocol, suite.name, known)
    legs = tuple(protocol.legs(suite.shots, request.datasets))
    digests = store.digests(_datasets(legs), request.root)
    backbones.architecture(suite.backbone)
    checkpoint = checkpoints.find(suite.backbone, suite.weights)
    shared = {
        "protocol": request.protocol,
        "protocol_version": protocol.version,
        "suite": suite.name,
        "backbone": suite.backbone,
        "weights": suite.weights,
        "weights_sha256": checkpoint.sha256,
        "precision": precision,
        "limit": request.limit,
        "preset": request.preset,
    }
    cells = [
        _cell(request, suite, method, leg, seed, known, digests, shared)
        for leg in legs
        for method in methods
        for seed in suite.seeds
    ]
    return Plan(suite, request.protocol, protocol, legs, tuple(cells), Path(request.out))


def known_names(plugins: Sequence[Plugin[Any]]) -> KnownNames:
    """What the configuration of a run with these plugins may name."""
    protocols = frozenset(PROTOCOLS.names())
    return KnownNames(
        configurables={p.cls.__name__: p.cls for p in plugins} | {"Recipe": Recipe},
        protocols=protocols,
        datasets=frozenset(cards.names()).union(*map(datasets_of, suite_names())),
        suites=frozenset(suite_names()),
    )


def load_protocol(name: str, suite: str, known: KnownNames) -> Protocol:
    """A protocol with the data sets that its gin file binds for a suite."""
    plugin = PROTOCOLS.load(name)
    files = (plugin.gin_file,) if plugin.gin_file else ()
    with config.configured(ConfigSources(files), known, suite):
        protocol: Protocol = plugin.cls()
    return protocol


def datasets_of(suite: str) -> list[str]:
    """Data sets that the protocols name for a suite, each once."""
    protocols = PROTOCOLS.names()
    found: list[str] = []
    for name in protocols:
        plugin = PROTOCOLS.load(name)
        known = KnownNames(
            configurables={plugin.cls.__name__: plugin.cls},
            protocols=frozenset(protocols),
            datasets=frozenset(),
            suites=frozenset(suite_names()),
        )
        found += _datasets(load_protocol(name, suite, known).legs(1))
    return list(dict.fromkeys(found))


def _datasets(legs: Iterable[Leg]) -> list[str]:
    """The data sets of legs, each once: a leg's source, then its targets."""
    named = [[leg.source.dataset, *(t.dataset for t in leg.targets)] for leg in legs]
    return list(dict.fromkeys(name for names in named for name in names))


def _cell(
    request: Request,
    suite: Suite,
    method: Plugin[Any],
    leg: Leg,
    seed: int,
    known: KnownNames,
    digests: dict[str, str],
    shared: dict[str, Any],
) -> Cell:
    decoupled = request.inference == "decoupled" and method.name != BASELINE
    if decoupled and not has_decoupled_inference(method.cls):
        raise UserError(
            f"{method.cls.title} has no decoupled inference; drop --inference decoupled or run it "
            "for methods that have it (promptbench ls methods)"
        )
    shipped = tuple(file for file in (method.gin_file, suite.overlay_file(method.name)) if file)
    own = tuple(Path(path) for path in request.gin)
    sources = ConfigSources((*shipped, *own), tuple(request.set))
    parts = [request.protocol] + ([leg.source.dataset] if request.preset == "paper" else [])
    scope = "/".join(parts)
    settings = _settings(method, sources, known, scope)
    usual = _settings(method, ConfigSources(shipped), known, scope)
    return Cell(
        method=method,
        leg=leg,
        seed=seed,
        inference="decoupled" if decoupled else "unified",
        scope=scope,
        sources=sources,
        known=known,
        parameters=settings[method.cls.__name__],
        recipe=settings.get("Recipe", {}),
        overrides=_differences(usual, settings),
        cards_sha256=digests,
        **shared,
    )


def _settings(
    method: Plugin[Any], sources: ConfigSources, known: KnownNames, scope: str
) -> dict[str, dict[str, Any]]:
    """Every parameter in force, by class; methods that learn nothing have no recipe."""
    classes = [method.cls] if method.cls.paradigm == "zero-shot" else [method.cls, Recipe]
    with config.configured(sources, known, scope):
        return {cls.__name__: config.effective(cls, scope) for cls in classes}


def _differences(usual: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """The settings that the user changed, as bindings."""
    return [
        f"{cls}.{name} = {value!r}"
        for cls, values in sorted(now.items())
        for name, value in sorted(values.items())
        if value != usual[cls][name]
    ]


def _digest(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

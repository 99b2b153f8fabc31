"""A record's cell on this machine: the request and the settings that it was computed with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from promptbench import config
from promptbench.config import ConfigSources, suites
from promptbench.core import selection
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.core.traits import uses_class_texts
from promptbench.data.shards import store
from promptbench.models import backbones
from promptbench.planning import cells, class_texts
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.planning.settings import datasets_named, known_names, scope_of, settings_of
from promptbench.records import Record
from promptbench.report.gather import legs_of


@dataclass(frozen=True)
class Whereabouts:
    """Where data, weights and class texts lie, which a record cannot know; None or empty: where it
    says, or the dataset's card."""

    data: str | None = None
    weights: str | None = None
    class_texts: tuple[str, ...] = ()


def request_of(old: Record, here: Whereabouts) -> Request:
    """The request that asks for a record's cell."""
    own = suites.load(old.suite)
    usual = here.weights is None and (old.backbone.name, old.backbone.weights) == (
        own.backbone,
        own.weights,
    )
    return Request(
        methods=[old.method.name],
        protocol=old.protocol.name,
        suite=old.suite,
        data=here.data,
        backbone=None if usual else old.backbone.weights_preset or old.backbone.name,
        weights=None if usual else here.weights or old.backbone.weights,
        seeds=[old.seed],
        limit=old.limit,
        class_texts=here.class_texts,
    )


def machine_of(old: Record, machine: Machine, folder: Path) -> Machine:
    """A machine as it computes a record's cell: in the record's precision, into a folder."""
    return replace(machine, precision=old.environment.precision, out=folder)


def cell_of(old: Record, request: Request, config_file: Path) -> Cell:
    """The record's cell, with the settings of its operative configuration and no others."""
    method, protocol = METHODS.load(old.method.name), PROTOCOLS.load(old.protocol.name)
    known = known_names([method, protocol])
    (leg,) = legs_of([old])
    scope = scope_of(old.protocol.name, protocol.cls(), old.preset, leg)
    recorded = config.load(ConfigSources((config_file,)), known)
    settings = settings_of(method, recorded, scope, leg.source.shots)
    suite = request.resolved_suite()
    checkpoint = backbones.find(suite.backbone, suite.weights, suite.weights_preset)
    digests = store.digests(datasets_named([leg]), request.root)
    described = cells.of_record(old, method, selection.of_protocol(protocol), digests)
    parameters = settings[method.cls.__name__]
    shelf = class_texts.shelf_of(request.class_texts, suite.backbone)
    return replace(
        described,
        protocol_version=protocol.cls.version,
        leg=leg,
        backbone=suite.backbone,
        weights=checkpoint.label,
        preprocess=backbones.preprocess_of(suite.backbone, checkpoint).departures,
        parameters=parameters,
        recipe=settings.get("Recipe", {}),
        weights_sha256=checkpoint.sha256,
        class_texts=shelf.of(leg) if uses_class_texts(method.cls, parameters) else {},
    )

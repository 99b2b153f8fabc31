"""What services that keep runs receive of a cell: names, groups, tags, configuration. Plain data.

A run's facts are the same whether they come from a cell that begins or from its record later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptbench.core import selection
from promptbench.core.traits import extra_data_of
from promptbench.data.cards import cards
from promptbench.data.shards import store
from promptbench.mixing.facts import APART, DECISIONS, Role, as_json, only_marked

if TYPE_CHECKING:
    from promptbench.core.protocol import Leg
    from promptbench.planning.cells import Cell
    from promptbench.records import DataInfo, Record
    from promptbench.records.tuning import TuningInfo

PROJECT = "promptbench"

# The configuration of a run, each with the facts of a record that it holds. Those that keep records
# out of a common row (see `promptbench.mixing`) make another group, and so does another source.
HOLDS: dict[str, tuple[str, ...]] = {
    "suite": ("suite",),
    "protocol": ("protocol.name",),
    "protocol_version": ("protocol.version",),
    "selection": ("protocol.selection",),
    "method": ("method.name",),
    "title": ("method.title",),
    "paradigm": ("method.paradigm",),
    "provider": ("method.provider",),
    "source_sha256": ("method.source_sha256",),
    "extra_data": ("method.extra_data",),
    "class_texts": ("data.*.class_texts_sha256",),
    "parameters": ("method.parameters",),
    "recipe": ("training.recipe",),
    "inference": ("inference",),
    "preset": ("preset",),
    "overrides": ("overrides",),
    "limit": ("limit",),
    "source": ("source.dataset",),
    "classes": ("source.classes",),
    "shots": ("source.shots",),
    "backbone": ("backbone.name",),
    "weights": ("backbone.weights",),
    "weights_sha256": ("backbone.sha256",),
    "preprocess": (
        "backbone.mean",
        "backbone.std",
        "backbone.interpolation",
        "backbone.resize_mode",
        "backbone.fill_color",
    ),
    "precision": ("environment.precision",),
    "tuning": tuple(path for path in DECISIONS if path.startswith("tuning.")),
    "class_sets": ("data.*.class_sets",),  # where there are some of the protocol's own
    "data": ("data.*.card_sha256", "data.*.shards_sha256", "data.*.resize_short"),
}
_APART = (*APART, Role.COLUMN)


@dataclass(frozen=True)
class RunFacts:
    """A run: its id is the cell's, its group the configuration without the seed.

    Runs of one group may share a row of a table (see `promptbench.mixing`): what distinguishes rows
    and is known before a cell is computed is part of the group.
    """

    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]


def of_cell(cell: Cell) -> RunFacts:
    """The facts of a cell, before anything is computed."""
    source, method = cell.leg.source, cell.method.cls
    used = dict.fromkeys([source.dataset, *(target.dataset for target in cell.leg.targets)])
    return _facts(
        cell.id,
        {
            "provider": cell.method.provider,
            "source_sha256": cell.method.source_sha256,
            "title": method.title,
            "paradigm": method.paradigm,
            "extra_data": extra_data_of(method, cell.parameters),
            "selection": selection.recorded(cell.selection),
            "weights_sha256": cell.weights_sha256,
            "preprocess": cell.preprocess,
            "data": {name: cell.cards_sha256[name] for name in used},
            **_class_sets(cell.leg),
            **_tuning(cell.tuning),
            **_class_texts({name: texts.sha256 for name, texts in cell.class_texts.items()}),
            "suite": cell.suite,
            "protocol": cell.protocol,
            "protocol_version": cell.protocol_version,
            "method": cell.method.name,
            "inference": cell.inference,
            "preset": cell.preset,
            "source": source.dataset,
            "classes": source.classes,
            "shots": source.shots,
            "backbone": cell.backbone,
            "weights": cell.weights,
            "precision": cell.precision,
            "limit": cell.limit,
            "overrides": cell.overrides,
            "parameters": cell.parameters,
            "recipe": cell.recipe,
        },
        cell.seed,
    )


def of_record(record: Record) -> RunFacts:
    """The facts of a finished cell, from its record."""
    source, method = record.source, record.method
    return _facts(
        record.cell_id,
        {
            "provider": method.provider,
            "source_sha256": method.source_sha256,
            "title": method.title,
            "paradigm": method.paradigm,
            "extra_data": method.extra_data,
            "selection": record.protocol.selection,
            "weights_sha256": record.backbone.sha256,
            "preprocess": record.backbone.preprocess.departures,
            "data": {name: _data(name, info) for name, info in record.data.items()},
            **_class_sets(record.leg),
            **_tuning(record.tuning),
            **_class_texts({name: info.class_texts_sha256 for name, info in record.data.items()}),
            "suite": record.suite,
            "protocol": record.protocol.name,
            "protocol_version": record.protocol.version,
            "method": record.method.name,
            "inference": record.inference,
            "preset": record.preset,
            "source": source.dataset,
            "classes": source.classes,
            "shots": source.shots,
            "backbone": record.backbone.name,
            "weights": record.backbone.weights,
            "precision": record.environment.precision,
            "limit": record.limit,
            "overrides": record.overrides,
            "parameters": record.method.parameters,
            "recipe": record.training.recipe if record.training.losses else {},
        },
        record.seed,
    )


def _class_sets(leg: Leg) -> dict[str, Any]:
    return {"class_sets": leg.class_sets} if leg.class_sets else {}


def _tuning(info: TuningInfo | None) -> dict[str, Any]:
    """What has chosen the settings, where a search has."""
    return {} if info is None else {"tuning": info.model_dump(mode="json")}


def _class_texts(by_dataset: Mapping[str, str | None]) -> dict[str, Any]:
    found = {name: sha256 for name, sha256 in by_dataset.items() if sha256 is not None}
    return {"class_texts": found} if found else {}


def _data(name: str, info: DataInfo) -> str:
    """What determines the numbers of a dataset, as cells know it before its shards are read."""
    card = cards.load(name) if name in cards.names() else None
    if card is not None and card.digest == info.card_sha256:
        return store.digest_of(card, info.shards_sha256, info.resize_short)
    return f"{info.card_sha256} {info.shards_sha256} {info.resize_short}"


def _facts(cell_id: str, configuration: dict[str, Any], seed: int) -> RunFacts:
    plain = json.loads(json.dumps(configuration, default=str))
    facts = {
        name: value
        for name, value in plain.items()
        if any(
            DECISIONS[path].role in _APART and not only_marked(plain["provider"], path)
            for path in HOLDS[name]
        )
    }
    digest = hashlib.sha256(as_json(facts).encode()).hexdigest()[:8]
    c = plain
    variant = "" if c["inference"] == "unified" else f"-{c['inference']}"
    if c["selection"] != selection.USUAL:
        variant += f"-{c['selection'].replace(' ', '-')}"
    place = f"{c['source']}-{c['shots']}shot"
    return RunFacts(
        id=cell_id[:24],
        name=f"{c['method']}{variant}-{place}-seed{seed}"[:128],
        group=f"{c['protocol']}/{c['method']}{variant}/{place}-{c['preset']}-{digest}"[:128],
        job_type=c["protocol"],
        tags=tuple(
            dict.fromkeys(
                tag[:64]
                for tag in (
                    *(c[key] for key in ("suite", "protocol", "method", "inference", "preset")),
                    *(c["source"], f"{c['shots']}-shot", c["backbone"]),
                )
            )
        ),
        config={**plain, "seed": seed, "cell_id": cell_id},
    )

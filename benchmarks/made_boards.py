"""Many records of a made-up field, with predictions, which every check accepts.

    python -m benchmarks.made_boards FOLDER --records 20000

Nothing is computed: settings, ids and few-shot subsets are those of the plan, predictions are
drawn from a class-wise accuracy of each method's own. Methods are the built-in ones and so many
others that there are `--methods`, which nobody has installed; seeds count on until there are
enough records. Datasets are small ones of the demo suite, prepared here if they are not.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptbench import records
from promptbench.core import selection
from promptbench.core.course import Course
from promptbench.core.pooling import learned_places
from promptbench.core.protocol import Target
from promptbench.core.recipe import Recipe
from promptbench.core.traits import extra_data_of, has_solver
from promptbench.data import fewshot
from promptbench.data.shards import store
from promptbench.data.shards.shards import ShardSet
from promptbench.leaderboard.checking import building
from promptbench.models import backbones
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.records.predictions import Table, encoded
from promptbench.running.lab import environment
from promptbench.running.training.learner import in_force, operative_of
from promptbench.support.progress import Reporter

BOARDS = (("few_shot", ("fills", "color_shape")), ("generalized_base_to_new", ("color_shape",)))
OTHERS = "promptbench-others 1.0, file 0123456789abcdef"  # who provides what is not installed
_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def main() -> None:
    options = arguments()
    for _ in written(options.folder, options.records, options.methods):
        pass


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--methods", type=int, default=100)
    return parser.parse_args()


def written(folder: Path, count: int, methods: int) -> Iterator[Record]:
    """Write so many records to a folder, seed by seed, and yield each."""
    made = itertools.chain.from_iterable(cells_of(seed, methods) for seed in itertools.count(1))
    for number, (cell, name) in enumerate(itertools.islice(made, count)):
        yield write(cell, name, folder, number)


def cells_of(seed: int, methods: int) -> list[tuple[Cell, str | None]]:
    """The cells of a seed, each with the name of its method if that is somebody else's."""
    cells = [replace(cell, seed=seed) for protocol, _ in BOARDS for cell in _planned(protocol)]
    built_in = list(dict.fromkeys(cell.method.name for cell in cells))[:methods]
    own = [(cell, None) for cell in cells if cell.method.name in built_in]
    coop = [cell for cell in cells if cell.method.name == "coop"]
    named = (f"another_{number:02d}" for number in range(methods - len(built_in)))
    return [*own, *((cell, name) for name in named for cell in coop)]


@cache
def _planned(protocol: str) -> tuple[Cell, ...]:
    for name in dict(BOARDS)[protocol]:
        store.provide(name, None, Reporter())
    request = Request(
        methods=("all",), protocol=protocol, datasets=dict(BOARDS)[protocol], seeds=(1,)
    )
    return tuple(plan.build(request, "fp32").cells)


def write(cell: Cell, name: str | None, folder: Path, number: int) -> Record:
    """Write the record of a cell, as that of another method if there is a `name`."""
    rng = np.random.default_rng([number, cell.seed])
    source = cell.leg.source
    cell_id = cell.id if name is None else _digest([cell.id, name])
    place = f"{source.dataset}-{source.shots}shot-seed{cell.seed}-{cell_id[:10]}"
    own = folder / cell.suite / cell.protocol / (name or cell.method.name) / place
    (own / "predictions").mkdir(parents=True, exist_ok=True)
    keys = _few_shots(source.dataset, source.shots, cell.seed, _labels_of(cell))
    skill = np.random.default_rng(list((name or cell.method.name).encode())).uniform(0, 3)
    training = _training(cell, len(keys), own, rng)
    recipe = Recipe(**cell.recipe)
    config = operative_of(cell, recipe)
    if name is not None:
        config = config.replace(cell.method.cls.__name__, "Another")
    used = dict.fromkeys([source.dataset, *(target.dataset for target in cell.leg.targets)])
    backbone = backbones.find(cell.backbone, cell.weights)
    entering = backbones.preprocess_of(cell.backbone, backbone)
    made = Record(
        cell_id=cell_id,
        training_id=cell.training_id if name is None else _digest([cell.training_id, name]),
        suite=cell.suite,
        comparable=False,
        method=_method(cell, name, len(keys)),
        preset=cell.preset,
        overrides=cell.overrides,
        inference=cell.inference,
        protocol=records.ProtocolInfo(
            name=cell.protocol,
            version=cell.protocol_version,
            selection=selection.recorded(cell.selection),
        ),
        source=records.SourceInfo(
            dataset=source.dataset, classes=source.classes, shots=source.shots, keys=keys
        ),
        seed=cell.seed,
        limit=None,
        backbone=records.BackboneInfo(
            name=cell.backbone,
            weights=cell.weights,
            sha256=cell.weights_sha256,
            activation_verified=True,
            image_size=entering.size,
            mean=entering.mean,
            std=entering.std,
            interpolation=entering.interpolation,
            resize_mode=entering.resize_mode,
        ),
        config=config,
        config_sha256=hashlib.sha256(config.encode()).hexdigest(),
        data={each: _data_info(each, cell) for each in used},
        training=training,
        targets=[_target(cell, target, own, skill, rng) for target in cell.leg.targets],
        environment=_environment(),
        created=(_START + datetime.timedelta(seconds=number)).isoformat(),
    )
    records.finish(made, own)
    return made


def _method(cell: Cell, name: str | None, images: int) -> records.MethodInfo:
    cls = cell.method.cls
    facts: dict[str, Any] = {
        "name": cell.method.name,
        "title": cls.title,
        "paper": cls.paper,
        "paradigm": cls.paradigm,
        "provider": cell.method.provider,
        "parameters": cell.parameters,
        "learned_parameters": _learned(cell, images),
        "extra_data": extra_data_of(cls, cell.parameters),
        "source_sha256": cell.method.source_sha256,
    }
    if name is not None:
        facts |= {"name": name, "title": f"Another-{name[-2:]}", "provider": OTHERS}
        facts |= {"extra_data": "none", "source_sha256": _digest(name)}
    return records.MethodInfo(**facts)


def _learned(cell: Cell, images: int) -> int:
    card = _data(cell.leg.source.dataset).card
    told = cell.told(card, [card.classes[label] for label in _labels_of(cell)])
    settings = json.dumps(cell.parameters, sort_keys=True)
    return building.learned_parameters(cell.method.name, cell.backbone, settings, told, images)


def _training(
    cell: Cell, images: int, folder: Path, rng: np.random.Generator
) -> records.TrainingInfo:
    cls = cell.method.cls
    learns = cls.paradigm != "zero-shot"
    drawn = rng.bytes(64)  # in place of what a method learns: only its hash is looked at
    if learns:
        (folder / records.PARAMETERS).write_bytes(drawn)
    recipe = Recipe(**cell.recipe)
    epochs, steps = 0, 0
    if learns and not has_solver(cls):
        course = Course.of(recipe, images, cell.leg.source.shots)
        epochs, steps = course.n_epochs, course.steps
    return records.TrainingInfo(
        recipe=in_force(cell, recipe) if learns else {},
        epochs=epochs,
        steps=steps,
        seconds=round(float(rng.uniform(1, 20)), 3),
        losses=[
            {"ce": 2.0 * math.exp(-epoch / 5) + float(rng.random())} for epoch in range(epochs)
        ],
        parameters_sha256=hashlib.sha256(drawn).hexdigest() if learns else None,
    )


def _target(
    cell: Cell, target: Target, folder: Path, skill: float, rng: np.random.Generator
) -> records.TargetResult:
    data = _data(target.dataset)
    competing = target.competing_in(len(data.card.classes))
    learned = learned_places(cell.leg.source, target, len(data.card.classes))
    keys, labels = _images(target)
    table = Table(keys, _columns(labels, len(competing), learned, skill, rng))
    name = f"predictions/{target.key.replace('/', '-').replace('+', '-')}.csv.gz"
    packed, found = encoded(table), table.answers(len(competing))
    (folder / name).write_bytes(packed)
    return records.TargetResult(
        dataset=target.dataset,
        classes=target.classes,
        names=target.names,
        split=target.split,
        shift=target.shift,
        correct=found.right.tolist(),
        total=found.total.tolist(),
        learned=learned,
        confusions=table.labels.confusions(len(competing)),
        predictions=name,
        predictions_sha256=hashlib.sha256(packed).hexdigest(),
        seconds=round(float(rng.uniform(0.5, 2)), 3),
        class_seconds=0.1,
    )


def _columns(
    labels: NDArray[np.int64],
    classes: int,
    learned: Sequence[int] | None,
    skill: float,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """What drawn logits come to, as `running.predicting.probabilities` keeps them."""
    places = np.arange(len(labels))
    logits = rng.normal(size=(len(labels), classes))
    logits[places, labels] += skill + rng.normal(size=classes)[labels]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = p.argmax(axis=1)
    of_label, most = p[places, labels], p.max(axis=1)
    ahead = p > of_label[:, None]
    found: dict[str, NDArray[Any]] = {
        "label": labels,
        "predicted": predicted,
        "confidence": most,
        "rest": (p**2).sum(axis=1) - most**2,
        "log_loss": -np.log(of_label),
        "rank": ahead.sum(axis=1),
    }
    if learned is not None:
        flags = np.zeros(classes, dtype=np.bool_)
        flags[list(learned)] = True
        found["mass"] = p[:, flags].sum(axis=1)
        found["own"] = ~(ahead & (flags == flags[labels][:, None])).any(axis=1)
    return found


@cache
def _data(name: str) -> ShardSet:
    return store.provide(name, None, Reporter())


def _labels_of(cell: Cell) -> tuple[int, ...]:
    source = cell.leg.source
    return tuple(source.labels_in(len(_data(source.dataset).card.classes)))


@cache
def _few_shots(dataset: str, shots: int, seed: int, labels: tuple[int, ...]) -> list[str]:
    entries = _data(dataset).manifest("train")
    chosen = fewshot.sample([entry.label for entry in entries], shots, seed)
    return [entries[index].key for index in chosen if entries[index].label in labels]


@cache
def _images(target: Target) -> tuple[list[str], NDArray[np.int64]]:
    """The keys of a target's test images, and their places among the names that compete."""
    data = _data(target.dataset)
    n_classes = len(data.card.classes)
    own = set(target.labels_in(n_classes))
    places = {label: place for place, label in enumerate(target.competing_in(n_classes))}
    entries = [entry for entry in data.manifest(target.split) if entry.label in own]
    return [e.key for e in entries], np.array([places[e.label] for e in entries])


def _data_info(name: str, cell: Cell) -> records.DataInfo:
    data = _data(name)
    texts = cell.class_texts.get(name)
    return records.DataInfo(
        card_version=data.card.version,
        card_sha256=data.card.digest,
        shards_sha256=data.index.digest,
        resize_short=data.index.resize_short,
        class_texts=texts.file if texts else None,
        class_texts_sha256=texts.sha256 if texts else None,
    )


@cache
def _environment() -> records.Environment:
    return records.Environment(
        promptbench="0.1.0",
        git_revision=None,
        python="3.11.7",
        packages=environment.versions(),
        platform="made up",
        device="made up",
        precision="fp32",
        threads=1,
        peak_memory_mb=500.0,
    )


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


if __name__ == "__main__":
    main()

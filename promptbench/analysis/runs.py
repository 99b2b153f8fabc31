"""Finished runs, opened again: the record's cell and the method with what it has learned."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load

from promptbench import mixing, records
from promptbench.core.method import Method
from promptbench.core.protocol import Target
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.data import loader
from promptbench.errors import UserError, one_line
from promptbench.mixing.words import brief
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import BASELINE
from promptbench.records import Record
from promptbench.report.table import PARADIGMS
from promptbench.report.titles import row_title
from promptbench.reproduction import Whereabouts, cell_of, machine_of, request_of
from promptbench.running.lab import Lab, open_lab
from promptbench.running.lab.compute import resolve
from promptbench.running.training.learner import Learner, learner
from promptbench.storage import reading
from promptbench.support.safe_text import printable, shown_path
from promptbench.tracking import Listener

_MOST_PARAMETERS = 16 * 2**30


@dataclass(frozen=True)
class Run:
    """A finished cell that can be computed with again; `labels` tell its row from others."""

    folder: Path
    record: Record
    cell: Cell
    lab: Lab
    labels: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The method as tables call it, with its changed settings and its labels."""
        return printable(row_title(self.record, self.labels, shifted=False))

    @property
    def is_baseline(self) -> bool:
        return self.record.method.name == BASELINE

    @property
    def learned(self) -> bool:
        """Whether there are learned parameters."""
        return self.record.training.parameters_sha256 is not None

    @property
    def reference(self) -> Target:
        """Test images of the classes that were learned: a target of the record, or else its own."""
        source = self.cell.leg.source
        for target in self.cell.leg.targets:
            if target.shift == "none":
                return target
        return Target(source.dataset, source.classes, "none", labels=source.labels)

    @property
    def shifted(self) -> list[Target]:
        """The targets that differ from what was learned."""
        return [target for target in self.cell.leg.targets if target.shift != "none"]

    def name(self, target: Target) -> str:
        """ "base" for the learned classes, "new" for the others of the dataset, else its name;
        where several targets show others of the dataset, each is called by its class set."""
        if target == self.reference:
            return "base"
        if target.dataset != self.record.source.dataset:
            return target.dataset
        beside = [t for t in self.shifted if t.dataset == target.dataset]
        return "new" if beside == [target] else target.key.partition("/")[2]

    def class_names(self, target: Target) -> tuple[str, ...]:
        """The class names that a target is scored over, in label order."""
        return loader.class_names(self.lab.data[target.dataset], target)

    def learner(self) -> Learner:
        """The method as its training starts."""
        return learner(self.cell, self.lab)

    def method(self) -> Method:
        """The method with its learned parameters, in evaluation mode."""
        method = self.learner().method
        if self.learned:
            data = self._parameters()
            try:
                method.load_state_dict(load(data), strict=True)
            except (SafetensorError, RuntimeError) as error:
                raise UserError(
                    f"{shown_path(self.folder / records.PARAMETERS)} does not hold what "
                    f"{method.title} learns: {one_line(error)}"
                ) from error
            method.to(self.lab.compute.device)
        return method.eval()

    def _parameters(self) -> bytes:
        path = self.folder / records.PARAMETERS
        try:
            data = reading.read_bytes(path, _MOST_PARAMETERS, "the learned parameters")
        except UserError as error:
            raise UserError(
                f"{error}; an analysis needs the learned parameters beside the record"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.record.training.parameters_sha256:
            raise UserError(
                f"{shown_path(path)} is not what the record beside it was computed with"
            )
        return data


def open_runs(
    places: Sequence[Path],
    machine: Machine,
    listener: Listener,
    here: Whereabouts | None = None,
) -> list[Run]:
    """The runs of all records under `places`, one per training, protocol and limit.

    Records that differ only in their inference rule share a network, and count once.

    Raises:
        UserError: no records; a method, dataset or weights that are not here.
    """
    found = {path: records.read(path) for path in records.find_some(places)}
    folders = {id(record): path.parent for path, record in found.items()}
    groups = [mixing.latest(group) for group in mixing.tables(found.values())]
    labels = {id(record): told for group in groups for record, told in _labelled(group)}
    together: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in _distinct([r for group in groups for r in group], labels):
        backbone, precision = record.backbone, record.environment.precision
        together[record.suite, backbone.name, backbone.sha256, precision].append(record)
    opened = [
        replace(run, labels=labels[id(run.record)])
        for group in together.values()
        for run in _opened(group, folders, machine, here or Whereabouts(), listener)
    ]
    return sorted(opened, key=_place)


def _labelled(group: Sequence[Record]) -> Iterator[tuple[Record, tuple[str, ...]]]:
    """What distinguishes the row of each record from the others of its table; a record that fits
    several rows is in the first of them."""
    rows = list(mixing.rows(group).values())
    told = zip(rows, mixing.labels(rows), strict=True)
    found = [(record, tuple(labels)) for row, labels in told for record in row]
    yield from reversed(found)


def _place(run: Run) -> tuple[Any, ...]:
    """Methods as in tables, then datasets and seeds: whatever order the cells were computed in."""
    method, source = run.record.method, run.record.source
    paradigm = PARADIGMS.index(method.paradigm) if method.paradigm in PARADIGMS else len(PARADIGMS)
    return (paradigm, run.title.lower(), source.dataset, source.shots, run.record.seed)


def _distinct(found: Sequence[Record], labels: Mapping[int, tuple[str, ...]]) -> list[Record]:
    kept: dict[tuple[Any, ...], Record] = {}
    for record in sorted(found, key=lambda record: record.inference == "decoupled"):
        protocol = record.protocol
        training = (record.training_id, record.protocol.selection, labels[id(record)])
        key = (*training, record.suite, protocol.name, protocol.version, record.limit)
        kept.setdefault(key, record)
    chosen = {id(record) for record in kept.values()}
    return [record for record in found if id(record) in chosen]


def _opened(
    group: Sequence[Record],
    folders: dict[int, Path],
    machine: Machine,
    here: Whereabouts,
    listener: Listener,
) -> list[Run]:
    for record in group:
        _known(record, folders[id(record)])
    with tempfile.TemporaryDirectory(prefix="analysis-") as scratch:
        cells = []
        for number, record in enumerate(group):
            out = Path(scratch)
            request = request_of(record, here)
            settings = out / f"{number}.gin"
            settings.write_text(record.config, encoding="utf-8")
            cells.append(cell_of(record, request, settings))
        protocol = PROTOCOLS.load(group[0].protocol.name).cls()
        legs = tuple(cell.leg for cell in cells)
        suite = request.resolved_suite()
        name, root = group[0].protocol.name, request.root
        made = Plan(suite, name, protocol, legs, tuple(cells), out, root=root)
        machine = machine_of(record, machine, out)
        compute = resolve(machine.device, machine.precision)
        lab = open_lab([made], machine, compute, listener)
    _same_weights(lab, group)
    for record, cell in zip(group, cells, strict=True):
        _same_data(lab, record, folders[id(record)])
        _same_texts(cell, record, folders[id(record)])
    return [
        Run(folders[id(record)], record, cell, lab)
        for record, cell in zip(group, cells, strict=True)
    ]


def _same_weights(lab: Lab, group: Sequence[Record]) -> None:
    """Refuse other weights than the records', or other words about them beside their file."""
    if lab.backbone.sha256 != group[0].backbone.sha256:
        raise UserError(
            f"the weights {lab.backbone.weights} are not those of the records "
            f"({group[0].backbone.sha256[:12]}); name theirs with --weights"
        )
    here = lab.backbone.preprocess
    if any(record.backbone.preprocess != here for record in group):
        raise UserError(
            f"images enter the weights {lab.backbone.weights} in another way than in the records "
            f"({', '.join(here.marks) or 'as usual'}); name those of the records with --weights"
        )


def _same_data(lab: Lab, record: Record, folder: Path) -> None:
    """Refuse to look at other images than those that a record was computed with."""
    for name, info in record.data.items():
        here = lab.data[name].index.digest
        if here != info.shards_sha256:
            a, b = brief([here, info.shards_sha256])
            raise UserError(
                f"{name} has other images here ({a}) than those of {shown_path(folder)} ({b}); "
                "name the root of theirs with --data, or the runs on these images"
            )


def _same_texts(cell: Cell, record: Record, folder: Path) -> None:
    """Refuse other sentences about classes than those that a record was computed with."""
    for name, texts in cell.class_texts.items():
        held = record.data[name].class_texts_sha256
        if texts.sha256 != held:
            a, b = brief([texts.sha256, str(held)])
            raise UserError(
                f"{name} has other class texts here ({texts.file}, {a}) than those of "
                f"{shown_path(folder)} ({record.data[name].class_texts}, {b}); name the "
                "file of theirs with --class-texts"
            )


def _known(record: Record, folder: Path) -> None:
    """Refuse a method that is not here, or whose code is not that of the record."""
    if record.method.name not in METHODS.names():
        raise UserError(
            f"method {record.method.name!r} of a record is not installed; name its file with "
            "--plugin"
        )
    here = METHODS.load(record.method.name).provider
    if here != record.method.provider:
        a, b = brief([here, record.method.provider])
        raise UserError(
            f"method {record.method.name!r} has other code here ({a}) than in {shown_path(folder)} "
            f"({b}); name the file that computed it with --plugin, or the runs of this code"
        )

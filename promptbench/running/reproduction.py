"""Computing a record's cell again from the record alone, and saying how the two compare."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from promptbench import backbones, suites
from promptbench import records as store
from promptbench.config import ConfigSources
from promptbench.data import store as data_store
from promptbench.errors import UserError
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.planning.settings import datasets_named, known_names, scope_of, settings_of
from promptbench.prose import say
from promptbench.records import Record
from promptbench.registry import METHODS, PROTOCOLS
from promptbench.report.gather import legs_of
from promptbench.running import compute, runner
from promptbench.safe_text import printable
from promptbench.storage.files import ensure_writable

Outcome = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Verdict:
    """How a cell computed again compares with its record.

    `numbers` says in what the numbers differ, `circumstances` what else is not as it was (weights,
    data, configuration, code, machine), `same` which of these are.
    """

    outcome: Outcome
    tolerance: float
    numbers: tuple[str, ...]
    circumstances: tuple[str, ...]
    same: tuple[str, ...]


def reproduce(
    path: Path,
    *,
    tolerance: float = 0.5,
    out: str | None = None,
    data: str | None = None,
    weights: str | None = None,
    device: str = "auto",
    workers: int = 2,
    quiet: bool = False,
) -> Verdict:
    """Run the cell of a record (its file or folder) and compare.

    `tolerance` is in points of accuracy per target.

    Raises:
        UserError: a tolerance that is no number from 0 on, a method, protocol, data set or weights
            that are not here, or settings in the record that this version does not know.
    """
    if not 0 <= tolerance < math.inf:  # nan is neither
        raise UserError(f"--tolerance must be points of accuracy from 0 on, not {tolerance}")
    old = store.read(_record_in(path) if path.is_dir() else path)
    with _folder(out) as folder:
        request = request_of(old, folder, data, weights, device, workers, quiet)
        suite = request.resolved_suite()
        resolved = compute.resolve(request.device, request.precision)
        config_file = folder / "record.gin"
        config_file.write_text(old.config, encoding="utf-8")
        cell = cell_of(old, request, config_file)
        protocol = PROTOCOLS.load(old.protocol.name).cls()
        made = Plan(suite, old.protocol.name, protocol, (cell.leg,), (cell,), folder)
        new = runner.compute_plans([made], request, resolved)[0]
    numbers = _numbers(old, new)
    circumstances = _circumstances(old, new)
    return Verdict(
        outcome=_outcome(old, new, numbers, tolerance),
        tolerance=tolerance,
        numbers=tuple(map(printable, numbers)),
        circumstances=tuple(printable(text) for text in circumstances.values() if text),
        same=tuple(name for name, text in circumstances.items() if not text),
    )


def _record_in(folder: Path) -> Path:
    """The record of a cell's folder; of a folder above it, one is named."""
    if not (folder / store.RECORD).is_file():
        first = store.find_some([folder])[0]
        raise UserError(f"{folder} is not the folder of one cell; give a record, such as {first}")
    return folder / store.RECORD


@contextmanager
def _folder(out: str | None) -> Iterator[Path]:
    """A folder without earlier cells or trainings in it."""
    if out is not None:
        ensure_writable(Path(out))
        yield Path(tempfile.mkdtemp(prefix="reproduction-", dir=out))
        return
    with tempfile.TemporaryDirectory(prefix="reproduction-") as name:
        yield Path(name)


def request_of(
    old: Record,
    folder: Path,
    data: str | None,
    weights: str | None,
    device: str,
    workers: int,
    quiet: bool,
) -> Request:
    """The request that asks for a record's cell, on this machine."""
    own = suites.load(old.suite)
    usual = weights is None and (old.backbone.name, old.backbone.weights) == (
        own.backbone,
        own.weights,
    )
    return Request(
        methods=[old.method.name],
        protocol=old.protocol.name,
        suite=old.suite,
        data=data,
        backbone=None if usual else old.backbone.name,
        weights=None if usual else weights or old.backbone.weights,
        seeds=[old.seed],
        device=device,
        precision=old.environment.precision,
        workers=workers,
        limit=old.limit,
        out=folder,
        quiet=quiet,
    )


def cell_of(old: Record, request: Request, config_file: Path) -> Cell:
    """The record's cell, with the settings of its operative configuration and no others."""
    method, protocol = METHODS.load(old.method.name), PROTOCOLS.load(old.protocol.name)
    known = known_names([method, protocol])
    (leg,) = legs_of([old])
    scope = scope_of(old.protocol.name, protocol.cls(), old.preset, leg)
    sources = ConfigSources((config_file,))
    settings = settings_of(method, sources, known, scope, leg.source.shots)
    suite = request.resolved_suite()
    return Cell(
        method=method,
        protocol=old.protocol.name,
        protocol_version=protocol.cls.version,
        suite=old.suite,
        leg=leg,
        seed=old.seed,
        preset=old.preset,
        inference=old.inference,
        backbone=suite.backbone,
        weights=suite.weights,
        precision=old.environment.precision,
        limit=old.limit,
        scope=scope,
        sources=sources,
        known=known,
        parameters=settings[method.cls.__name__],
        recipe=settings.get("Recipe", {}),
        overrides=old.overrides,
        weights_sha256=backbones.find(suite.backbone, suite.weights).sha256,
        cards_sha256=data_store.digests(datasets_named([leg]), request.root),
    )


# --- comparing ----------------------------------------------------------------------------------


def _outcome(old: Record, new: Record, numbers: list[str], tolerance: float) -> Outcome:
    if not numbers:
        return "identical"
    largest = max(abs(a - b) for a, b in _accuracies(old, new).values())
    same_task = old.source.keys == new.source.keys and _totals(old) == _totals(new)
    return "within tolerance" if same_task and largest <= tolerance else "different"


def _accuracies(old: Record, new: Record) -> dict[str, tuple[float, float]]:
    again = {target.key: target.accuracy for target in new.targets}
    return {target.key: (target.accuracy, again[target.key]) for target in old.targets}


def _totals(record: Record) -> dict[str, list[int]]:
    return {target.key: target.total for target in record.targets}


def _numbers(old: Record, new: Record) -> list[str]:
    """In which numbers two records of a cell differ, in words."""
    found = []
    if old.source.keys != new.source.keys:
        found.append("the few-shot subset has other images")
    if old.training.losses != new.training.losses:
        found.append(_losses(old, new))
    if old.training.parameters_sha256 != new.training.parameters_sha256:
        found.append("the learned parameters have other bytes")
    again = {target.key: target for target in new.targets}
    for target in old.targets:
        other = again[target.key]
        if target.total != other.total:
            found.append(f"{target.key}: {sum(target.total)} images, now {sum(other.total)}")
        if target.correct != other.correct:
            change = other.accuracy - target.accuracy
            found.append(
                f"{target.key}: {target.accuracy:.2f} % then, {other.accuracy:.2f} % now "
                f"({change:+.2f})"
            )
        elif target.predictions_sha256 != other.predictions_sha256:
            found.append(f"{target.key}: same counts, other predictions")
    return found


def _losses(old: Record, new: Record) -> str:
    then, now = old.training.losses, new.training.losses
    for epoch, (a, b) in enumerate(zip(then, now, strict=False), 1):
        for name in a:
            if a[name] != b.get(name):
                change = f"{name} {a[name]!r}, now {b.get(name)!r}"
                return f"losses differ from epoch {epoch} on: {change}"
    return f"{len(then)} epochs then, {len(now)} now"


def _circumstances(old: Record, new: Record) -> dict[str, str]:
    """What determines the numbers -> how it has changed, "" if it has not."""
    then, now = old.environment, new.environment
    code = [
        _change("provider", old.method.provider, new.method.provider),
        _change("promptbench", then.promptbench, now.promptbench),
        _change("revision", then.git_revision, now.git_revision),
        *_changes(then.packages, now.packages),
    ]
    machine = [
        _change(name, getattr(then, name), getattr(now, name))
        for name in ("python", "platform", "device", "threads")
    ]
    settings = [
        *_changes(old.method.parameters, new.method.parameters),
        *_changes(old.training.recipe, new.training.recipe),
    ]
    return {
        "weights": _change("weights", old.backbone.sha256, new.backbone.sha256),
        "data": "; ".join(
            _change(f"data of {name}", old.data[name].shards_sha256, new.data[name].shards_sha256)
            or _change(f"card of {name}", old.data[name].card_sha256, new.data[name].card_sha256)
            for name in old.data
            if old.data[name] != new.data.get(name)
        ),
        "configuration": "; ".join(filter(None, settings)),
        "protocol": _change("protocol version", old.protocol.version, new.protocol.version),
        "code": "; ".join(filter(None, code)),
        "machine": "; ".join(filter(None, machine)),
        "cell id": _change("cell id", old.cell_id, new.cell_id),
    }


def _changes(then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [_change(name, then.get(name), now.get(name)) for name in sorted({*then, *now})]


def _change(name: str, then: object, now: object) -> str:
    plain = [list(value) if isinstance(value, tuple) else value for value in (then, now)]
    if plain[0] == plain[1]:
        return ""
    a, b = (_HASH.sub(lambda match: match[0][:12], str(value)) for value in plain)
    return f"{name} {a}, now {b}"


_HASH = re.compile(r"\b[0-9a-f]{40,64}\b")  # twelve characters tell hashes apart


def show(verdict: Verdict, console: Console) -> None:
    """Print a verdict."""
    words = {
        "identical": "identical: the same subset, losses, parameters and predictions",
        "within tolerance": f"within tolerance: no target differs by more than {verdict.tolerance}"
        " points",
        "different": "different",
    }
    colour = {"identical": "green", "within tolerance": "yellow", "different": "red"}
    say(console, words[verdict.outcome], f"bold {colour[verdict.outcome]}")
    for line in verdict.numbers:
        say(console, f"  {line}")
    if verdict.same:
        say(console, f"as in the record: {', '.join(verdict.same)}")
    for line in verdict.circumstances:
        say(console, f"changed: {line}")

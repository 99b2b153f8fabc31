"""What a metric has one value of in a record: a target, or the targets of an open label space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from promptbench.core.answers import Answers
from promptbench.core.metric import Metric
from promptbench.core.pooling import pools
from promptbench.errors import UserError, one_line
from promptbench.records import Record, TargetResult
from promptbench.statistics import NOISE

File = tuple[str, str]  # hash and name of a predictions file
Folders = Mapping[File, Path]  # where predictions lie


def file_of(target: TargetResult) -> File:
    """How the predictions of a target are known."""
    return target.predictions_sha256, target.predictions


@dataclass(frozen=True)
class Part:
    """What a metric has one value of: a key in scores, and the targets behind it. `defined`:
    it can have one, given which names compete there."""

    key: str
    targets: tuple[TargetResult, ...]
    defined: bool = True

    @property
    def labels_only(self) -> bool:
        """Whether predictions of one of the targets hold no probabilities."""
        return any(target.labels_only for target in self.targets)


def parts_of(record: Record, metric: Metric) -> list[Part]:
    """What a metric has values of: a record's targets, or its open label spaces.

    A metric of these, or of the mass on learned names, is not defined for targets in which no other
    names compete with the learned ones (which schema 1 does not say).
    """
    by_key = {target.key: target for target in record.targets}
    if metric.pooled:
        found = {p.key: tuple(by_key[t.key] for t in p.targets) for p in pools(record.leg)}
        inside = {target.key for targets in found.values() for target in targets}
        rest = [Part(key, (t,), False) for key, t in by_key.items() if key not in inside]
    else:
        found, rest = {key: (target,) for key, target in by_key.items()}, []
    of_mass = metric.needs == "mass"
    return rest + [
        Part(key, own, not of_mass or all(t.labels_only or t.learned is not None for t in own))
        for key, own in found.items()
    ]


def value_of(metric: Metric, answers: Answers, where: str) -> float | None:
    """Compute a metric, which must be a finite number or None; `where` names the target.

    Raises:
        UserError: it fails, or is something else.
    """
    try:
        value = metric.value(answers)
    except Exception as error:  # a plugin may raise anything
        raise UserError(
            f"the metric {metric.name!r} fails on {where}: {one_line(error)}"
        ) from error
    if value is None:
        return None
    low, high = metric.bounds
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if number and low - NOISE <= value <= high + NOISE:
        return float(value)
    raise UserError(
        f"the metric {metric.name!r} is {value!r} on {where}; it must be a finite number within "
        f"its bounds {metric.bounds}, or None where it is not defined (see promptbench check)"
    )

"""The result record: one self-contained JSON file per cell.

Counts are the truth; metrics and means are derived and never stored. Long lists of few-shot keys
stand beside it (`promptbench.records.subset`). A record together with its predictions (CSV) and
learned parameters (safetensors) lets anyone recheck its numbers.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import ReferenceType, ref

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic import ValidationInfo as Validating

from promptbench.core.protocol import Leg, Source, Target
from promptbench.records import class_set_claims, validation_claims
from promptbench.records.infos import (
    BackboneInfo,
    DataInfo,
    Environment,
    MethodInfo,
    Name,
    Positive,
    ProtocolInfo,
    SourceInfo,
    Stated,
    TargetResult,
    TrainingInfo,
    ValidationInfo,
    Whole,
    is_known,
)
from promptbench.records.tuning import TRIAL, TuningInfo

SCHEMA = "promptbench-record/2"
LABELS_ONLY = "promptbench-record/1"  # predictions without probabilities; read for ever
RECORD = "record.json"
MOST_BYTES = 32 * 2**20  # ImageNet-21k's few-shot keys take thirteen
_NO_DATA = DataInfo(card_version=0, card_sha256="", shards_sha256="")


class Record(Stated):
    """The record of one cell."""

    schema_version: str = SCHEMA
    cell_id: str
    training_id: str
    suite: Name
    comparable: bool = Field(description="false for suites whose numbers stand for themselves")
    method: MethodInfo
    preset: str
    overrides: list[str] = Field(description="settings that the user changed, as bindings")
    inference: str
    protocol: ProtocolInfo
    source: SourceInfo
    seed: Whole
    limit: Positive | None
    backbone: BackboneInfo
    config: str = Field(description="operative gin text")
    config_sha256: str
    data: dict[Name, DataInfo]
    training: TrainingInfo
    validation: ValidationInfo | None = Field(
        default=None, description="absent where no validation image was looked at"
    )
    tuning: TuningInfo | None = Field(
        default=None, description="the search that chose the settings; absent without one"
    )
    targets: list[TargetResult] = Field(description="none of a trial, which scores no test image")
    environment: Environment
    created: str

    @model_serializer(mode="wrap")
    def _without_what_was_not_done(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A record without validation or a search is written as before there was one."""
        found: dict[str, Any] = plain(self)
        for name in ("validation", "tuning"):
            if getattr(self, name) is None:
                found.pop(name, None)
        return found

    @model_validator(mode="after")
    def _consistent(self, validating: Validating) -> Record:
        if is_known(validating):
            return self
        if self.schema_version not in (SCHEMA, LABELS_ONLY):
            known = f"{SCHEMA!r} and {LABELS_ONLY!r}"
            raise ValueError(f"schema {self.schema_version!r}; this version reads {known}")
        if bool(self.targets) == self.is_trial:
            raise ValueError("a trial has no target" if self.targets else "it has no target")
        for target in self.targets:
            if target.labels_only != self.labels_only or (self.labels_only and target.learned):
                raise ValueError(
                    f"{target.key}: confusions and learned names belong to {SCHEMA!r}, which has "
                    "confusions of every target"
                )
        twice = [key for key, n in Counter(t.key for t in self.targets).items() if n > 1]
        if twice:
            raise ValueError(f"the target {twice[0]} occurs more than once")
        held = {name: info.class_sets for name, info in self.data.items() if info.class_sets}
        totals = [target.total for target in self.targets]
        problem = class_set_claims.problem(self.leg, held, totals)
        problem = problem or validation_claims.problem_beside(self)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def likeness(self) -> object:
        """One object for all records that are known to differ only in what a seed changes; see
        `promptbench.mixing.outlines`."""
        return self

    @property
    def labels_only(self) -> bool:
        """Whether it is of schema 1, whose predictions hold labels only: of all metrics that need
        probabilities it has none."""
        return self.schema_version == LABELS_ONLY

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of a search: measured on validation images only."""
        return self.preset == TRIAL

    @property
    def leg(self) -> Leg:
        """What was learned and scored, as a protocol says it."""
        return _leg(self)

    def numbers(self, predictions: bool = True) -> dict[str, Any]:
        """Everything that must be equal when a cell is computed again, wherever and whenever;
        without the hashes of `predictions` where the other record is of another schema."""
        held_out = self.validation
        return {
            "counts": {
                t.key: (t.correct, t.total, t.predictions_sha256)[: 3 if predictions else 2]
                for t in self.targets
            },
            "losses": self.training.losses,
            "parameters": self.training.parameters_sha256,
            "subset": self.source.keys,
            **({} if held_out is None else {"validation": (held_out.keys, held_out.accuracy)}),
        }

    @property
    def numbers_sha256(self) -> str:
        """A digest of `numbers`."""
        return hashlib.sha256(json.dumps(self.numbers(), sort_keys=True).encode()).hexdigest()


Found = TypeVar("Found")


def once(look: Callable[[Record], Found]) -> Callable[[Record], Found]:
    """Find something out about each record once, for as long as the record lives."""
    return _once_by(lambda record: record, look)


def once_for_alike(look: Callable[[Record], Found]) -> Callable[[Record], Found]:
    """Find something out that does not depend on what a seed changes, once for all records of one
    `likeness`."""
    return _once_by(lambda record: record.likeness, look)


def _once_by(
    thing_of: Callable[[Record], object], look: Callable[[Record], Found]
) -> Callable[[Record], Found]:
    """Find something out once for each thing, for as long as it lives."""
    known: dict[int, tuple[ReferenceType[object], Found]] = {}  # by identity: copies may differ

    @functools.wraps(look)
    def found(record: Record) -> Found:
        thing = thing_of(record)
        key = id(thing)
        if key not in known:
            value = look(record)
            known[key] = ref(thing, lambda _: known.pop(key, None)), value
        return known[key][1]

    return found


@once_for_alike
def _leg(r: Record) -> Leg:
    own = r.source
    held = r.data.get(own.dataset, _NO_DATA)
    source = Source(own.dataset, own.classes, own.shots, held.labels(own.classes))
    return _shared(Leg(source, tuple(_target(r, target) for target in r.targets)))


def _target(r: Record, t: TargetResult) -> Target:
    held = r.data.get(t.dataset, _NO_DATA)
    labels, competing = held.labels(t.classes), held.labels(t.names)
    return Target(t.dataset, t.classes, t.shift, t.split, t.names, labels, competing)


@functools.lru_cache(maxsize=2**12)
def _shared(leg: Leg) -> Leg:
    """One object for the same leg of many records."""
    return leg

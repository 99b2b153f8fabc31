"""The result record: one self-contained JSON file per cell.

Counts are the truth; metrics and means are derived and never stored. Long lists of few-shot keys
stand beside it (`promptbench.records.subset`). A record together with its predictions (CSV) and
learned parameters (safetensors) lets anyone recheck its numbers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from weakref import ReferenceType, ref

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic import ValidationInfo as Validating

from promptbench.core.class_sets import NAME, Labels
from promptbench.core.metric import DEFAULT, Answers
from promptbench.core.protocol import Leg, Shift, Source, Target, target_key
from promptbench.core.registry import METRICS
from promptbench.models.preprocess import Interpolation, Preprocess, ResizeMode, Triple
from promptbench.records import class_set_claims, confusion_claims, validation_claims
from promptbench.records.predictions import MOST_CONFUSIONS
from promptbench.records.tuning import TRIAL, TuningInfo
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

SCHEMA = "promptbench-record/2"
LABELS_ONLY = "promptbench-record/1"  # predictions without probabilities; read for ever
RECORD, PARAMETERS = "record.json", "learned.safetensors"
MOST_BYTES = 32 * 2**20  # ImageNet-21k's few-shot keys take thirteen
_NAME = re.compile(r"\w{1,128}")


def _named(name: str) -> str:
    """Names are looked up and become folders; those of plugins are Python's identifiers."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{shortened(name)!r} is not a name (letters, digits and underscores)")
    return name


Name = Annotated[str, AfterValidator(_named)]
ClassSetName = Annotated[str, Field(pattern=f"^{NAME}$")]
Whole = Annotated[int, Field(strict=True, ge=0, le=reading.LARGEST)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100)]
Positive = Annotated[int, Field(strict=True, ge=1, le=reading.LARGEST)]


CONSISTENT = {"consistent": True}  # the context of bytes that were found to be, by this code


def _is_known(validating: Validating) -> bool:
    """Whether what a record claims was checked before, in the same bytes (`CONSISTENT`)."""
    return bool(validating.context)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodInfo(_Part):
    """The method and its configuration: every parameter of its class, in force for this cell."""

    name: Name
    title: str
    paper: str
    paradigm: str
    provider: str
    parameters: dict[str, Any]
    learned_parameters: Whole
    extra_data: str | None = Field(
        default=None, description="what it learns from beyond the few shots; null: not stated"
    )
    source_sha256: str | None = Field(
        default=None,
        description="of the method's module and gin file; None in records before it was kept",
    )


class ProtocolInfo(_Part):
    name: Name
    version: Whole
    selection: str


class SourceInfo(_Part):
    dataset: Name
    classes: ClassSetName
    shots: Positive
    keys: list[str] = Field(description="the few-shot subset, in sampled order")
    keys_sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="of a subset that is kept in subset.txt.gz beside the record, with no keys "
        "here: SHA-256 over them, one a line",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_inside(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A subset that stands in the record is written as before there was a file."""
        found: dict[str, Any] = plain(self)
        if self.keys_sha256 is None:
            del found["keys_sha256"]
        return found

    @model_validator(mode="after")
    def _in_one_place(self) -> SourceInfo:
        if self.keys and self.keys_sha256 is not None:
            raise ValueError("keys stand in the record or in a file beside it, not in both")
        return self


class BackboneInfo(_Part):
    name: str
    weights: str
    sha256: str
    activation_verified: bool
    image_size: Positive
    mean: Triple | None = Field(None, description="per channel; None in records before it was kept")
    std: Triple | None = None
    interpolation: Interpolation | None = None
    resize_mode: ResizeMode | None = None
    fill_color: Annotated[int, Field(strict=True, ge=0, le=255)] | None = Field(
        None, description="what resize_mode longest fills with; null with other modes"
    )
    weights_preset: str | None = Field(
        None, description="the preset of published weights that was named; null: none"
    )

    @property
    def preprocess(self) -> Preprocess:
        """How images entered; what a record does not hold is the field's usual."""
        names = ("mean", "std", "interpolation", "resize_mode", "fill_color")
        held = {name: value for name in names if (value := getattr(self, name)) is not None}
        return Preprocess(self.image_size, **held)


class DataInfo(_Part):
    """Hashes of a dataset that the cell has used."""

    card_version: Whole
    card_sha256: str
    shards_sha256: str
    resize_short: Positive | None = Field(
        default=None, description="shorter side to which the stored images were made smaller"
    )
    class_sets: dict[ClassSetName, list[Whole]] | None = Field(
        default=None,
        description="the labels of the class sets used, ascending; without all, base and new",
    )
    class_texts: str | None = Field(
        default=None,
        max_length=255,
        description="name of the file of sentences per class; null: the method is given none",
    )
    class_texts_sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of that file"
    )

    @model_validator(mode="after")
    def _texts_have_a_hash(self) -> DataInfo:
        if (self.class_texts is None) != (self.class_texts_sha256 is None):
            raise ValueError("class_texts and class_texts_sha256 belong together")
        return self

    def labels(self, name: str | None) -> Labels | None:
        """The labels of a class set; None for a standard one, which follows from its name."""
        held = (self.class_sets or {}).get(name or "")
        return None if held is None else tuple(held)


_NO_DATA = DataInfo(card_version=0, card_sha256="", shards_sha256="")


class TargetResult(_Part):
    """Counts of one target; accuracy is sum(correct) / sum(total)."""

    dataset: Name
    classes: ClassSetName
    names: ClassSetName | None = Field(
        None, description="whose class names compete, where not only those of `classes`"
    )
    split: str
    shift: Shift
    correct: list[Whole] = Field(description="per label")
    total: list[Whole] = Field(description="per label")
    learned: list[Whole] | None = Field(
        None,
        description="places of the learned names, ascending, where others compete with them",
    )
    confusions: dict[str, Positive] | None = Field(
        None,
        description="images of a label that were given another, as label:predicted; the most "
        f"frequent {MOST_CONFUSIONS} where more classes compete; null in schema 1",
    )
    predictions: str = Field(description="file beside the record")
    predictions_sha256: str
    seconds: float = Field(
        description="of scoring, from the first class name and image read to the predictions on "
        "disk; `class_seconds` are among them"
    )
    class_seconds: float | None = Field(
        None,
        description="of the class side, which is computed once: what the method prepares of the "
        "class names; null in records before it was kept",
    )

    @model_validator(mode="after")
    def _counts_fit(self, validating: Validating) -> TargetResult:
        if _is_known(validating):
            return self
        pairs = zip(self.correct, self.total, strict=False)
        if len(self.correct) != len(self.total) or any(not 0 <= c <= t for c, t in pairs):
            raise ValueError("correct and total do not fit")
        if not any(self.total):
            raise ValueError("it has no image")
        problem = confusion_claims.problem(self.confusions, self.correct, self.total)
        if problem is None and self.learned is not None:
            problem = class_set_claims.problem_of_learned(self.learned, len(self.total))
        if problem:
            raise ValueError(problem)
        return self

    @property
    def image_seconds(self) -> float | None:
        """The seconds of scoring without those of the class side; None where these are unknown."""
        return None if self.class_seconds is None else max(self.seconds - self.class_seconds, 0.0)

    @property
    def labels_only(self) -> bool:
        """Whether its predictions hold labels and nothing of probabilities, as in schema 1."""
        return self.confusions is None

    @property
    def key(self) -> str:
        return target_key(self.dataset, self.classes, self.names)

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy in percent over all images, the metric of this name."""
        metric = METRICS.load(DEFAULT).cls()
        return float(metric.value(Answers.of_counts(self.correct, self.total)))


class TrainingInfo(_Part):
    """The recipe in force and what training did; losses are epoch means of unweighted terms."""

    recipe: dict[str, Any]
    epochs: Whole
    steps: Whole
    seconds: float
    losses: list[dict[str, float]]
    class_chunk: Positive | None = Field(
        default=None,
        description="class prompts kept at a time, on which the last bits depend; null: all",
    )
    parameters_sha256: str | None = Field(
        description=f"of {PARAMETERS}; None if nothing is learned"
    )


class ValidationInfo(_Part):
    """The few-shot validation set of a record whose selection rule looks at one: images of the
    classes that are learned, from the dataset's validation split. The method never learns from
    it."""

    fingerprint: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 over the keys, one a line"
    )
    images: Positive
    per_class: Positive = Field(description="asked for of each class; one with fewer gives all")
    keys: list[str] = Field(description="the subset, in sampled order")
    accuracy: list[Percent] = Field(
        min_length=1,
        description="after each epoch, in percent; of a method without epochs, of its one state",
    )
    epoch: Whole | None = Field(
        description="whose state is scored, from 1; 0: a method without epochs; null: not one epoch"
    )
    seconds: float = Field(description="of measuring it; not among those of training")

    @model_validator(mode="after")
    def _consistent(self, validating: Validating) -> ValidationInfo:
        problem = None if _is_known(validating) else validation_claims.problem(self)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def chosen(self) -> float | None:
        """The accuracy of the state that is scored, in percent; None if it is not of one epoch."""
        return None if self.epoch is None else self.accuracy[max(self.epoch, 1) - 1]


class Environment(_Part):
    """Where the cell was computed."""

    promptbench: str
    git_revision: str | None
    python: str
    packages: dict[str, str]
    platform: str
    device: str
    precision: str
    threads: Whole
    peak_memory_mb: float


class Record(_Part):
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
        if _is_known(validating):
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

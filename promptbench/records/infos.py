"""What a record states, a part each: method, protocol, source, backbone, data, training, targets,
validation, environment. Together they are `promptbench.records.record`."""

from __future__ import annotations

import re
from typing import Annotated, Any

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
from promptbench.core.protocol import Shift, target_key
from promptbench.core.registry import METRICS
from promptbench.models.preprocess import Interpolation, Preprocess, ResizeMode, Triple
from promptbench.records import class_set_claims, confusion_claims, validation_claims
from promptbench.records.labels import MOST_CONFUSIONS
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

PARAMETERS = "learned.safetensors"
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


def is_known(validating: Validating) -> bool:
    """Whether what a record claims was checked before, in the same bytes (`CONSISTENT`)."""
    return bool(validating.context)


class Stated(BaseModel):
    """Something that a record states: nothing more than its fields, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodInfo(Stated):
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


class ProtocolInfo(Stated):
    name: Name
    version: Whole
    selection: str


class SourceInfo(Stated):
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


class BackboneInfo(Stated):
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


class DataInfo(Stated):
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


class TargetResult(Stated):
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
        if is_known(validating):
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


class TrainingInfo(Stated):
    """The recipe in force and what training did; losses are epoch means of unweighted terms."""

    recipe: dict[str, Any]
    epochs: Whole
    steps: Whole
    seconds: float
    losses: list[dict[str, float]]
    class_chunk: Positive | None = Field(
        default=None,
        description="class prompts kept at a time, on which the last bits depend; null: all; "
        "where a training was cut off and went on with fewer, those",
    )
    parameters_sha256: str | None = Field(
        description=f"of {PARAMETERS}; None if nothing is learned"
    )


class ValidationInfo(Stated):
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
        problem = None if is_known(validating) else validation_claims.problem(self)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def chosen(self) -> float | None:
        """The accuracy of the state that is scored, in percent; None if it is not of one epoch."""
        return None if self.epoch is None else self.accuracy[max(self.epoch, 1) - 1]


class Environment(Stated):
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

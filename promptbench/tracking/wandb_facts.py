"""What Weights & Biases receives of epochs and records. Plain data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench import records
from promptbench.core.metric import DEFAULT
from promptbench.core.registry import METRICS, PROTOCOLS
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.records import scores
from promptbench.support.safe_text import printable

if TYPE_CHECKING:
    from promptbench.core.metric import Metric
    from promptbench.core.protocol import ScoreKey, Target
    from promptbench.records import Record, TargetResult
    from promptbench.tracking.listener import Epoch

TABLE_COLUMNS = ("target", "label", "class", "correct", "total", DEFAULT)
VALIDATION = "validation/accuracy"
_LEFT_OUT = "left out of Weights & Biases"


def epoch(ended: Epoch) -> dict[str, float]:
    """What is logged after an epoch: the learning rate, every unweighted loss term, and norms."""
    losses = {f"loss/{name}": value for name, value in ended.losses.items()}
    return {"lr": ended.lr, **losses, **{f"norms/{k}": value for k, value in ended.norms.items()}}


def summary(record: Record, folder: Path | None = None) -> dict[str, Any]:
    """The record's numbers: every metric of its targets and in the protocol's own columns, cost,
    digest. Predictions are those in `folder`.

    A metric that fails is left out with a warning; so are those that need predictions which are not
    in `folder`.
    """
    return {
        **(_metrics(record, folder) if record.targets else {}),
        **_validation(record),
        "learned_parameters": record.method.learned_parameters,
        "seconds/training": record.training.seconds,
        "seconds/prediction": sum(target.seconds for target in record.targets),
        **_class_seconds(record),
        "peak_memory_mb": record.environment.peak_memory_mb,
        "device": record.environment.device,
        "numbers_sha256": record.numbers_sha256,
    }


def _validation(record: Record) -> dict[str, float]:
    """The accuracy on validation images of the state that is scored, in percent, if it is known."""
    chosen = None if record.validation is None else record.validation.chosen
    return {} if chosen is None else {VALIDATION: chosen}


def _class_seconds(record: Record) -> dict[str, float]:
    """The seconds of the class side, which are among those of prediction, where it is known."""
    known = [t.class_seconds for t in record.targets if t.class_seconds is not None]
    return {"seconds/classes": sum(known)} if len(known) == len(record.targets) else {}


def _metrics(record: Record, folder: Path | None) -> dict[str, float]:
    """The metrics by target, as `accuracy/dtd/new`, and as `_columns`."""
    places = {} if folder is None else scores.folders_of([(record, folder)])
    found: dict[str, float] = {}
    lacking: list[str] = []
    for scorer in scores.together(_loaded(), places):
        try:
            name, scored = scorer.metric.name, scorer.score(record)
            values = scored.values
            found |= {f"{name}/{key}": value for (_, _, key), value in values.items()}
            found |= _columns(record, scorer.metric, values)
            if scored.missing and folder is not None:
                lacking.append(scorer.metric.short)
        except UserError as error:
            warnings.warn(f"{_LEFT_OUT}: {error}", stacklevel=2)
    if lacking:
        names = printable(", ".join(lacking))
        warnings.warn(
            f"{_LEFT_OUT}, without predictions beside the record: {names}",
            stacklevel=2,
        )
    return found


def _loaded() -> list[Metric]:
    """All metrics that can be made, the default one first; others are named in a warning."""
    found = []
    for name in dict.fromkeys((DEFAULT, *METRICS.names())):
        try:
            found.append(scores.load(name))
        except UserError as error:
            warnings.warn(f"{_LEFT_OUT}: {error}", stacklevel=3)
    return found


def _columns(record: Record, metric: Metric, values: Mapping[ScoreKey, float]) -> dict[str, float]:
    """The columns of the record's own table, `score/HM`; those of its source (base, new, HM) by
    short names. Columns of other metrics than the usual one stand under the metric's name."""
    from promptbench.report.build import columns_of
    from promptbench.report.gather import legs_of

    protocol = PROTOCOLS.load(record.protocol.name).cls()
    prefix = "score" if metric.name == DEFAULT else f"score/{metric.name}"
    found = {}
    for column in columns_of(protocol, legs_of([record]), metric):
        value = column.value(values)
        if value is not None and not column.members:
            own = column.group == record.source.dataset
            found[
                f"{prefix}/{column.title}" if own else f"{prefix}/{column.group}/{column.title}"
            ] = value
    return found


def per_class(record: Record) -> list[list[Any]]:
    """The metric per class, one row each (`TABLE_COLUMNS`); class names as the cards have them."""
    metric = scores.load()
    pairs = zip(record.targets, record.leg.targets, strict=True)
    return [row for target, asked in pairs for row in _rows(target, asked, metric)]


def _rows(target: TargetResult, asked: Target, metric: Metric) -> list[list[Any]]:
    names: list[str] = []
    if target.dataset in cards.names():
        classes = cards.load(target.dataset).classes
        competing = asked.competing_in(len(classes))
        names = [classes[label] for label in competing if label < len(classes)]
    if len(names) != len(target.total):  # a record of another version of the dataset
        names = [str(label) for label in range(len(target.total))]
    return [
        [target.key, label, name, correct, total, scores.per_class(correct, total, metric)]
        for label, (name, correct, total) in enumerate(
            zip(names, target.correct, target.total, strict=True)
        )
        if total
    ]


def learned_norms(folder: Path) -> dict[str, float]:
    """The norm of every learned tensor, by its name; the name holds the block.

    Raises:
        UserError: a file that does not hold tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / records.PARAMETERS
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} does not hold learned parameters: {error}") from error
    return {f"norm/{name}": float(t.float().norm()) for name, t in tensors.items()}

"""Records as a pandas DataFrame: one row per cell and target. Needs the extra `dataframe`."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench import records as store
from promptbench.core.metric import Metric
from promptbench.core.pooling import pools
from promptbench.core.registry import METHODS
from promptbench.core.selection import name_of
from promptbench.data.cards.places import cache_folder
from promptbench.errors import UserError, near_miss
from promptbench.records import Record, TargetResult, scores
from promptbench.records.scores import Scorer
from promptbench.report import gather, index
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered

_METHOD = "method"  # whose a setting is, beside the recipe

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1  # grows when a column goes or changes its meaning, not when one is added
ATTRIBUTE = "promptbench_results"  # of the frame, where the version stands
# Name -> what it holds. The columns of metrics and of settings follow these.
COLUMNS: dict[str, str] = {
    "suite": "the benchmark: demo or clip",
    "protocol": "name of the protocol",
    "protocol_version": "its version; versions move numbers",
    "method": "name of the method",
    "title": "the method as tables call it",
    "paradigm": "zero-shot, end-to-end, feature space, selective, decoupled or coupled",
    "inference": "unified or decoupled (knows where an image comes from)",
    "preset": "paper or unified settings",
    "selection": "rule that chose which state of the training is scored: last or validation",
    "overrides": "settings that the user changed, as bindings, joined by '; '",
    "extra_data": "what the method learns from beyond the few shots; 'none'; empty: not stated",
    "source": "dataset that was learned from",
    "source_classes": "class set that was learned",
    "shots": "training images per class",
    "seed": "seed of the few shots and the training",
    "target": "key of the target within its record",
    "dataset": "dataset of the target's images",
    "classes": "class set of the target's images",
    "names": "class set whose names compete; that of the images where nothing else is said",
    "shift": "how the target differs from the source; none: the classes that were learned",
    "split": "split of the dataset",
    "images": "test images",
    "correct": "of them classified correctly",
    "limit": "only so many images of each target were scored; missing: all",
    "backbone": "architecture",
    "weights": "of the backbone, as the record calls them",
    "precision": "fp32, bf16 or fp16",
    "comparable": "whether the suite is one of published numbers",
    "labels_only": "record of schema 1, without probabilities",
    "learned_parameters": "numbers that the method learns",
    "epochs": "of the training",
    "chosen_epoch": "that is scored, from 1, by a rule that looks at validation images",
    "validation_accuracy": "of the state that is scored, in percent; missing for other rules",
    "steps": "of the training",
    "training_seconds": "of the training",
    "seconds": "of scoring the target",
    "class_seconds": "of these, of the class side; missing in older records",
    "peak_memory_mb": "of the cell, in MiB",
    "device": "that the cell was computed on",
    "promptbench": "version that computed it",
    "created": "when, in UTC",
    "cell_id": "hash of everything that determines the record's numbers",
    "training_id": "hash of everything that determines the training",
    "record": "file of the record",
}


def results(
    places: Sequence[Path], metrics: Sequence[str] | None, filters: Mapping[str, Sequence[Any]]
) -> pd.DataFrame:
    """Make a frame of the records under `places`; see `promptbench.results`.

    Raises:
        UserError: pandas is missing, no record, a filter that fits none, or a metric that fails.
    """
    pandas = _pandas()
    known = scores.registered() if metrics is None else scores.load_all(metrics)
    _refuse_taken(known)
    with remembered.opened(cache_folder()) as memory:
        read, unread = _read(places, memory)
        fits = {path: record for record, path in read if _fits(record, filters)}
        predictions = scores.folders_of((r, p.parent) for p, r in fits.items())
        together = scores.together(known, predictions, memory)
        kept, damaged = gather.readable(fits, partial(scores.read_predictions, together))
        if damaged and not kept:
            raise UserError(damaged[0])
        for reason in unread + damaged:
            warnings.warn(f"left out: {reason}", stacklevel=3)
        settings = _settings(list(kept.values()))
        rows = [
            {**row, **own}
            for (path, record), own in zip(kept.items(), settings, strict=True)
            for row in _rows(record, path, together)
            if not filters.get("dataset") or row["dataset"] in filters["dataset"]
        ]
    if not rows:
        raise _nothing(read, filters)
    names = dict.fromkeys(name for own in settings for name in own)
    columns = [*COLUMNS, *(metric.name for metric in known), *sorted(names)]
    frame = pandas.DataFrame.from_records(rows, columns=columns)
    whole = ["limit", "chosen_epoch"]
    frame[whole] = frame[whole].astype("Int64")
    numbers = ["class_seconds", "validation_accuracy", *(metric.name for metric in known)]
    frame[numbers] = frame[numbers].astype("float64")
    frame.attrs[ATTRIBUTE] = VERSION
    return frame


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise UserError(
            "a DataFrame needs the package pandas: pip install 'promptbench-vlm[dataframe]'"
        ) from error
    return pandas


def _refuse_taken(metrics: Iterable[Metric]) -> None:
    for metric in metrics:
        if metric.name in COLUMNS:
            raise UserError(
                f"the metric {metric.name!r} is called as a column of results; rename its file"
            )


def _read(
    places: Sequence[Path], memory: Remembered
) -> tuple[list[tuple[Record, Path]], list[str]]:
    """The records whose counts hold, each cell once, the newest, and why others are left out."""
    paths = store.find_some(places)
    with index.opened(cache_folder()) as known:
        read = gather.outlines(paths, memory, known, refuse=gather.anything)
    found: dict[str, tuple[Record, Path]] = {}
    for path, record in read.by_path.items():
        other = found.get(record.cell_id)
        if other is None or other[0].created < record.created:
            found[record.cell_id] = record, path
    return list(found.values()), read.unread


def _facts(record: Record) -> dict[str, Any]:
    """What a record is filtered by; `dataset` holds several."""
    return {
        "suite": [record.suite],
        "protocol": [record.protocol.name],
        "method": [record.method.name],
        "source": [record.source.dataset],
        "dataset": [target.dataset for target in record.targets],
        "inference": [record.inference],
        "selection": [name_of(record.protocol.selection)],
        "shots": [record.source.shots],
        "seed": [record.seed],
    }


def _fits(record: Record, filters: Mapping[str, Sequence[Any]]) -> bool:
    facts = _facts(record)
    return all(set(facts[name]) & set(wanted) for name, wanted in filters.items() if wanted)


def _nothing(
    read: Sequence[tuple[Record, Path]], filters: Mapping[str, Sequence[Any]]
) -> UserError:
    """Why a frame has no row: the first filter that no record fits, or all of them together."""
    if not read:
        return UserError("none of the records can be read")
    for name, wanted in filters.items():
        there = {value for record, _ in read for value in _facts(record)[name]}
        unknown = [value for value in wanted if value not in there]
        if unknown and len(unknown) == len(wanted):
            tail = near_miss(str(unknown[0]), map(str, there))
            return UserError(f"no record has {name} {unknown[0]!r}; {tail}")
    given = ", ".join(f"{name}={list(wanted)!r}" for name, wanted in filters.items() if wanted)
    return UserError(f"no record fits all of {given}")


def _rows(record: Record, path: Path, together: Sequence[Scorer]) -> Iterator[dict[str, Any]]:
    """A row for each target; what is one number of an open label space stands in the rows of all
    its targets."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    pooled = {t.key: p.key for p in pools(record.leg) for t in p.targets}
    for scorer in together:
        own = {key: value for (*_, key), value in scorer.score(record).values.items()}
        for target in record.targets:
            key = pooled.get(target.key) if scorer.metric.pooled else target.key
            if key in own:
                values[target.key][scorer.metric.name] = own[key]
    for target in record.targets:
        yield {**_cell(record, path), **_target(target), **values[target.key]}


def _cell(r: Record, path: Path) -> dict[str, Any]:
    return {
        "suite": r.suite,
        "protocol": r.protocol.name,
        "protocol_version": r.protocol.version,
        "method": r.method.name,
        "title": r.method.title,
        "paradigm": r.method.paradigm,
        "inference": r.inference,
        "preset": r.preset,
        "selection": name_of(r.protocol.selection),
        "overrides": "; ".join(r.overrides),
        "extra_data": r.method.extra_data or "",
        "source": r.source.dataset,
        "source_classes": r.source.classes,
        "shots": r.source.shots,
        "seed": r.seed,
        "limit": r.limit,
        "backbone": r.backbone.name,
        "weights": r.backbone.weights,
        "precision": r.environment.precision,
        "comparable": r.comparable,
        "labels_only": r.labels_only,
        "learned_parameters": r.method.learned_parameters,
        "epochs": r.training.epochs,
        "chosen_epoch": r.validation and r.validation.epoch,
        "validation_accuracy": r.validation and r.validation.chosen,
        "steps": r.training.steps,
        "training_seconds": r.training.seconds,
        "peak_memory_mb": r.environment.peak_memory_mb,
        "device": r.environment.device,
        "promptbench": r.environment.promptbench,
        "created": r.created,
        "cell_id": r.cell_id,
        "training_id": r.training_id,
        "record": str(path),
    }


def _target(t: TargetResult) -> dict[str, Any]:
    return {
        "target": t.key,
        "dataset": t.dataset,
        "classes": t.classes,
        "names": t.names or t.classes,
        "shift": t.shift,
        "split": t.split,
        "images": sum(t.total),
        "correct": sum(t.correct),
        "seconds": t.seconds,
        "class_seconds": t.class_seconds,
    }


def _settings(found: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each record the settings in force, by names as `--set` takes them, that are not the same
    in all records of its method."""
    own = [_in_force(record) for record in found]
    spelled: dict[tuple[str, tuple[str, str]], set[str]] = defaultdict(set)
    of_method: dict[str, list[dict[tuple[str, str], Any]]] = defaultdict(list)
    for record, settings in zip(found, own, strict=True):
        of_method[record.method.name].append(settings)
    for method, several in of_method.items():
        for name in {name for settings in several for name in settings}:
            for settings in several:
                spelled[method, name].add(json.dumps(settings.get(name), default=str))
    varied = {each for each, values in spelled.items() if len(values) > 1}
    owners = {name: _owner(name) for name in {m for m, (owner, _) in varied if owner == _METHOD}}
    return [
        {
            f"{owners[r.method.name] if owner == _METHOD else owner}.{key}": _plain(v)
            for (owner, key), v in s.items()
            if (r.method.name, (owner, key)) in varied
        }
        for r, s in zip(found, own, strict=True)
    ]


def _in_force(r: Record) -> dict[tuple[str, str], Any]:
    """All settings by whose they are, the method's or the recipe's, and name."""
    own = {(_METHOD, key): value for key, value in r.method.parameters.items()}
    return {**own, **{("Recipe", key): value for key, value in r.training.recipe.items()}}


def _owner(method: str) -> str:
    """Whose gin says a method's settings are: the name of its class, where that is installed."""
    return METHODS.load(method).cls.__name__ if method in METHODS.names() else method


def _plain(value: Any) -> Any:
    """A setting as a cell of a frame takes it: lists and tables as text."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value

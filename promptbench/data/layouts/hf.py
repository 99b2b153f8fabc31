"""Layout `hf`: a local Hugging Face dataset, read through the `datasets` library (extra `hf`).

`hf_files` loads it, `hf_columns` chooses its columns and reads the labels, `hf_images` the images.
The canonical order is the dataset's. Labels go by their names: splits may number them differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts import hf_columns, hf_files, hf_images, labels
from promptbench.data.layouts.base import Draft, ImageSource, LayoutOptions, Sample, options_of
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.splits import WHOLE, counts, splits_found, with_holdout
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

_ORDER = ("train", "val", "test", WHOLE)


class HfOptions(LayoutOptions):
    """Columns of image and label, label texts in label order where labels are texts or the splits
    number them differently, and the dataset's own names of the splits; `holdout` as in `folder`."""

    image: str
    label: str
    labels: list[str] | None = None
    splits: dict[str, str]
    holdout: float | None = None


class HfSource(ImageSource):
    """Rows of a dataset; the samples' names are <split>/<row>."""

    def __init__(self, splits: Mapping[str, Any], options: HfOptions, fence: Fence) -> None:
        self._image, self._fence, folder = options.image, fence, fence.own
        self._splits: dict[str, Any] = {}
        listing: dict[str, list[Sample]] = {}
        for split, own in options.splits.items():
            table = hf_images.undecoded(splits[own], options.image, own, str(folder))
            hf_images.check_images(table, options.image, own, fence)
            self._splits[own] = table
            listing[split] = _listed(table, options, own, folder)
        self.listing = with_holdout(listing, options.holdout)

    def samples(self, split: str) -> list[Sample]:
        return self.listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        for sample in samples:
            split, _, row = sample.name.rpartition("/")
            found = self._splits[split][int(row)][self._image]
            yield found["bytes"] or self._from_file(found["path"], split, int(row))

    def _from_file(self, path: str, split: str, row: int) -> bytes:
        file = hf_images.file_of(path, self._fence)
        if file is None:
            raise hf_images.missing_file(split, row, path, self._fence.own)
        return self._fence.image(file)


def _listed(table: Any, options: HfOptions, own: str, folder: Path) -> list[Sample]:
    stamp = str(getattr(table, "_fingerprint", ""))
    numbers = hf_columns.labelled(table, options.label, own, options.labels, str(folder))
    return [Sample(f"{own}/{row:07d}", label, stamp) for row, label in enumerate(numbers)]


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images of the dataset's rows.

    Raises:
        UserError: the dataset is not, or no longer, what the card says.
    """
    options = options_of(card, HfOptions)
    fence = Fence(Path(location).expanduser())
    used = _used(hf_files.load(fence), options.splits, location)
    _check_names(used, options, card, location)
    return HfSource(used, options, fence)


def _used(splits: Mapping[str, Any], named: Mapping[str, str], where: str) -> dict[str, Any]:
    """The splits that are used, the training split first: its label names are the classes."""
    for own in named.values():
        if own not in splits:
            raise UserError(f"{where} has no split {own!r}, it has {', '.join(splits)}")
    return {named[split]: splits[named[split]] for split in sorted(named, key=_ORDER.index)}


def _check_names(
    used: Mapping[str, Any], options: HfOptions, card: DataCard, location: str
) -> None:
    """Refuse label names that are not those of the card, or stand in another order."""
    names, texts = hf_columns.label_names(used, options.label, location)
    known = options.labels or names or texts or []
    if len(known) != len(card.classes):
        raise UserError(
            f"data card {card.name!r}: {len(known)} labels, {len(card.classes)} classes"
        )
    moved = names is not None and set(names) == set(card.classes) and names != card.classes
    if options.labels is None and (texts is not None or moved):
        raise UserError(
            f"{location}: its splits, or it and the card {card.name!r}, have the label names in "
            "another order; write the card again with `promptbench data new`"
        )


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a dataset with one image column and one label column.

    Raises:
        UserError: another dataset than that, several configurations, rows without image or label.
    """
    fence = Fence(Path(location).expanduser())
    splits = hf_files.load(fence)
    hint = f"its splits are {', '.join(splits)}; one must be called test"
    found = splits_found(list(splits), holdout, location, hint)
    used = _used(splits, found, location)
    features = next(iter(used.values())).features
    label = hf_columns.label_column(features, location)
    names, texts = hf_columns.label_names(used, label, location)
    options = HfOptions(
        image=hf_columns.image_column(features, location),
        label=label,
        labels=texts,
        splits=found,
        holdout=holdout,
    )
    source = HfSource(used, options, fence)
    if names is None:
        listener.message(hf_columns.numbers_need_names(texts or [], label, location))
    labels.check(source.listing, names or texts or [], location, f"the column {label!r}")
    left = {own: len(table) for own, table in splits.items() if own not in used}
    note = f"Splits that are not used: {', '.join(f'{s} ({n} rows)' for s, n in left.items())}."
    if left:
        listener.message(f"{location}: {note[0].lower()}{note[1:-1]}")
    return Draft(
        classes=names or [],
        splits=counts(source.listing),
        options=options.model_dump(exclude_defaults=True),
        notes=[note] if left else [],
        texts="labels" if names is not None and not hf_columns.are_named(features[label]) else None,
    )

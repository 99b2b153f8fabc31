"""Layout `hf`: a local Hugging Face data set, read through the `datasets` library (extra `hf`).

The folder is one of `save_to_disk`, one with parquet files, or an imagefolder. The canonical order
is the data set's.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from promptbench.data.cards import DataCard
from promptbench.data.layouts.base import Draft, Options, Sample, Source, options_of
from promptbench.data.layouts.splits import WHOLE, counts, label_order, splits_found, with_holdout
from promptbench.data.places import cache_folder
from promptbench.errors import UserError
from promptbench.progress import Reporter


class HfOptions(Options):
    """Columns of image and label, label texts in label order where labels are texts, and the data
    set's own names of the splits; `holdout` as in `folder`."""

    image: str
    label: str
    labels: list[str] | None = None
    splits: dict[str, str]
    holdout: float | None = None


class HfSource(Source):
    """Rows of a data set; the samples' names are <split>/<row>."""

    def __init__(self, splits: dict[str, Any], options: HfOptions) -> None:
        self._splits, self._options = splits, options
        listing = {split: self._listed(own) for split, own in options.splits.items()}
        self.listing = with_holdout(listing, options.holdout)

    def samples(self, split: str) -> list[Sample]:
        return self.listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        for sample in samples:
            split, _, row = sample.name.rpartition("/")
            found = self._splits[split][int(row)][self._options.image]
            yield found["bytes"] if found["bytes"] else Path(found["path"]).read_bytes()

    def _listed(self, own: str) -> list[Sample]:
        table = self._splits[own]
        known = self._options.labels
        number = {text: label for label, text in enumerate(known or ())}
        labels = table[self._options.label]
        stamp = str(getattr(table, "_fingerprint", ""))
        found = []
        for row, value in enumerate(labels):
            if known is not None and str(value) not in number:
                raise UserError(f"row {row} of {own}: label {value!r} is not on the card")
            label = int(value) if known is None else number[str(value)]
            found.append(Sample(f"{own}/{row:07d}", label, stamp))
        return found


def open_source(card: DataCard, location: str, listener: Reporter) -> Source:
    """The images of the data set's rows."""
    options = options_of(card, HfOptions)
    return HfSource(_loaded(location, options.image), options)


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a data set with one image column and one label column."""
    library = _library()
    splits = _loaded(location, None)
    features = next(iter(splits.values())).features
    image = _column(features, lambda f: isinstance(f, library.Image), "image", location)
    label = _column(features, lambda f: isinstance(f, library.ClassLabel), "label", location)
    feature = features[label]
    names = list(getattr(feature, "names", []))
    options = HfOptions(
        image=image,
        label=label,
        labels=None if names else label_order(_texts(splits, label), location),
        splits=splits_found(list(splits), holdout, location, "it needs a split test"),
        holdout=holdout,
    )
    classes = names or [str(name) for name in options.labels or ()]
    source = HfSource(_undecoded(splits, image), options)
    dumped = options.model_dump(exclude_defaults=True)
    return Draft(classes, counts(source.listing), dumped, texts="labels" if not names else None)


def _texts(splits: dict[str, Any], label: str) -> set[str]:
    return {str(value) for table in splits.values() for value in table[label]}


def _library() -> Any:
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            "hf: sources need the datasets library: pip install 'promptbench-vlm[hf]'"
        ) from error
    library.disable_progress_bars()  # the run has its own
    return library


def _column(features: Any, fits: Any, usual: str, location: str) -> str:
    """The one column that fits, or the one with the usual name."""
    names = [name for name, feature in features.items() if fits(feature)]
    if usual in names or (not names and usual == "label" and "label" in features):
        return usual
    if len(names) != 1:
        raise UserError(
            f"{location} has {len(names)} {usual} columns ({', '.join(names) or 'none'}) among "
            f"{', '.join(features)}; it needs one, or one that is called {usual}"
        )
    return str(names[0])


def _loaded(location: str, image: str | None) -> dict[str, Any]:
    library = _library()
    folder = Path(location).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    cache = str(cache_folder() / "hf")
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            found = library.load_from_disk(str(folder))
        else:
            kind = "parquet" if any(folder.rglob("*.parquet")) else "imagefolder"
            where = str(folder) if kind == "imagefolder" else None
            files = None if where else _parquet_files(folder)
            found = library.load_dataset(kind, data_dir=where, data_files=files, cache_dir=cache)
    except (OSError, ValueError, library.exceptions.DatasetsError) as error:
        raise UserError(f"{folder} cannot be read as a Hugging Face data set: {error}") from error
    splits = dict(found) if isinstance(found, library.DatasetDict) else {WHOLE: found}
    return splits if image is None else _undecoded(splits, image)


def _parquet_files(folder: Path) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        files.setdefault(path.name.split("-")[0].removesuffix(".parquet"), []).append(str(path))
    return files


def _undecoded(splits: dict[str, Any], image: str) -> dict[str, Any]:
    plain = _library().Image(decode=False)
    return {name: table.cast_column(image, plain) for name, table in splits.items()}

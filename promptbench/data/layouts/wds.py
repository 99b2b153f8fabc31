"""Layout `wds`: webdataset tars of others, such as CLIP_benchmark's, in a folder or on a server.

Samples are <key>.<image suffix> and <key>.cls (a label from 0 on). The canonical order is the
tars'. Class names come from classnames.txt, the template from the first line of
zeroshot_classification_templates.txt, if they lie beside the tars.

A folder that `promptbench data prepare` has written is taken as it is: its card holds the digest of
its index (option `shards`), and `promptbench.data.store` opens it without another preparation.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import braceexpand
from pydantic import Field

from promptbench.data import remote
from promptbench.data.cards import DataCard
from promptbench.data.layouts.base import Draft, Options, Sample, Source, options_of
from promptbench.data.layouts.files import safe
from promptbench.data.layouts.splits import WHOLE, counts, with_holdout
from promptbench.data.parallel import ahead
from promptbench.data.shards import IMAGE_EXTENSIONS
from promptbench.errors import UserError
from promptbench.progress import Reporter

V = TypeVar("V")
_MOST_DIGITS = 5  # of the number of tars in a split


class WdsOptions(Options):
    """`splits`: the tars of each split, in order, below the location; `holdout` as in `folder`;
    `shards`: digest of the index, for a folder in promptbench's own format."""

    splits: dict[str, list[str]] = Field(default_factory=dict)
    holdout: float | None = None
    shards: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    tar: Path
    offset: int
    size: int


class TarSource(Source):
    """Images inside tars."""

    def __init__(self, listing: dict[str, list[Sample]], places: dict[str, _Place]) -> None:
        self.listing, self._places = listing, places

    def samples(self, split: str) -> list[Sample]:
        return self.listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        yield from ahead(self._read, samples, workers)

    def _read(self, sample: Sample) -> bytes:
        place = self._places[sample.stamp]
        with place.tar.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.size)


def open_source(card: DataCard, location: str, listener: Reporter) -> Source:
    """The images of the tars that the card names; those of a server are fetched into the cache."""
    return _source(location, options_of(card, WdsOptions), len(card.classes), listener)


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Counts, and class names and template if they lie beside the tars."""
    base, splits = _found(location, holdout, listener)
    options = WdsOptions(splits=splits, holdout=holdout)
    source = _source(base, options, None, listener)
    listing = source.listing
    names = (_text(base, "classnames.txt", listener) or "").splitlines()
    templates = (_text(base, "zeroshot_classification_templates.txt", listener) or "").splitlines()
    return Draft(
        classes=[name.strip() for name in names if name.strip()],
        splits=counts(listing),
        options=options.model_dump(exclude_defaults=True),
        template=templates[0].strip().replace("{c}", "{}") if templates else None,
        location=base,
    )


def file_of(base: str, name: str, listener: Reporter) -> Path:
    """A file of a folder or of a server (then from the cache).

    Raises:
        UserError: it is not there, or cannot be fetched.
    """
    safe(name, base)
    if remote.is_url(base):
        return remote.fetch(base, name, listener)
    path = Path(base).expanduser() / name
    if not path.is_file():
        raise remote.NotThere(f"{path} does not exist")
    return path


def _text(base: str, name: str, listener: Reporter) -> str | None:
    try:
        return file_of(base, name, listener).read_text(encoding="utf-8")
    except remote.NotThere:
        return None
    except UnicodeDecodeError as error:
        raise UserError(f"{base}: {name} is not UTF-8 text: {error}") from error


def _found(
    location: str, holdout: float | None, listener: Reporter
) -> tuple[str, dict[str, list[str]]]:
    """The folder of the tars, and their names per split."""
    if location.endswith((".tar", "}")):
        base, _, pattern = location.rpartition("/")
        split = "test" if holdout is None else WHOLE
        return base or ".", {split: list(braceexpand.braceexpand(pattern))}
    splits = {}
    for split in ("train", "val", "test"):
        names = _tars(location, split, listener)
        if names:
            splits[split] = names
    if holdout is not None and len(splits) == 1:
        return location, {WHOLE: next(iter(splits.values()))}
    if holdout is not None or "test" not in splits:
        raise UserError(
            f"{location} needs test/nshards.txt and test/0.tar ..., or test-*.tar in a folder; "
            "name tars of one split as path-{000000..000009}.tar; --holdout wants exactly one split"
        )
    return location, splits


def _tars(location: str, split: str, listener: Reporter) -> list[str]:
    count = (_text(location, f"{split}/nshards.txt", listener) or "").strip()
    if count:
        if not (count.isascii() and count.isdigit() and len(count) <= _MOST_DIGITS):
            raise UserError(
                f"{location}/{split}/nshards.txt says {count[:40]!r}, not a small number"
            )
        return [f"{split}/{number}.tar" for number in range(int(count))]
    if remote.is_url(location):
        return []
    folder = Path(location).expanduser()
    found = [*folder.glob(f"{split}-*.tar"), *folder.glob(f"{split}/*.tar")]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _source(base: str, options: WdsOptions, n_classes: int | None, listener: Reporter) -> TarSource:
    places: dict[str, _Place] = {}
    listing: dict[str, list[Sample]] = {}
    for split, names in options.splits.items():
        listing[split] = []
        for name in names:
            path = file_of(base, name, listener)
            for key, label, place in members(path):
                if label < 0 or (n_classes is not None and label >= n_classes):
                    raise UserError(
                        f"{path}: label {label} of sample {key} is out of range"
                        + (f"; the card has {n_classes} classes" if n_classes else "")
                    )
                stamp = f"{split}:{name}:{key}:{place.offset}:{place.size}"
                places[stamp] = place
                listing[split].append(Sample(f"{Path(name).stem}/{key}", label, stamp))
    return TarSource(with_holdout(listing, options.holdout), places)


def members(path: Path) -> Iterator[tuple[str, int, _Place]]:
    """(key, label, where the image lies) of every sample of a tar, in order.

    Raises:
        UserError: a damaged tar, a name that leaves its folder, a key that occurs twice, a sample
            without image or label; with the tar and the key.
    """
    images: dict[str, _Place] = {}
    labels: dict[str, int] = {}
    size, last = path.stat().st_size, "its beginning"
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                key, _, suffix = _parts(member, path)
                last = f"sample {key}"
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                if suffix in IMAGE_EXTENSIONS:
                    _once(images, key, _Place(path, member.offset_data, member.size), path)
                elif suffix == "cls":
                    file = tar.extractfile(member)
                    _once(labels, key, int(file.read(20)) if file else -1, path)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} is damaged after {last}: {error}") from error
    unpaired = [key for key in [*images, *labels] if (key in images) != (key in labels)]
    if unpaired:
        raise UserError(f"{path}: sample {unpaired[0]} has no image or no label (.cls)")
    for key, place in images.items():
        yield key, labels[key], place


def _parts(member: tarfile.TarInfo, path: Path) -> tuple[str, str, str]:
    if not member.isreg():
        raise UserError(f"{path}: refused {member.name!r}: links and devices have no place in it")
    folder, slash, name = safe(member.name, str(path)).rpartition("/")
    stem, dot, suffix = name.partition(".")
    return folder + slash + stem, dot, suffix.lower()


def _once(found: dict[str, V], key: str, value: V, path: Path) -> None:
    if key in found:
        raise UserError(f"{path}: the key {key} occurs twice")
    found[key] = value

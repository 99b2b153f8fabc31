"""Layout `wds`: webdataset tars of others, such as CLIP_benchmark's, in a folder or on a server.

Samples are <key>.<image suffix> and <key>.cls (a label from 0 on), read by `layouts.tars`. The
canonical order is the tars'. Class names come from classnames.txt, the template from the first line
of zeroshot_classification_templates.txt, if they lie beside the tars.

A folder that `promptbench data prepare` has written is taken as it is: its card holds the digest of
its index (option `shards`), and `promptbench.data.shards.store` opens it without another
preparation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import braceexpand
from pydantic import Field

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts import labels, tars
from promptbench.data.layouts.base import Draft, ImageSource, LayoutOptions, Sample, options_of
from promptbench.data.layouts.shelf import Shelf
from promptbench.data.layouts.splits import WHOLE, counts, with_holdout
from promptbench.data.layouts.tars import TarPlace
from promptbench.data.shards.parallel import ahead
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

_MOST_DIGITS = 5  # of the number of tars in a split
_PACKED = (".tgz", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z")
_SPLITS = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
_CLASSES, _TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"


class WdsOptions(LayoutOptions):
    """`splits`: the tars of each split, in order, below the location; `holdout` as in `folder`;
    `shards`: digest of the index, for a folder in promptbench's own format."""

    splits: dict[str, list[str]] = Field(default_factory=dict)
    holdout: float | None = None
    shards: str | None = None


class TarSource(ImageSource):
    """Images inside tars; `unread` counts the members that are not part of a sample."""

    def __init__(
        self,
        listing: dict[str, list[Sample]],
        places: Mapping[str, TarPlace],
        unread: Counter[str],
    ) -> None:
        self.listing, self._places, self.unread = listing, places, unread

    def samples(self, split: str) -> list[Sample]:
        return self.listing[split]

    def images(self, samples: Iterable[Sample], workers: int) -> Iterator[bytes]:
        yield from ahead(self._read, samples, workers)

    def _read(self, sample: Sample) -> bytes:
        place = self._places[sample.stamp]
        try:
            with place.tar.open("rb") as file:
                file.seek(place.offset)
                return file.read(place.size)
        except OSError as error:
            raise UserError(f"cannot read {place.tar}: {error.strerror}") from error


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images of the tars that the card names; those of a server are fetched into the cache."""
    shelf = Shelf(location, listener)
    return _source(shelf, options_of(card, WdsOptions), len(card.classes))


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Counts, and class names and template if they lie beside the tars.

    Raises:
        UserError: no tars, tars that are not as `layouts.tars` wants them, or labels that are not
            0, 1, 2 ... in every split.
    """
    shelf, splits = _found(location, holdout, listener)
    options = WdsOptions(splits=splits, holdout=holdout)
    source = _source(shelf, options, None)
    classes, templates = shelf.lines(_CLASSES), shelf.lines(_TEMPLATES)
    labels.check(source.listing, classes, shelf.base, _CLASSES)
    unread = f"Members of the tars that were not read: {tars.summary(source.unread)}."
    return Draft(
        classes=classes,
        splits=counts(source.listing),
        options=options.model_dump(exclude_defaults=True),
        template=templates[0].replace("{c}", "{}") if templates else None,
        location=shelf.base,
        notes=[unread] if source.unread else [],
    )


def _found(
    location: str, holdout: float | None, listener: Reporter
) -> tuple[Shelf, dict[str, list[str]]]:
    """Where the tars lie, and their names per split."""
    if location.endswith((".tar", "}")):
        base, _, pattern = location.rpartition("/")
        split = "test" if holdout is None else WHOLE
        shelf = Shelf(base or ".", listener)
        return shelf, {split: list(braceexpand.braceexpand(pattern))}
    shelf = Shelf(location, listener)
    if not shelf.is_served and not shelf.fence.own.is_dir():
        raise UserError(f"{location} is not a folder of tars, and not a tar (path-000.tar)")
    splits = {}
    for split, names in _SPLITS.items():
        listed = {name: found for name in names if (found := _tars(shelf, name))}
        if len(listed) > 1:
            raise UserError(f"{location} has tars of {' and of '.join(listed)}; which is {split}?")
        if listed:
            splits[split] = next(iter(listed.values()))
    _account_for_others(shelf, splits)
    if holdout is not None and len(splits) == 1:
        return shelf, {WHOLE: next(iter(splits.values()))}
    if holdout is not None or "test" not in splits:
        raise UserError(
            f"{location} needs test/nshards.txt and test/0.tar ..., or test-*.tar in a folder; "
            "name tars of one split as path-{000000..000009}.tar; --holdout wants exactly one split"
        )
    return shelf, splits


def _tars(shelf: Shelf, split: str) -> list[str]:
    count = "".join(shelf.lines(f"{split}/nshards.txt")[:1])
    if count:
        if not (count.isascii() and count.isdigit() and len(count) <= _MOST_DIGITS):
            raise UserError(
                f"{shelf.base}/{split}/nshards.txt says {count[:40]!r}, not a small number"
            )
        return [f"{split}/{number}.tar" for number in range(int(count))]
    if shelf.is_served:
        return []
    folder = shelf.fence.own
    beside = sorted(folder.glob(f"{split}-*.tar"))
    inside = sorted(path for path in folder.glob(f"{split}/*.tar") if not path.name.startswith("."))
    if beside and inside:
        raise UserError(
            f"{folder} holds {len(beside)} tars {split}-*.tar and {len(inside)} in {split}/; "
            "leave one of the two in it"
        )
    return [path.relative_to(folder).as_posix() for path in beside or inside]


def _account_for_others(shelf: Shelf, splits: Mapping[str, list[str]]) -> None:
    """Say which tars of a folder are part of no split; refuse packed ones, which look like it."""
    if shelf.is_served:
        return
    folder = shelf.fence.own
    paths = [
        path
        for pattern in ("*.tar*", "*.tgz", "*/*.tar*", "*/*.tgz")
        for path in folder.glob(pattern)
        if path.suffix in (".tar", *_PACKED) and not path.name.startswith(".")
    ]
    known = {name for names in splits.values() for name in names}
    others = sorted({path.relative_to(folder).as_posix() for path in paths} - known)
    packed = [name for name in others if not name.endswith(".tar")]
    if packed:
        raise UserError(
            f"{folder} holds {len(packed)} packed tars, the first is {packed[0]}; unpack them to "
            "plain tars (gunzip, unxz, unzstd), or move them away"
        )
    if others:
        shelf.listener.message(
            f"{folder}: {len(others)} tars are part of no split and not read, the first is "
            f"{others[0]}"
        )


def _source(shelf: Shelf, options: WdsOptions, n_classes: int | None) -> TarSource:
    base, listener = shelf.base, shelf.listener
    places: dict[str, TarPlace] = {}
    listing: dict[str, list[Sample]] = {}
    unread: Counter[str] = Counter()
    for split, names in options.splits.items():
        _refuse_repeated(base, split, names)
        stems = Counter(Path(name).stem for name in names)
        listing[split] = []
        for name in names:
            contents = shelf.contents(name)
            unread += contents.unread
            if not contents.samples:
                listener.message(f"{base}/{name} holds no samples")
            stem = Path(name).stem
            inside = stem if stems[stem] == 1 else name.removesuffix(".tar")
            for member in contents.samples:
                _refuse_out_of_range(base, name, member, n_classes)
                place = member.place
                stamp = f"{split}:{name}:{member.key}:{place.offset}:{place.size}"
                places[stamp] = place
                listing[split].append(Sample(f"{inside}/{_name(member)}", member.label, stamp))
        if not listing[split]:
            raise UserError(f"{base}: the {len(names)} tars of split {split} hold no samples")
    if unread:
        listener.message(
            f"{base}: members that are neither image nor .cls are not read: {tars.summary(unread)}"
        )
    return TarSource(with_holdout(listing, options.holdout), places, unread)


def _name(member: tars.Member) -> str:
    """The name of a sample: its key; with the suffix where the key has dots, which would look like
    a suffix otherwise."""
    return member.image if "." in Path(member.key).name else member.key


def _refuse_repeated(base: str, split: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{base}: the tar {twice[0]} is named twice for split {split}")


def _refuse_out_of_range(base: str, name: str, member: tars.Member, n_classes: int | None) -> None:
    if n_classes is not None and member.label >= n_classes:
        raise UserError(
            f"{base}/{name}: label {member.label} of sample {member.key} is out of range; "
            f"the card has {n_classes} classes"
        )

"""Small pictures of mistakes for the site: files beside its pages, each image once, a bounded
number."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError, one_line
from promptbench.leaderboard.checking import known
from promptbench.records import Record
from promptbench.report.mistakes import Errors, at_hand, of_shards

MOST = 2000  # of a site; each takes some five kilobytes
PER_TARGET = 8
_SIDE, _QUALITY = 144, 80


@dataclass(frozen=True)
class Shown:
    """The places of pictures by the keys of their images; why some are missing, and the licence of
    their dataset."""

    places: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    licence: str = ""


class Thumbnails:
    """Writes pictures of mistakes into a folder of a site, up to `most` of them.

    Args:
        out: the site.
        folder: where in it pictures lie.
        root: the data root, as for a run.
        held: pictures that are there already, beside the `most`.
    """

    def __init__(
        self, out: Path, folder: str, root: Path | None, most: int = MOST, held: int = 0
    ) -> None:
        self._out, self._folder, self._root, self._left = out, folder, root, most
        self._held = held
        self._written: set[str] = set()
        self._opened: dict[tuple[str, str], ShardSet | str] = {}
        self._damaged = 0

    @property
    def full(self) -> bool:
        """Whether the site holds its most."""
        return not self._left

    @property
    def held(self) -> int:
        """How many pictures the site holds."""
        return self._held + len(self._written)

    def settled(self, record: Record) -> bool:
        """Whether the page of a record takes no room from others: there is none any more, or none
        of its datasets is at hand."""
        return self.full or not any(
            isinstance(self._at_hand(record, t.dataset), ShardSet) for t in record.targets
        )

    @property
    def lacks(self) -> tuple[bool, int]:
        """Whether the site holds its most, and how often pictures were not shown for damage."""
        return self.full, self._damaged

    def of(self, errors: Errors, keys: Sequence[str]) -> Shown:
        """The pictures of the first of these images, as far as they are on this disk."""
        if not keys:
            return Shown()
        wanted = keys[:PER_TARGET]
        if self.full:
            return Shown(why=f"no pictures: the site holds its most, {self.held:,} of them")
        dataset = errors.dataset
        data = self._at_hand(errors.records[0], dataset)
        found = of_shards(data, dataset, errors.split, wanted, _SIDE)
        self._damaged += found.damaged
        places = {key: place for key in found.images if (place := self._place(found.images[key]))}
        why = found.why
        if len(places) < len(found.images):
            why = f"further pictures are left out: the site holds its most, {self.held:,}"
        licence = f"{dataset}, licence: {known.card(dataset).licence}" if places else ""
        return Shown(places, why, licence)

    def sources(self, record: Record) -> dict[str, str]:
        """Where pictures of a record's datasets are from: the hash of shards, or why there are
        none."""
        found = {t.dataset: self._at_hand(record, t.dataset) for t in record.targets}
        return {n: d if isinstance(d, str) else d.index.digest for n, d in found.items()}

    def take(self, site: Path, places: Sequence[str]) -> bool:
        """Take pictures from another site with all of these, if there is more room than they need
        and each is whole; whether they were taken."""
        new = [place for place in dict.fromkeys(places) if place not in self._written]
        if new and len(new) >= self._left:
            return False
        files = {place: site / place for place in new}
        if not all(file.is_file() and not file.is_symlink() for file in files.values()):
            return False
        found = {place: file.read_bytes() for place, file in files.items()}
        if any(place != self._called(data) for place, data in found.items()):
            return False
        for place, data in found.items():
            self._write(place, data)
        return True

    def _at_hand(self, record: Record, dataset: str) -> ShardSet | str:
        """The shards that a record has used, or why they are not at hand; found once."""
        used = record.data.get(dataset)
        key = (dataset, used.shards_sha256 if used else "")
        if key not in self._opened:
            try:
                self._opened[key] = at_hand(record, dataset, self._root)
            except UserError as error:
                self._opened[key] = one_line(error)
        return self._opened[key]

    def _place(self, image: Image.Image) -> str:
        """Where the picture of an image lies; empty if there is no room for it."""
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        data = file.getvalue()
        place = self._called(data)
        if place not in self._written:
            if self.full:
                return ""
            self._write(place, data)
        return place

    def _called(self, data: bytes) -> str:
        return f"{self._folder}/{hashlib.sha256(data).hexdigest()[:20]}.jpg"

    def _write(self, place: str, data: bytes) -> None:
        (self._out / self._folder).mkdir(parents=True, exist_ok=True)
        (self._out / place).write_bytes(data)
        self._written.add(place)
        self._left -= 1

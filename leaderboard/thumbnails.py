"""Small pictures of mistakes for the site: files beside its pages, each image once, a bounded
number."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from promptbench.leaderboard import known
from promptbench.report.mistakes import Errors, pictures

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
    """

    def __init__(self, out: Path, folder: str, root: Path | None, most: int = MOST) -> None:
        self._out, self._folder, self._root, self._left = out, folder, root, most
        self._written: set[str] = set()

    def of(self, errors: Errors, keys: Sequence[str]) -> Shown:
        """The pictures of the first of these images, as far as they are on this disk."""
        if not keys:
            return Shown()
        wanted = keys[:PER_TARGET]
        if not self._left:
            return Shown(
                why=f"no pictures: the site holds its most, {len(self._written):,} of them"
            )
        dataset = errors.dataset
        found = pictures(errors.records[0], dataset, errors.split, wanted, self._root, _SIDE)
        places = {key: place for key in found.images if (place := self._place(found.images[key]))}
        why = found.why
        if len(places) < len(found.images):
            why = f"further pictures are left out: the site holds its most, {len(self._written):,}"
        licence = f"{dataset}, licence: {known.card(dataset).licence}" if places else ""
        return Shown(places, why, licence)

    def _place(self, image: Image.Image) -> str:
        """Where the picture of an image lies; empty if there is no room for it."""
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        data = file.getvalue()
        place = f"{self._folder}/{hashlib.sha256(data).hexdigest()[:20]}.jpg"
        if place not in self._written:
            if not self._left:
                return ""
            (self._out / self._folder).mkdir(parents=True, exist_ok=True)
            (self._out / place).write_bytes(data)
            self._written.add(place)
            self._left -= 1
        return place

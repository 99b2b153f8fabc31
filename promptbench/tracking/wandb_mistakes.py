"""The most confident mistakes of a cell as a table for Weights & Biases, with thumbnails.

It is bounded: `ROWS` images, of every target in turn, each at most `SIDE` pixels, and `BYTES` of
thumbnails in all; rows beyond these have none.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.records import scores
from promptbench.report import mistakes

if TYPE_CHECKING:
    from PIL.Image import Image

    from promptbench.records import Record
    from promptbench.report.mistakes import Errors, Mistake

COLUMNS = ("target", "key", "class", "taken for", "confidence", "image")
ROWS, SIDE, BYTES = 32, 96, 2**18


@dataclass(frozen=True)
class Wrong:
    """An image that was given another name than its own; `jpeg` is a thumbnail, None without."""

    target: str
    key: str
    label: str
    predicted: str
    confidence: float
    jpeg: bytes | None = None


def of_record(record: Record, folder: Path, root: Path | None, images: bool = True) -> list[Wrong]:
    """The surest mistakes of each target, target by target in turn; none where no predictions
    with confidences lie in `folder`.

    Args:
        root: the data root in which images are looked for, as for a run; nothing is fetched.
        images: whether thumbnails are wanted.

    Raises:
        UserError: predictions that are damaged.
    """
    targets = {target.key for target in record.targets}
    if not targets:  # a trial of a search
        return []
    found = mistakes.errors([record], scores.folders_of([(record, folder)]))
    own = [errors for errors in found if errors.key in targets and errors.mistakes]
    lists = [[(errors, each) for each in (errors.mistakes or ())[:ROWS]] for errors in own]
    shown = [each for turn in zip_longest(*lists) for each in turn if each is not None][:ROWS]
    pictures = _pictures(record, shown, root) if images else {}
    return _within(shown, pictures)


def _pictures(
    record: Record, shown: Sequence[tuple[Errors, Mistake]], root: Path | None
) -> dict[tuple[str, str], Image]:
    """The images at hand, by target and key."""
    found: dict[tuple[str, str], Image] = {}
    for errors in {id(errors): errors for errors, _ in shown}.values():
        keys = [each.key for whose, each in shown if whose is errors]
        held = mistakes.pictures(record, errors.dataset, errors.split, keys, root, SIDE)
        found |= {(errors.key, key): image for key, image in held.images.items()}
    return found


def _within(
    shown: Sequence[tuple[Errors, Mistake]], pictures: dict[tuple[str, str], Image]
) -> list[Wrong]:
    rows, left = [], BYTES
    for errors, each in shown:
        image = pictures.get((errors.key, each.key))
        jpeg = None if image is None else _jpeg(image)
        if jpeg is not None and len(jpeg) > left:
            jpeg = None
        left -= len(jpeg or b"")
        names = errors.name(each.label), errors.name(each.predicted)
        rows.append(Wrong(errors.key, each.key, *names, each.confidence, jpeg))
    return rows


def _jpeg(image: Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return data.getvalue()


def table(wandb: Any, rows: Sequence[Wrong]) -> Any:
    """The rows as a W&B Table (`COLUMNS`)."""
    from PIL import Image

    def picture(row: Wrong) -> Any:
        if row.jpeg is None:
            return None
        return wandb.Image(Image.open(io.BytesIO(row.jpeg)), file_type="jpg", caption=row.label)

    data = [
        [row.target, row.key, row.label, row.predicted, row.confidence, picture(row)]
        for row in rows
    ]
    return wandb.Table(columns=list(COLUMNS), data=data)

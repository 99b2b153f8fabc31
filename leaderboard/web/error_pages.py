"""The page of a record, what goes wrong in it, as plain data for its template."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from promptbench.core.calibration import BINS
from promptbench.leaderboard.accepting.copies import place_of
from promptbench.leaderboard.checking import cells, known
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records import Record, once
from promptbench.records.scores import Folders, file_of
from promptbench.report import mistakes
from promptbench.report.mistakes import Block, Errors
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

FOLDER = "errors"
MATRIX = 20  # names in a matrix
TOP = 15  # rows of the other tables
_PLOT = 200  # the side of a reliability diagram, in units of its drawing


@once
def page_of(record: Record) -> str:
    """The place of a record's page, from the top of the site."""
    return f"{FOLDER}/{'-'.join(place_of(record).parts)}.html"


def anchor(record: Record, dataset: str, classes: str = "") -> str:
    """The address of what a record's page says of a dataset, of these classes where it can."""
    own = [targets for targets in mistakes.of_targets(record) if len(targets) == 1]
    places = [i for i, (target,) in enumerate(own) if target.dataset == dataset]
    exact = [i for i in places if own[i][0].classes == classes]
    number = exact[0] if exact else places[0] if places else None
    return page_of(record) + ("" if number is None else f"#{_identity(own[number][0].key)}")


def _identity(key: str) -> str:
    return f"on-{key.replace('/', '-').replace('+', '-')}"


def error_page(
    record: Record,
    folders: Folders,
    thumbnails: Thumbnails,
    datasets: Collection[str] | None = None,
) -> dict[str, Any]:
    """What a record's page shows of it; of `datasets` only, if there are any given."""
    found = mistakes.of_record(record, folders, datasets)
    source = record.leg.source
    title = printable(record.method.title)
    return {
        "title": f"What goes wrong: {title}, {source.key}",
        "record": record,
        "method_title": title,
        "banner": next((errors.banner for errors in found), ""),
        "protocol": record.protocol.name,
        "protocol_title": known.protocol(record.protocol.name).cls.title,
        "source": source.key,
        "overrides": list(map(printable, record.overrides)),
        "inference": printable(record.inference),
        "shots": counted(record.source.shots, "shot"),
        "predictions": [t.predictions for t in record.targets if file_of(t) in folders],
        "files": f"records/{place_of(record).as_posix()}",
        "sections": [_section(errors, thumbnails) for errors in found],
        "command": "promptbench report FOLDER --errors --plot errors",
    }


def _section(errors: Errors, thumbnails: Thumbnails) -> dict[str, Any]:
    own = errors.confusions
    pairs = list(zip(*(part.tolist() for part in own.pairs), strict=True))
    return {
        "id": _identity(errors.key),
        "key": errors.key,
        "summary": _summary(errors),
        "matrix": _matrix(errors, own.block(MATRIX)),
        "classes": [_class(errors, label) for label in own.worst[:TOP]],
        "classes_cut": _cut(len(own.worst), "classes"),
        "all_classes": [_share(errors, label) for label in sorted(own.worst)],
        "pairs": [
            {
                "name": errors.name(label),
                "predicted": errors.name(predicted),
                "count": f"{count:,}",
                "share": f"{100 * count / own.total[label]:.2f}",
            }
            for label, predicted, count in pairs[:TOP]
        ],
        "pairs_cut": _cut(len(pairs), "confusions"),
        "reliability": _reliability(errors),
        **_pictures(errors, thumbnails),
        "notes": errors.notes,
    }


def _cut(there: int, what: str) -> str:
    return f"the first {TOP} of {there:,} {what}" if there > TOP else ""


def _summary(errors: Errors) -> str:
    own = errors.confusions
    share = 100 * (1 - own.wrong / own.images)
    text = f"{own.images - own.wrong:,} of {own.images:,} images right ({share:.2f} %)"
    if errors.learned is not None and own.pairs.images.size:
        crossed, all_known = own.crossed(errors.learned), int(own.pairs.images.sum())
        text += (
            f"; {crossed:,} of {counted(all_known, 'mistake')} took an image of a learned class "
            "for one that was not learned, or the other way round"
        )
    return text


def _class(errors: Errors, label: int) -> dict[str, str]:
    own = errors.confusions
    taken = [f"{errors.name(name)} {count:,}" for name, count in own.taken_for(label)[:3]]
    return {**_share(errors, label), "taken": ", ".join(taken)}


def _share(errors: Errors, label: int) -> dict[str, str]:
    own = errors.confusions
    return {
        "name": errors.name(label),
        "images": f"{own.total[label]:,}",
        "right": f"{own.right[label]:,}",
        "share": f"{100 * own.right[label] / own.total[label]:.2f}",
    }


def _matrix(errors: Errors, block: Block) -> dict[str, Any]:
    notes = []
    if block.cut:
        notes.append(
            f"the {len(block.columns)} most confused of {block.occurring:,} names that occur; "
            "others: given a name outside of them"
        )
    if not errors.confusions.whole:
        notes.append("others: also mistakes of which the given name is not known")
    if errors.learned is not None:
        notes.append("names in italics were not learned")
    learned = None if errors.learned is None else set(errors.learned)
    shares = block.counts / block.total[:, None]
    most = float(shares.max()) or 1.0
    return {
        "columns": [
            {"name": errors.name(label), "unlearned": learned is not None and label not in learned}
            for label in block.columns
        ],
        "others": block.cut or bool(block.others.any()),
        "rows": [
            {
                "name": errors.name(label),
                "cells": [
                    _cell(count, share / most, column == label)
                    for count, share, column in zip(counts, own, block.columns, strict=True)
                ],
                "others": f"{others:,}" if others else "",
            }
            for label, counts, own, others in zip(
                block.rows,
                block.counts.tolist(),
                shares.tolist(),
                block.others.tolist(),
                strict=True,
            )
        ],
        "notes": notes,
    }


def _cell(count: int, share: float, right: bool) -> dict[str, Any]:
    """A number of the matrix; `share` of its class, of the largest in the matrix."""
    return {
        "text": f"{count:,}" if count else "",
        "share": f"{share:.3f}",
        "right": right,
    }


def _reliability(errors: Errors) -> dict[str, Any] | None:
    """The diagram as rectangles of a drawing of `_PLOT` by `_PLOT` units, and its table."""
    own = errors.bins
    if own is None:
        return None
    width, bars = _PLOT / BINS, []
    for number in range(BINS):
        images, right = int(own.images[number]), int(own.right[number])
        if not images:
            continue
        share, sure = right / images, float(own.confidence[number]) / images
        low, high = min(share, sure), max(share, sure)
        bars.append(
            {
                "x": f"{number * width + 0.4:.2f}",
                "width": f"{width - 0.8:.2f}",
                "top": f"{_PLOT * (1 - share):.2f}",
                "height": f"{_PLOT * share:.2f}",
                "gap_top": f"{_PLOT * (1 - high):.2f}",
                "gap_height": f"{_PLOT * (high - low):.2f}",
                "count_height": f"{40 * images / int(own.images.max()):.2f}",
                "count_top": f"{40 - 40 * images / int(own.images.max()):.2f}",
                "bin": f"{number / BINS:.4f} to {(number + 1) / BINS:.4f}",
                "images": f"{images:,}",
                "right": f"{100 * share:.2f}",
                "sure": f"{100 * sure:.2f}",
                "gap": f"{100 * (share - sure):+.2f}",
            }
        )
    return {"bars": bars, "side": _PLOT, "error": f"ECE {own.error:.2f} %"}


def _pictures(errors: Errors, thumbnails: Thumbnails) -> dict[str, Any]:
    """The most confident mistakes, with pictures where they are at hand."""
    if errors.mistakes is None:
        return {"mistakes": None, "why": "", "licence": ""}
    shown = errors.mistakes[:TOP]
    own = thumbnails.of(errors, [mistake.key for mistake in shown])
    return {
        "mistakes": [
            {
                "picture": own.places.get(mistake.key, ""),
                "key": printable(mistake.key),
                "name": errors.name(mistake.label),
                "predicted": errors.name(mistake.predicted),
                "confidence": f"{mistake.confidence:.4f}",
            }
            for mistake in shown
        ],
        "why": own.why,
        "licence": own.licence,
    }


def with_other_seeds(records: Sequence[Record]) -> list[tuple[Record, list[Record]]]:
    """Each record, and those of its row, source and targets with other seeds, lowest first."""
    rows: dict[tuple[Any, ...], list[Record]] = {}
    for record in sorted(records, key=lambda r: r.seed):
        rows.setdefault(_row(record), []).append(record)
    return [(r, [other for other in rows[_row(r)] if other is not r]) for r in records]


def _row(record: Record) -> tuple[Any, ...]:
    targets = tuple(target.key for target in record.targets)
    return (*cells.row_of(record), record.leg.source.key, targets)


def links(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The seeds of records, and where their pages lie."""
    return [(f"seed {record.seed}", page_of(record)) for record in records]

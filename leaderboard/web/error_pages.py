"""The page of a record, what goes wrong in it, as plain data for its template."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from markupsafe import Markup, escape

from promptbench.core.calibration import BINS
from promptbench.leaderboard.accepting.copies import place_of
from promptbench.leaderboard.checking import cells, known
from promptbench.leaderboard.web.folder import Templates
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
Links = list[tuple[str, str]]  # seeds, and where their pages lie, as HTML
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
    found = mistakes.of_record(record, folders, datasets, TOP)
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
    cut = _cut(len(own.worst), "classes")
    return {
        "id": _identity(errors.key),
        "key": errors.key,
        "summary": _summary(errors),
        "matrix": _matrix(errors, own.block(MATRIX)),
        "classes": [_class(errors, label) for label in own.worst[:TOP]],
        "classes_cut": cut,
        "all_classes": [_share(errors, label) for label in sorted(own.worst)] if cut else [],
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


def _cell(count: int, share: float, right: bool) -> tuple[bool, str, str]:
    """A number of the matrix, whether it is of `right` ones; `share` of its class, of the largest
    in the matrix."""
    return right, f"{share:.3f}", f"{count:,}" if count else ""


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


def with_all_seeds(records: Sequence[Record]) -> Iterator[tuple[Record, Links]]:
    """Each record, and the links of all of its row, source and targets, lowest seed first."""
    rows: dict[tuple[Any, ...], Links] = {}
    own = [rows.setdefault(_row(record), []) for record in records]
    for record, links in sorted(zip(records, own, strict=True), key=lambda found: found[0].seed):
        links.append((f"seed {record.seed}", str(escape(page_of(record)))))
    yield from zip(records, own, strict=True)


def linked(templates: Templates, page: str, links: Links) -> Markup:
    """The part of a record's page with those links of its row that lead to other pages."""
    own = str(escape(page))
    others = [link for link in links if link[1] != own]
    return templates.part(page, "siblings.html", siblings=others)


def _row(record: Record) -> tuple[Any, ...]:
    targets = tuple(target.key for target in record.targets)
    return (*cells.row_of(record), record.leg.source.key, targets)

"""What goes wrong as tables of texts, for every format.

Rows of all grids have the same facts, so that a CSV holds them together; `what` says which kind of
row it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptbench.core.calibration import BINS
from promptbench.report.grid import Grid, GridRow
from promptbench.report.mistakes.finding import Errors
from promptbench.report.text import NOTHING
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

MATRIX = 10  # names in the matrix of a terminal
_LONGEST = 28  # characters of a name; formats for programs have all of them

FACTS = (
    *("table", "protocol", "suite", "method", "target", "source", "shots", "seeds", "what"),
    *("label", "class", "images", "right", "share", "predicted", "predicted_class", "count"),
    *("taken_for", "low", "high", "confidence", "key", "wrong_in", "calibration_error"),
)


def summary(found: Sequence[Errors]) -> Grid:
    """One row for each method and target: how much goes wrong, and what most often."""
    rows = []
    for errors in found:
        own = errors.confusions
        cells = (
            str(errors.shots),
            f"{own.images:,}",
            _percent(1 - own.wrong / own.images),
            _calibration(errors.mean_calibration),
            short(errors.name(own.worst[0])),
        )
        facts = _facts(errors, "target", images=own.images, right=own.images - own.wrong)
        facts["calibration_error"] = errors.mean_calibration
        rows.append(GridRow(errors.whose, cells, facts, errors.uses_split))
    notes = (
        "right in % of the images; ECE in %: expected calibration error over 15 bins, mean over "
        "seeds; images of several seeds count once for each",
    )
    columns = ("shots", "images", "right %", "ECE", "worst class")
    banners = "; ".join(dict.fromkeys(e.banner for e in found if e.banner))
    return Grid("What goes wrong", columns, tuple(rows), {}, banners, notes, "method, target")


def grids(errors: Errors, top: int) -> list[Grid]:
    """The confusion matrix, the worst classes, the most frequent confusions, the bins and the most
    confident mistakes of one row on one target, `top` rows of each."""
    found = [_matrix(errors), _classes(errors, top), _pairs(errors, top)]
    if errors.bins is not None:
        found.append(_bins(errors))
    if errors.mistakes is not None:
        found.append(_mistakes(errors, top))
    return [grid for grid in found if grid.rows]


def _matrix(errors: Errors) -> Grid:
    own, rows = errors.confusions, []
    block = own.block(MATRIX)
    has_others = block.cut or bool(block.others.any())
    for place, label in enumerate(block.rows):
        number = block.columns.index(label) + 1
        counts = [f"{count:,}" if count else "·" for count in block.counts[place].tolist()]
        others = f"{block.others[place]:,}" if block.others[place] else "·"
        facts = _of_class(errors, label, "matrix")
        cells = (*counts, others) if has_others else tuple(counts)
        rows.append(GridRow(f"{number} {short(errors.name(label))}", cells, facts))
    unseen = [label for label in block.columns if label not in block.rows]
    notes = ["rows: classes of images; columns: the names they were given, numbered as the rows"]
    if unseen:
        named = ", ".join(
            f"{block.columns.index(label) + 1} {short(errors.name(label))}" for label in unseen
        )
        notes.append(f"names without an image here: {named}")
    if block.cut:
        notes.append(
            f"the {len(block.columns)} most confused of {block.occurring:,} names that occur; "
            "others: given a name outside of them"
        )
    if not own.whole:
        notes.append("others also: mistakes of which the given name is not known")
    if errors.learned is not None and own.pairs.images.size:
        crossed, known = own.crossed(errors.learned), int(own.pairs.images.sum())
        notes.append(
            f"{crossed:,} of {counted(known, 'mistake')} took an image of a learned class for "
            "one that was not learned, or the other way round"
        )
    columns = [str(number + 1) for number in range(len(block.columns))]
    columns += ["others"] if has_others else []
    title = f"{errors.heading}: confusion matrix"
    return _grid(title, columns, rows, "class", (*notes, *errors.notes))


def _classes(errors: Errors, top: int) -> Grid:
    own = errors.confusions
    rows = []
    for label in own.worst[:top]:
        taken = own.taken_for(label)
        most = f"{short(errors.name(taken[0][0]))} {taken[0][1]:,}" if taken else NOTHING
        cells = (
            f"{own.total[label]:,}",
            f"{own.right[label]:,}",
            _percent(own.right[label] / own.total[label]),
            most,
        )
        facts = _of_class(errors, label, "class")
        rows.append(GridRow(short(errors.name(label)), cells, facts))
    columns = ("images", "right", "right %", "most often taken for")
    title = f"{errors.heading}: worst classes"
    return _grid(title, columns, rows, "class", _cut(len(rows), len(own.worst), "classes"))


def _pairs(errors: Errors, top: int) -> Grid:
    own, rows = errors.confusions, []
    pairs = list(zip(*(part.tolist() for part in own.pairs), strict=True))
    for label, predicted, count in pairs[:top]:
        share = count / own.total[label]
        cells = (short(errors.name(predicted)), f"{count:,}", _percent(share))
        facts = _facts(errors, "confusion", label=label, images=int(own.total[label]))
        facts |= {"class": errors.name(label), "predicted": predicted, "count": count}
        facts |= {"predicted_class": errors.name(predicted), "share": float(share)}
        rows.append(GridRow(short(errors.name(label)), cells, facts))
    columns = ("taken for", "images", "% of its class")
    notes = _cut(len(rows), len(pairs), "confusions")
    return _grid(f"{errors.heading}: confusions", columns, rows, "class", notes)


def _bins(errors: Errors) -> Grid:
    assert errors.bins is not None
    own, rows = errors.bins, []
    for number in range(BINS):
        images, right = int(own.images[number]), int(own.right[number])
        if not images:
            continue
        low, high = number / BINS, (number + 1) / BINS
        sure, share = own.confidence[number] / images, right / images
        cells = (f"{images:,}", _percent(share), _percent(sure), f"{100 * (share - sure):+.2f}")
        facts = _facts(errors, "bin", low=low, high=high, images=images, right=right)
        facts["confidence"] = float(sure)
        rows.append(GridRow(f"{low:.4f} to {high:.4f}", cells, facts))
    error, mean = own.error, errors.mean_calibration
    of_seeds = f"; mean of {errors.calibrated} seeds {mean:.2f} %" if errors.calibrated > 1 else ""
    notes = (
        f"ECE (expected calibration error) of these bins {_calibration(error)} %{of_seeds}",
        "a bin holds its lower end, not its upper one; empty ones of 15 are left out",
    )
    columns = ("images", "right %", "mean confidence %", "difference")
    return _grid(f"{errors.heading}: reliability", columns, rows, "confidence", notes)


def _mistakes(errors: Errors, top: int) -> Grid:
    assert errors.mistakes is not None
    rows = []
    for each in errors.mistakes[:top]:
        seeds = f"{len(each.seeds)} of {errors.calibrated}"
        names = short(errors.name(each.label)), short(errors.name(each.predicted))
        facts = _facts(errors, "mistake", label=each.label, predicted=each.predicted)
        facts |= {"class": errors.name(each.label), "key": printable(each.key)}
        facts |= {"predicted_class": errors.name(each.predicted), "confidence": each.confidence}
        facts["wrong_in"] = " ".join(map(str, each.seeds))
        cells = (
            *names,
            f"{each.confidence:.4f}",
            *([seeds] if errors.calibrated > 1 else []),
        )
        rows.append(GridRow(short(printable(each.key)), cells, facts))
    columns = ["class", "taken for", "confidence"]
    columns += ["wrong in seeds"] if errors.calibrated > 1 else []
    notes = _cut(
        len(rows),
        len(errors.mistakes),
        "images that were wrong" + (" in some seed" if errors.calibrated > 1 else ""),
    )
    return _grid(f"{errors.heading}: most confident mistakes", columns, rows, "image", notes)


def _grid(
    title: str, columns: Sequence[str], rows: Sequence[GridRow], head: str, notes: Sequence[str]
) -> Grid:
    return Grid(title, tuple(columns), tuple(rows), {}, "", tuple(notes), head)


def _cut(shown: int, there: int, what: str) -> tuple[str, ...]:
    return (f"the first {shown} of {there:,} {what} (--top shows more)",) if shown < there else ()


def _of_class(errors: Errors, label: int, what: str) -> dict[str, Any]:
    own = errors.confusions
    taken = "; ".join(f"{errors.name(name)} {count}" for name, count in own.taken_for(label))
    counts = {"images": int(own.total[label]), "right": int(own.right[label])}
    return _facts(
        errors, what, label=label, taken_for=taken, **counts, **{"class": errors.name(label)}
    )


def _facts(errors: Errors, what: str, **more: Any) -> dict[str, Any]:
    """The facts of a row, by the names of `FACTS`; `share` follows from images and right."""
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    facts |= {
        "table": errors.table,
        "protocol": errors.protocol,
        "suite": errors.suite,
        "method": errors.title,
        "target": errors.key,
        "source": errors.source,
        "shots": errors.shots,
        "seeds": " ".join(map(str, errors.seeds)),
        "what": what,
        **more,
    }
    if "right" in more:
        facts["share"] = more["right"] / more["images"]
    return facts


def short(name: str) -> str:
    """A name with its end left out, if it is longer than a column should be."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _calibration(error: float | None) -> str:
    return NOTHING if error is None else f"{error:.2f}"

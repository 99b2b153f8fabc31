"""Figures of what goes wrong, as PNG and SVG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from promptbench.core.calibration import BINS
from promptbench.figures.fitting import shortened, width_of
from promptbench.figures.looks import COLOURS, GREY
from promptbench.figures.sheet import finish, patch
from promptbench.figures.style import Page, ink, matplotlib_pyplot, page, plain, styled
from promptbench.report.mistakes.finding import Errors
from promptbench.report.mistakes.grids import short
from promptbench.report.mistakes.pictures import pictures
from promptbench.report.mistakes.surest import Mistake
from promptbench.support.prose import counted

MATRIX = 25  # names in a matrix
CLASSES = 20  # worst classes
SHOWN = 12  # pictures of mistakes
_SIDE = 224  # pixels of a picture
_BLUE, _RED = COLOURS[0], COLOURS[1]
_SMALL = 8  # points of counts
_ENOUGH = 35  # letters about a class that a wide figure has room for
_CELL, _DIGIT = 0.19, 0.075  # inches of a name in a matrix, and of a digit
Say = Callable[[str], object]
Drawn = tuple[Any, str, dict[str, Any]]  # a figure, its heading, its legend's entries


def names(found: Sequence[Errors]) -> list[str]:
    """What distinguishes the files of several rows and targets: nothing where there is one."""
    if len(found) == 1:
        return [""]
    slugs = [_slug(f"-{errors.method}-{errors.key}-{errors.shots}shot") for errors in found]
    many, seen = Counter(slugs), Counter[str]()
    pieces = []
    for slug in slugs:
        seen[slug] += 1
        pieces.append(f"{slug}-{seen[slug]}" if many[slug] > 1 else slug)
    return pieces


def _slug(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text)


def draw(
    errors: Errors, prefix: Path, root: Path | None, say: Say, on: Page | None = None
) -> Iterator[Path]:
    """Write `prefix`-confusions, -classes and, where predictions hold confidences, -reliability
    and -mistakes, each as .png and .svg; yield what is written.

    Args:
        root: the data root in which pictures of mistakes are looked for.
        say: hears why some or all of them are missing.

    Raises:
        UserError: matplotlib is missing, or a folder cannot be written.
    """
    with styled(on):
        yield from _written(lambda: _confusions(errors, say), prefix, "confusions", say)
        yield from _written(lambda: _classes(errors), prefix, "classes", say)
        if errors.bins is not None:
            yield from _written(lambda: _reliability(errors), prefix, "reliability", say)
        if worst := (errors.mistakes or ())[:SHOWN]:
            pictured = partial(_mistakes, errors, worst, root, say)
            yield from _written(pictured, prefix, "mistakes", say)


def _written(drawn: Callable[[], Drawn | None], prefix: Path, what: str, say: Say) -> list[Path]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = drawn()
        if found is None:
            return []
        figure, heading, entries = found
        paths = finish(figure, entries, heading, prefix.with_name(f"{prefix.name}-{what}"))
    lacking = [each for each in caught if "missing from" in str(each.message)]
    if lacking:
        say(f"{paths[0]}: matplotlib's font lacks letters of some names; the SVG has them as text")
    for each in caught:
        if each not in lacking:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return paths


def _sheet(width: float, height: float, **more: Any) -> tuple[Any, Any]:
    """A figure with one axis, or several; as wide as the page says, if it does."""
    size = (page().width or width, height)
    figure, axes = matplotlib_pyplot().subplots(figsize=size, layout="constrained", **more)
    return figure, axes


def _heading(errors: Errors, about: str) -> str:
    """What a figure shows of what."""
    return "\n".join(filter(None, (errors.banner, errors.heading, about)))


def _images(errors: Errors) -> str:
    return _counted(errors.confusions.images, errors.files)


def _counted(images: int, seeds: int) -> str:
    """How many images are drawn, and of how many seeds where each counts several times."""
    return f"{images:,} images" + (f" of {seeds} seeds" if seeds > 1 else "")


def _confusions(errors: Errors, say: Say) -> Drawn:
    wide = page().width
    most_names = MATRIX if wide is None else min(MATRIX, int((wide - 1.4) / _CELL))
    block = errors.confusions.block(most_names)
    shares = block.counts / block.total[:, None]
    about = f"{_images(errors)}; colour: share of a class"
    if block.cut:
        about += (
            f"\nthe {len(block.columns)} most confused of {block.occurring:,} names; "
            f"{int(block.others.sum()):,} images were given others"
        )
    elif block.others.any():
        about += f"\nof {counted(int(block.others.sum()), 'mistake')} the name given is not known"
    digits = len(f"{int(block.counts.max(initial=0)):,}")
    side = max(2.6, max(_CELL, _DIGIT * digits + 0.04) * len(block.columns) + 2.2)
    figure, axis = _sheet(side, max(2.2, _CELL * len(block.rows) + 1.7))
    most = float(shares.max()) or 1.0
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=most, aspect="auto")
    axis.grid(False)
    columns, rows = _labels(errors, block.columns), _labels(errors, block.rows)
    room = 1.1  # inches of a name
    axis.set_xticks(
        range(len(columns)), [shortened(figure, name, room, 8) for name in columns], rotation=90
    )
    axis.set_yticks(range(len(rows)), [shortened(figure, name, room, 8) for name in rows])
    axis.tick_params(length=0)
    axis.set_xlabel("name given")
    axis.set_ylabel("class of the image")
    bar = figure.colorbar(
        image, ax=axis, shrink=0.8, pad=0.02, format=lambda share, _: f"{100 * share:.3g} %"
    )
    bar.set_label("share of a class")
    figure.draw_without_rendering()
    field = axis.bbox.width / len(columns) / figure.dpi
    without = 0
    for (row, column), count in np.ndenumerate(block.counts):
        text = f"{count:,}"
        if count and width_of(figure, text, _SMALL) > field:
            without += 1
        elif count:
            colour = "white" if shares[row, column] > most / 2 else "black"
            look = {"ha": "center", "va": "center", "fontsize": _SMALL, "color": colour}
            axis.text(column, row, text, **look)
    if without:
        left_out = f"{counted(without, 'count')} wider than a field left out"
        bar.set_label(f"share of a class; {left_out}")
        say(f"{errors.heading}: {left_out} of the matrix")
    return figure, _heading(errors, about), {}


def _labels(errors: Errors, labels: Sequence[int]) -> list[str]:
    return [plain(short(errors.name(label))) for label in labels]


def _classes(errors: Errors) -> Drawn:
    own = errors.confusions
    shown = own.worst[:CLASSES]
    about = f"{_images(errors)}; " + (
        f"the {len(shown)} worst of {len(own.worst):,} classes"
        if len(shown) < len(own.worst)
        else "all classes, the worst first"
    )
    figure, axis = _sheet(5.2, 0.18 * len(shown) + 0.9)
    shares = [100 * own.right[label] / own.total[label] for label in shown]
    axis.barh(range(len(shown)), shares, color=_BLUE, height=0.75)
    axis.axvline(100 * own.mean_class_share, color=GREY, linewidth=0.8, linestyle=":")
    names = [shortened(figure, name, 1.1, 8) for name in _labels(errors, shown)]
    axis.set_yticks(range(len(shown)), names)
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.grid(axis="y", visible=False)
    figure.draw_without_rendering()
    wide = axis.bbox.width / figure.dpi
    says = [_said_of(errors, label) for label in shown]
    rooms = [wide * max(share, 100 - share) / 100 - 0.1 for share in shares]
    narrow = any(
        width_of(figure, f"{right}, most often {other}"[:_ENOUGH], _SMALL) > room
        for (right, other), room in zip(says, rooms, strict=True)
    )
    link = " → " if narrow else ", most often "
    label = "right in % of the class's images (dotted: mean over classes"
    axis.set_xlabel(f"{label}; →: most often taken for)" if narrow else f"{label})")
    for place, (said, share, room) in enumerate(zip(says, shares, rooms, strict=True)):
        inside = share > 50
        text = axis.annotate(
            plain(shortened(figure, link.join(filter(None, said)), room, _SMALL)), (share, place),
            xytext=(-3 if inside else 3, 0), textcoords="offset points", va="center_baseline",
            ha="right" if inside else "left", color="white" if inside else ink(), fontsize=_SMALL,
        )  # fmt: skip
        if not inside:  # lines end where letters stand
            ground = matplotlib_pyplot().rcParams["axes.facecolor"]
            text.set_bbox({"facecolor": ground, "edgecolor": "none", "pad": 0.5})
    return figure, _heading(errors, about), {}


def _said_of(errors: Errors, label: int) -> tuple[str, str]:
    """How many images of a class are right, and what the others were most often taken for."""
    own = errors.confusions
    taken = own.taken_for(label)
    other = f"{errors.name(taken[0][0])} ({taken[0][1]:,})" if taken else ""
    return f"{own.right[label]:,} of {own.total[label]:,}", other


def _reliability(errors: Errors) -> Drawn:
    own = errors.bins
    assert own is not None
    error = own.error
    assert error is not None, "bins hold images"
    about = f"{_counted(int(own.images.sum()), errors.calibrated)}; ECE of these bins {error:.2f} %"
    if errors.calibrated > 1:
        about += f", mean of seeds {errors.mean_calibration:.2f} %"
    figure, (above, below) = _sheet(3.6, 3.9, nrows=2, sharex=True, height_ratios=(3, 1.4))
    have = own.images > 0
    middle, width = (np.arange(BINS) + 0.5) / BINS, 1 / BINS
    share = own.right[have] / own.images[have]
    sure = own.confidence[have] / own.images[have]
    above.bar(middle[have], share, width * 0.94, color=_BLUE)
    gap = {"color": _RED, "alpha": 0.35, "edgecolor": _RED, "linewidth": 0.6}
    over = sure >= share
    above.bar(middle[have][over], (sure - share)[over], width * 0.94, bottom=share[over], **gap)
    under = {"color": "none", "edgecolor": "white", "hatch": "//////", "linewidth": 0}
    lacking = (share - sure)[~over]
    above.bar(middle[have][~over], lacking, width * 0.94, bottom=sure[~over], **under)
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("share that is right")
    below.bar(middle, own.images, width * 0.94, color=GREY)
    below.set_ylabel("images")
    below.set_xlabel("confidence")
    for place, count in zip(middle[have], own.images[have], strict=True):
        below.annotate(
            f"{count:,}", (place, count), xytext=(0, 2), textcoords="offset points", ha="center",
            va="bottom", rotation=90, fontsize=_SMALL,
        )  # fmt: skip
    below.margins(y=0.75)
    entries = {
        "right": patch(_BLUE),
        "mean confidence − right": patch(_RED, alpha=0.35),
    }
    if not over.all():
        entries["right − mean confidence"] = patch(_BLUE, hatch="//////", edgecolor="white")
    return figure, _heading(errors, about), entries


def _mistakes(
    errors: Errors, shown: Sequence[Mistake], root: Path | None, say: Say
) -> Drawn | None:
    """The pictures of mistakes; None where there is none."""
    keys = [mistake.key for mistake in shown]
    found = pictures(errors.records[0], errors.dataset, errors.split, keys, root, _SIDE)
    if found.why:
        say(f"{errors.heading}: {found.why}")
    own = [mistake for mistake in shown if mistake.key in found.images]
    return gallery_of(errors, own, found.images) if own else None


def gallery_of(errors: Errors, own: Sequence[Mistake], images: Mapping[str, Any]) -> Drawn:
    """Draw mistakes as pictures, each with its class, the name given, and how sure that was."""
    across = min(2 if page().paper == "single" else 4, len(own))
    down = -(-len(own) // across)
    about = f"the most confident of {counted(len(errors.mistakes or ()), 'image')} that were wrong"
    width = 1.6 * max(across, 2)
    figure, axes = _sheet(width, 1.95 * down, nrows=down, ncols=across, squeeze=False)
    room = figure.get_figwidth() / across - 0.15
    for axis in axes.flat:
        axis.axis("off")
    several = errors.calibrated
    for axis, mistake in zip(axes.flat, own, strict=False):
        axis.imshow(np.asarray(images[mistake.key]))
        seeds = f", {len(mistake.seeds)} of {several} seeds" if several > 1 else ""
        names = [short(errors.name(label)) for label in (mistake.label, mistake.predicted)]
        lines = (names[0], f"as {names[1]}", f"{mistake.confidence:.4f}{seeds}")
        text = "\n".join(shortened(figure, line, room, 8) for line in lines)
        axis.set_title(text, fontsize=8, parse_math=False)
    return figure, _heading(errors, about), {}

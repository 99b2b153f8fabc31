"""Figures of what goes wrong, as PNG and SVG. Needs the extra `plot` (matplotlib)."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from promptbench.core.calibration import BINS
from promptbench.report.mistakes.finding import Errors, Mistake
from promptbench.report.mistakes.grids import short
from promptbench.report.mistakes.pictures import pictures
from promptbench.report.plot import matplotlib_pyplot, saved
from promptbench.report.style import COLOURS, GREY, plain, styled
from promptbench.support.prose import counted

MATRIX = 25  # names in a matrix
CLASSES = 20  # worst classes
SHOWN = 12  # pictures of mistakes
_SIDE = 224  # pixels of a picture
_BLUE, _RED = COLOURS[0], COLOURS[1]
Say = Callable[[str], object]


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


def draw(errors: Errors, prefix: Path, root: Path | None, say: Say) -> Iterator[Path]:
    """Write `prefix`-confusions, -classes and, where predictions hold confidences, -reliability
    and -mistakes, each as .png and .svg; yield what is written.

    Args:
        root: the data root in which pictures of mistakes are looked for.
        say: hears why some or all of them are missing.

    Raises:
        UserError: matplotlib is missing, or a folder cannot be written.
    """
    with styled():
        yield from _written(_confusions(errors), prefix, "confusions", say)
        yield from _written(_classes(errors), prefix, "classes", say)
        if errors.bins is not None:
            yield from _written(_reliability(errors), prefix, "reliability", say)
        if errors.mistakes:
            drawn = _mistakes(errors, errors.mistakes[:SHOWN], root, say)
            if drawn is not None:
                yield from _written(drawn, prefix, "mistakes", say)


def _written(figure: Any, prefix: Path, what: str, say: Say) -> list[Path]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        paths = saved(figure, matplotlib_pyplot(), prefix.with_name(f"{prefix.name}-{what}"))
    lacking = [each for each in caught if "missing from" in str(each.message)]
    if lacking:
        say(f"{paths[0]}: matplotlib's font lacks letters of some names; the SVG has them as text")
    for each in caught:
        if each not in lacking:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return paths


def _sheet(errors: Errors, width: float, height: float, about: str, **more: Any) -> tuple[Any, Any]:
    """A figure with one axis, or several, and a heading that says what it shows of what."""
    figure, axes = matplotlib_pyplot().subplots(
        figsize=(width, height), layout="constrained", **more
    )
    heading = "\n".join(filter(None, (errors.banner, errors.heading, about)))
    figure.suptitle(heading, fontsize=7, parse_math=False, wrap=True)
    return figure, axes


def _images(errors: Errors) -> str:
    return _counted(errors.confusions.images, errors.files)


def _counted(images: int, seeds: int) -> str:
    """How many images are drawn, and of how many seeds where each counts several times."""
    return f"{images:,} images" + (f" of {seeds} seeds" if seeds > 1 else "")


def _confusions(errors: Errors) -> Any:
    block = errors.confusions.block(MATRIX)
    shares = block.counts / block.total[:, None]
    side = max(2.6, 0.24 * len(block.columns) + 1.4)
    about = f"{_images(errors)}; colour: share of a class"
    if block.cut:
        about += (
            f"\nthe {len(block.columns)} most confused of {block.occurring:,} names; "
            f"{int(block.others.sum()):,} images were given others"
        )
    elif block.others.any():
        about += f"\nof {counted(int(block.others.sum()), 'mistake')} the name given is not known"
    height = max(2.2, 0.24 * len(block.rows) + 1.9)
    figure, axis = _sheet(errors, side + 0.9, height, about)
    most = float(shares.max()) or 1.0
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=most, aspect="auto")
    axis.grid(False)
    axis.set_xticks(range(len(block.columns)), _labels(errors, block.columns), rotation=90)
    axis.set_yticks(range(len(block.rows)), _labels(errors, block.rows))
    axis.tick_params(labelsize=6.5, length=0)
    axis.set_xlabel("name given")
    axis.set_ylabel("class of the image")
    for (row, column), count in np.ndenumerate(block.counts):
        if count:
            colour = "white" if shares[row, column] > most / 2 else "black"
            axis.text(column, row, f"{count:,}", ha="center", va="center", fontsize=5, color=colour)
    figure.colorbar(
        image, ax=axis, shrink=0.8, pad=0.02, format=lambda share, _: f"{100 * share:.3g} %"
    )
    return figure


def _labels(errors: Errors, labels: Sequence[int]) -> list[str]:
    return [plain(short(errors.name(label))) for label in labels]


def _classes(errors: Errors) -> Any:
    own = errors.confusions
    shown = own.worst[:CLASSES]
    about = f"{_images(errors)}; " + (
        f"the {len(shown)} worst of {len(own.worst):,} classes"
        if len(shown) < len(own.worst)
        else "all classes, the worst first"
    )
    figure, axis = _sheet(errors, 5.2, 0.2 * len(shown) + 1.3, about)
    shares = [100 * own.right[label] / own.total[label] for label in shown]
    axis.barh(range(len(shown)), shares, color=_BLUE, height=0.7)
    for place, (label, share) in enumerate(zip(shown, shares, strict=True)):
        taken = own.taken_for(label)
        most = f", most often {errors.name(taken[0][0])} ({taken[0][1]:,})" if taken else ""
        text = plain(f"{own.right[label]:,} of {own.total[label]:,}{_cut(most)}")
        inside = share > 55
        axis.text(
            share - 1 if inside else share + 1, place, text, va="center", fontsize=6,
            ha="right" if inside else "left", color="white" if inside else "black",
        )  # fmt: skip
    axis.axvline(100 * own.mean_class_share, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(shown)), _labels(errors, shown))
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.set_axisbelow(True)
    axis.set_xlabel("right in % of the class's images (dotted: mean over classes)")
    axis.grid(axis="y", visible=False)
    return figure


def _cut(text: str, most: int = 44) -> str:
    """A text with its end left out, if it is longer than a bar has room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _reliability(errors: Errors) -> Any:
    own = errors.bins
    assert own is not None
    error = own.error
    assert error is not None, "bins hold images"
    about = f"{_counted(int(own.images.sum()), errors.calibrated)}; ECE of these bins {error:.2f} %"
    if errors.calibrated > 1:
        about += f", mean of seeds {errors.mean_calibration:.2f} %"
    figure, (above, below) = _sheet(
        errors, 3.6, 4.2, about, nrows=2, sharex=True, height_ratios=(3, 1)
    )
    have = own.images > 0
    middle, width = (np.arange(BINS) + 0.5) / BINS, 1 / BINS
    share = own.right[have] / own.images[have]
    sure = own.confidence[have] / own.images[have]
    above.bar(middle[have], share, width * 0.94, color=_BLUE, label="right")
    above.bar(
        middle[have], sure - share, width * 0.94, bottom=share, color=_RED, alpha=0.35,
        edgecolor=_RED, linewidth=0.6, label="mean confidence − right",
    )  # fmt: skip
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    for axis in (above, below):
        axis.set_axisbelow(True)
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("share that is right")
    above.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    below.bar(middle, own.images, width * 0.94, color=GREY)
    below.set_ylabel("images")
    below.set_xlabel("confidence")
    for place, count in zip(middle[have], own.images[have], strict=True):
        below.annotate(
            f"{count:,}", (place, count), xytext=(0, 2), textcoords="offset points", ha="center",
            va="bottom", rotation=90, fontsize=5,
        )  # fmt: skip
    below.margins(y=0.45)
    return figure


def _mistakes(errors: Errors, shown: Sequence[Mistake], root: Path | None, say: Say) -> Any:
    """The pictures of mistakes; None where there is none."""
    keys = [mistake.key for mistake in shown]
    found = pictures(errors.records[0], errors.dataset, errors.split, keys, root, _SIDE)
    if found.why:
        say(f"{errors.heading}: {found.why}")
    own = [mistake for mistake in shown if mistake.key in found.images]
    if not own:
        return None
    across = min(4, len(own))
    down = -(-len(own) // across)
    about = f"the most confident of {counted(len(errors.mistakes or ()), 'image')} that were wrong"
    figure, axes = _sheet(
        errors, 1.5 * max(across, 2) + 0.4, 1.9 * down + 0.6, about, nrows=down, ncols=across,
        squeeze=False,
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    several = errors.calibrated
    for axis, mistake in zip(axes.flat, own, strict=False):
        axis.imshow(np.asarray(found.images[mistake.key]))
        seeds = f", {len(mistake.seeds)} of {several} seeds" if several > 1 else ""
        names = (short(errors.name(label)) for label in (mistake.label, mistake.predicted))
        text = "{}\nas {}\n".format(*names) + f"{mistake.confidence:.4f}{seeds}"
        axis.set_title(text, fontsize=6, parse_math=False)
    return figure

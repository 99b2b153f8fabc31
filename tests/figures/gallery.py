"""Every kind of figure, drawn of little and of much: what the test without eyes looks at.

`python -m tests.figures.gallery FOLDER` writes all of them, to be looked at; with beginnings of
names behind it, those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from promptbench.analysis.analysis import Analysis
from promptbench.analysis.figures import Drawing, finish, styled
from promptbench.analysis.rows import Number
from promptbench.core.answers import Answers
from promptbench.core.calibration import BINS, Bins
from promptbench.core.registry import ANALYSES, METHODS
from promptbench.figures.style import Page
from promptbench.mixing import Variant
from promptbench.records.scores import load
from promptbench.report.comparing.critical import critical_difference_plot
from promptbench.report.costs.efficiency import Cost, CostTable
from promptbench.report.costs.efficiency_plot import efficiency_plot
from promptbench.report.mistakes import figures as wrong
from promptbench.report.mistakes.confusions import Confusions
from promptbench.report.mistakes.finding import Errors
from promptbench.report.mistakes.surest import Mistake
from promptbench.report.plot import shots_plot
from promptbench.report.sensitivities.importance import Importance
from promptbench.report.sensitivities.sensitivity import Sensitivity, Spread
from promptbench.report.sensitivities.sensitivity_plot import sensitivity_plot
from promptbench.report.sweeps.sweep import Point, SweepTable
from promptbench.report.sweeps.sweep_plot import sweep_plot
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate
from tests.analysis.made_looks import looks

DATASETS = (
    "ImageNet", "Caltech101", "OxfordPets", "StanfordCars", "Flowers102", "Food101", "FGVCAircraft",
    "SUN397", "DTD", "EuroSAT", "UCF101", "ImageNet-Sketch", "A very long name of somebody's data",
    "ImageNetV2", "ImageNet-R",
)  # fmt: skip
BANNER = "demo suite: numbers of a tiny model on generated images, comparable with nothing"
Draw = Callable[[Path, Page], Sequence[Path]]


def methods(many: int) -> list[tuple[str, str]]:
    """(name, title): built-in ones, a stranger's with a long title, and variants of one."""
    names = ["coop", *[name for name in METHODS.names() if name != "coop"]]
    found = [(name, name.upper()) for name in names]
    found.insert(2, ("somebodys", "Somebody's method with a very long title (Recipe.epochs = 50)"))
    found.insert(5, ("coop", "COOP (CoOp.n_ctx = 16, $x_1$; first 60 images)"))
    return found[:many]


def _estimate(rng: np.random.Generator, centre: float) -> Estimate:
    mean = float(centre + rng.normal(0, 4))
    return Estimate(mean, 1.5, 3)


def table(many: int, datasets: int, shots: Sequence[int]) -> Table:
    """Methods over datasets, an average first, for each number of shots."""
    rng = np.random.default_rng(0)
    headings: list[Heading] = []
    for count in shots:
        start = len(headings)
        members = tuple(range(start + 1, start + 1 + datasets))
        headings.append(Heading("Average", "Average", count, True, members))
        headings += [Heading(name, name, count, False) for name in DATASETS[:datasets]]
    rows = []
    for name, title in methods(many):
        variant = Variant(name, "unified", "paper", (), 0)
        entries = tuple(_estimate(rng, 60 + heading.shots) for heading in headings)
        rows.append(Row(title, "end-to-end", "ours", entries, 3, variant=variant))
    first = rows[0]
    published = replace(first, kind="published", origin="CoOp, Table 3", source="coop", n=0)
    title = "Few-shot classification, suite clip, ViT-B/16, 3 seeds, mean accuracy in percent"
    return Table(title, "few_shot", load(), tuple(headings), (*rows, published), BANNER)


def costs(many: int) -> CostTable:
    """Methods with costs over six orders of magnitude; the first learns nothing."""
    rng = np.random.default_rng(1)
    rows = []
    for number, (name, title) in enumerate(methods(many)):
        learned = 0 if number == 0 else int(10 ** rng.uniform(3, 7))
        rows.append(
            Cost(
                name, title, "end-to-end", number == 1, 3, 11, (learned, learned), (50, 50), 1.0,
                None if number == 0 else float(rng.uniform(9, 4000)), float(rng.uniform(900, 9e3)),
                float(rng.uniform(200, 2500)), 0.1, 100.0, 100.0, _estimate(rng, 70), True,
            )
        )  # fmt: skip
    value = Heading("Average", "HM", 16, True)
    about = ("Costs, base_to_new", "base_to_new", "clip", "NVIDIA H100 80GB HBM3", 16, "bf16", 16)
    return CostTable(*about, load(), value, tuple(rows), BANNER)


def swept(many: int, values: Sequence[str], settings: int) -> SweepTable:
    """Methods over the values of one setting, or over those of two."""
    rng = np.random.default_rng(2)
    heading = Heading("Average", "HM", 16, True)
    points = []
    second = values if settings == 2 else [""]
    for name, title in methods(many):
        for one in values:
            for two in second:
                own = (one, two)[:settings]
                entry = (_estimate(rng, 70),)
                best = one == values[0] and two == second[0]
                points.append(Point(title, own, entry, 3, 70.0, best, method=name))
    names = ("Recipe.lr", "AlignedNorm.w_token")[:settings]
    title = "Sweep of Recipe.lr under base_to_new, suite clip, ViT-B/16, 3 seeds"
    return SweepTable(title, "base_to_new", names, (heading,), tuple(points), load(), BANNER)


def searched(many: int, sources: int) -> tuple[Sensitivity, list[Importance | None]]:
    """Searches of methods on sources, the first with too few trials to explain anything."""
    rng = np.random.default_rng(3)
    spreads = [
        Spread(title, f"{source.lower()}/base, 16", 70.0, tuple(rng.normal(70, 3, 16)), 0, 3, name)
        for source in DATASETS[:sources]
        for name, title in methods(many)
    ]
    names = [
        "Recipe.lr",
        "CoOp.n_ctx",
        "CoOp.class_specific",
        "Recipe.weight_decay",
        "x.a_long_one",
    ]
    known: list[Importance | None] = [
        Importance(title, 0.61, {each: (float(rng.uniform(0, 0.6)), 0.05) for each in names})
        for _, title in methods(many)
    ]
    known[0] = None
    title = "base_to_new, suite clip, ViT-B/16, 16 trials"
    return Sensitivity(title, 16, tuple(spreads), ()), known


def numbers(name: str, many: int) -> list[Number]:
    """What an analysis measures, of so many methods."""
    analysis: Analysis = ANALYSES.load(name).cls()
    found = [row for each in looks() for row in analysis.rows(each)]
    one = [row for row in found if row.title == "A"]
    return [replace(row, title=title, method=own) for own, title in methods(many) for row in one]


def analysed(name: str, many: int, curves: bool) -> Draw:
    """A figure of an analysis; of one method its datasets are compared."""

    def draw(prefix: Path, page: Page) -> list[Path]:
        analysis: Analysis = ANALYSES.load(name).cls()
        rows = numbers(name, many)
        names = [title for _, title in methods(many)] if many > 1 else ["shapes"]
        with styled(page):
            drawing = Drawing.of_rows(rows, many > 1, names)
            figure, entries = (analysis.curves if curves else analysis.figure)(drawing)
            return finish(figure, entries, f"{analysis.title}\n{BANNER}", prefix)

    return draw


def mistaken(classes: int, what: str) -> Draw:
    """One figure of what goes wrong among so many classes; pictures are grey."""

    def draw(prefix: Path, page: Page) -> list[Path]:
        errors = _errors(classes)
        with styled(page):
            if what == "pictures":
                grey = {
                    each.key: Image.new("RGB", (64, 48), "grey") for each in errors.mistakes or ()
                }
                found = wrong.gallery_of(errors, (errors.mistakes or ())[: wrong.SHOWN], grey)
            else:
                more = [print] if what == "confusions" else []
                found = getattr(wrong, f"_{what}")(errors, *more)
            figure, heading, entries = found
            return finish(figure, entries, heading, prefix)

    return draw


def _errors(classes: int) -> Errors:
    rng = np.random.default_rng(4)
    label = np.repeat(np.arange(classes), 40)
    guess = rng.integers(0, classes, len(label))
    predicted = np.where(rng.random(len(label)) < 0.5, label, guess)
    answers = Answers.of_predictions(label.tolist(), predicted.tolist(), classes)
    images = rng.integers(0, 3000, BINS)
    right = (images * np.linspace(0.1, 0.8, BINS)).astype(np.int64)
    sure = images * (np.arange(BINS) + 0.5) / BINS
    names = [f"class {number}" for number in range(classes)]
    names[:2] = ["2012 Ferrari 458 Italia Convertible with a hood", "dog"][:classes]
    mistakes = tuple(Mistake(f"k{n}", 0, 1, 0.9987, (1, 2)) for n in range(12))
    return Errors(
        "CoOp", "coop", "cars/new", "cars", "test", "cars/base", 16, (1, 2), 2, tuple(names), None,
        Confusions.of_answers(answers), Bins(images, right, sure, right - sure), (4.1, 4.2),
        mistakes, (), "", "base_to_new", "clip", BANNER, False, (),
    )  # fmt: skip


def kinds() -> dict[str, Draw]:
    """Every kind of figure, of little and of much."""
    found: dict[str, Draw] = {}
    for size, many, datasets in (("one", 1, 1), ("much", 30, 15)):
        shots = (1, 2, 4, 8, 16) if size == "much" else (1, 16)
        made = table(min(many, 12), datasets, shots)
        found[f"shots-{size}"] = lambda p, on, made=made: shots_plot(made, p, on)
        priced = costs(many)
        found[f"costs-{size}"] = lambda p, on, made=priced: efficiency_plot(made, p, on)
        every = ["0.0001", "0.0002", "0.00025", "0.0005", "0.001", "0.002", "0.01"]
        own = every if size == "much" else ["0.001"]
        line = swept(many, own, 1)
        found[f"sweep-{size}"] = lambda p, on, made=line: sweep_plot(made, p, print, on)
        fields = swept(min(many, 6), own, 2)
        found[f"maps-{size}"] = lambda p, on, made=fields: sweep_plot(made, p, print, on)
        known = searched(min(many, 9), min(datasets, 6))
        found[f"sensitivity-{size}"] = lambda p, on, made=known: sensitivity_plot(*made, p, on)
    crowd = table(30, 1, (1, 4, 16))
    found["shots-crowd"] = lambda p, on: shots_plot(crowd, p, on)
    words = swept(4, ["'adamw'", "'sgd with a long name'", "'lion'", "'rmsprop'"], 1)
    found["sweep-words"] = lambda p, on: sweep_plot(words, p, print, on)
    for many in (3, 30):
        ranked = table(many, 12, (16,))
        found[f"ranks-{many}"] = lambda p, on, made=ranked: critical_difference_plot(made, p, on)
    for classes in (2, 60):
        for what in ("confusions", "classes", "reliability", "pictures"):
            found[f"{what}-{classes}"] = mistaken(classes, what)
    for name in ANALYSES.names():
        for many in (1, 8):
            found[f"{name}-{many}"] = analysed(name, many, False)
            if ANALYSES.load(name).cls().over_training:
                found[f"{name}-over-training-{many}"] = analysed(name, many, True)
    return found


def main(folder: Path, *wanted: str) -> None:
    for name, draw in kinds().items():
        if wanted and not name.startswith(wanted):
            continue
        for paper in (None, "single", "double"):
            for path in draw(folder / f"{name}-{paper or 'free'}", Page(paper)):
                if path.suffix != ".png":
                    path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

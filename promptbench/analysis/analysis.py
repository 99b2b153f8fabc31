"""What an analysis is: one question about finished runs, in one object of one file.

What a run's images showed becomes rows of numbers; columns, a note and a figure make them readable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console

from promptbench.analysis import summary
from promptbench.analysis.figures import Drawing, Drawn
from promptbench.analysis.rows import Number
from promptbench.core.registry import ANALYSES
from promptbench.statistics import ANY, Ends

if TYPE_CHECKING:
    from promptbench.analysis.sweep import Sweep


@dataclass(frozen=True)
class ScoredTarget:
    """What the usual metric (`quantity`) is on a target of the run's record, and on its classes."""

    target: str
    quantity: str
    value: float
    classes: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Look:
    """What an analysis sees of a run: what its test images showed, and whose they are.

    Args:
        title, method: the run's method, as tables call it and by its name.
        dataset, seed: the source it learned from, and its seed.
        epoch: of the training, 0 before it; None: the parameters of the record.
        sweeps: what the images of each target showed, by the target's name: "base" for the classes
            that were learned, which come first, "new" for the others of the dataset, else the
            name of another dataset.
        scored: the values of the usual metric in the record.
    """

    title: str
    method: str
    dataset: str
    seed: int
    epoch: int | None
    sweeps: Mapping[str, Sweep]
    scored: Sequence[ScoredTarget] = ()

    def number(
        self,
        target: str,
        quantity: str,
        value: float,
        *,
        part: str = "",
        block: int | None = None,
        item: str = "",
        bounds: Ends = ANY,
    ) -> Number:
        """Return a row of this run; see `Number` for the columns."""
        return Number(
            title=self.title,
            method=self.method,
            dataset=self.dataset,
            seed=self.seed,
            epoch=self.epoch,
            target=target,
            part=part,
            block=block,
            item=item,
            quantity=quantity,
            value=value,
            bounds=bounds,
        )


class Analysis(ABC):
    """One question about what prompts do inside the towers.

    The module's name is the analysis's name, and the first line of its docstring the question,
    which `promptbench analyze --help` shows.

    Attributes:
        title: the heading of its figures, tables and place on the site.
        order: its place among the analyses: the lowest first, then by name.
        lacking: what is wanting in a run for which it gives no rows.
        untrained: whether it also compares with the features before training (`Sweep.untrained`);
            a method that leaves the image tower as it is has none.
        columns: the summary's columns by heading, each a number of a method's rows. One whose
            heading begins with a line break stays beside the column before it.
        notes: what the columns mean.
    """

    title: ClassVar[str]
    order: ClassVar[int] = 100
    lacking: ClassVar[str] = "nothing was looked at"
    untrained: ClassVar[bool] = False
    columns: ClassVar[summary.Columns]
    notes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def rows(self, look: Look) -> Iterable[Number]:
        """Yield the numbers of one run; none where the analysis does not apply to it."""

    @abstractmethod
    def figure(self, drawing: Drawing) -> Drawn:
        """Draw the rows of the parameters that were learned (`epoch` is None)."""

    def curves(self, drawing: Drawing) -> Drawn:
        """Draw the rows over epochs; an analysis that overrides this is measured over training."""
        raise NotImplementedError

    @property
    def over_training(self) -> bool:
        """Whether the analysis has a figure over training."""
        return type(self).curves is not Analysis.curves

    def across(self, rows: Sequence[Number]) -> list[Number]:
        """Return what only the rows of several runs together say; nothing, unless overridden."""
        return []

    def show(
        self,
        rows: Sequence[Number],
        titles: Sequence[str],
        across: Sequence[Number],
        console: Console,
    ) -> None:
        """Print the summary: means over datasets with spreads over seeds, a line per method.

        `rows` are the final ones that are averaged, with targets "base" and "new" only; `titles`
        are all methods, `across` the rows over several runs.
        """
        summary.show(self.columns, self.notes, rows, titles, console)


def chosen(names: Sequence[str]) -> dict[str, Analysis]:
    """The analyses of these names; without any, all that are installed, in their order.

    Raises:
        UserError: an unknown name, with the nearest, or an analysis that cannot be loaded.
    """
    found = {name: ANALYSES.load(name).cls() for name in names or ANALYSES.names()}
    return found if names else dict(sorted(found.items(), key=lambda item: item[1].order))

"""What a report format is: tables become text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from promptbench.core.registry import FORMATS
from promptbench.errors import UserError
from promptbench.report.grid import Grid
from promptbench.report.table import Table

TERMINAL = "rich"  # the format that is shown unless another is asked for


class Format(ABC):
    """A way to write tables. The module's name is the format's name, as `report --format` takes it.

    Names of methods and datasets come from strangers: whatever they hold, a format shows it as
    text. `promptbench.report.text` has the numbers, marks and notes as all formats show them.

    Attributes:
        title: what it is called in lists.
        suffix: of files that hold it, such as ".md"; empty for what is not made to be saved, but
            for a terminal of some width, colours and encoding.
    """

    title: ClassVar[str]
    suffix: ClassVar[str]

    @abstractmethod
    def render(self, tables: Sequence[Table]) -> str:
        """Return the tables as one text that ends with a line break."""

    def render_whole(self, tables: Sequence[Table]) -> str:
        """Return the tables with every row, of a format whose `render` folds some."""
        return self.render(tables)

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return tables of plain cells, such as costs, as one text that ends with a line break.

        Raises:
            UserError: a format that does not write this method.
        """
        raise UserError(
            f"the format {self.title!r} writes tables of results only, not of costs or "
            "mistakes; "
            "leave --format out, or take one of promptbench's own (promptbench ls formats)"
        )


def render(name: str, tables: Sequence[Table], whole: bool = False) -> str:
    """Return tables in the format of this name; `whole`: with the rows that it folds.

    Raises:
        UserError: an unknown format, with the nearest, or what a third party's raises.
    """
    return _text(name, "render_whole" if whole else "render", tables)


def render_grids(name: str, grids: Sequence[Grid]) -> str:
    """Return tables of plain cells in the format of this name.

    Raises:
        UserError: as `render`; a format that has none.
    """
    return _text(name, "render_grids", grids)


def _text(name: str, function: str, shown: Sequence[Table] | Sequence[Grid]) -> str:
    made: Format = FORMATS.load(name).cls()
    with FORMATS.blaming(name):
        text = getattr(made, function)(shown)
        if not isinstance(text, str):
            raise TypeError(f"{function} returned {type(text).__name__}, not a text")
    return text

"""`promptbench report --errors`: tables and figures of what goes wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli import streams
from promptbench.errors import UserError, unknown

if TYPE_CHECKING:
    from promptbench.figures.style import Page
    from promptbench.records import Record
    from promptbench.report.mistakes import Errors

TOP = 10  # rows of a table unless more are asked for


@dataclass(frozen=True)
class Asked:
    """The options of the command: format, prefix of figures, folder of pages, datasets, rows, data
    root, where figures go."""

    form: str | None
    plot: Path | None
    pages: Path | None
    datasets: list[str] | None
    top: int | None
    data: Path | None
    page: Page


def show(by_path: Mapping[Path, Record], folders: Any, asked: Asked) -> list[str]:
    """Print what goes wrong in records whose predictions lie in `folders`, and draw it; say of each
    record with damaged predictions why it is left out.

    Raises:
        UserError: a dataset that none of them was scored on, or all of them are left out.
    """
    from promptbench.core.registry import FORMATS
    from promptbench.report import mistakes
    from promptbench.report.format import TERMINAL, render_grids

    _known(asked.datasets, list(by_path.values()))
    found, records, unread = _found(by_path, folders, asked.datasets)
    form = asked.form or TERMINAL
    grids = [mistakes.summary(found)]
    for errors in found:
        grids += mistakes.grids(errors, asked.top or TOP)
    streams.shown(form, render_grids(form, grids))
    if FORMATS.load(form).cls.suffix:  # the file that it goes to need not hold the notes
        for note in dict.fromkeys(note for errors in found for note in errors.notes):
            click.echo(f"note: {note}", err=True)
    if asked.plot is not None:
        _draw(found, asked.plot, asked.data, asked.page)
    if asked.pages is not None:
        from promptbench.leaderboard.web import error_site

        count = error_site.build(
            records, folders, asked.pages, asked.datasets, asked.data, _left_out
        )
        from promptbench.support.prose import counted

        click.echo(f"wrote {counted(count, 'page')}; open {asked.pages / 'index.html'}", err=True)
    return unread


def _found(
    by_path: Mapping[Path, Record], folders: Any, datasets: Collection[str] | None
) -> tuple[list[Errors], list[Record], list[str]]:
    """What goes wrong, in which records, and why others are left out."""
    from promptbench.records.scores import file_of
    from promptbench.records.verify import DamagedPredictions, read_table
    from promptbench.report import gather, mistakes

    def read(record: Record) -> None:
        for target in record.targets:
            if file_of(target) in folders and (not datasets or target.dataset in datasets):
                read_table(target, folders[file_of(target)])

    records = list(by_path.values())
    try:
        return mistakes.errors(records, folders, datasets), records, []
    except DamagedPredictions:  # only then is everything read twice
        kept, unread = gather.readable(by_path, read)
    if not kept:
        raise UserError(unread[0])
    records = list(kept.values())
    return mistakes.errors(records, folders, datasets), records, unread


def _known(datasets: Sequence[str] | None, records: Sequence[Any]) -> None:
    scored = {target.dataset for record in records for target in record.targets}
    for name in datasets or ():
        if name not in scored:
            raise unknown("dataset", name, scored, "scored by these records")


def _draw(found: Sequence[Any], prefix: Path, root: Path | None, page: Page) -> None:
    from promptbench.report.mistakes import figures

    drawn, pieces = 0, figures.names(found)
    for errors, piece in zip(found, pieces, strict=True):
        own = prefix.with_name(f"{prefix.name}{piece}")
        for path in figures.draw(errors, own, root, _note, page):
            click.echo(f"wrote {path}", err=True)
            drawn += 1
    if not drawn:
        from promptbench.support.prose import counted

        raise UserError(f"nothing to draw in {counted(len(found), 'row')}")


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _left_out(text: str) -> None:
    click.echo(f"left out: {text}", err=True)

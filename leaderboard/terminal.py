"""The ranking of a protocol in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from promptbench.core.metric import Metric
from promptbench.core.selection import USUAL
from promptbench.errors import UserError
from promptbench.leaderboard.boards import leaders
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.boards.columns import label
from promptbench.leaderboard.web.pages import aside, board_page
from promptbench.leaderboard.web.table_rows import figure, rank_text, signed
from promptbench.report import tracks
from promptbench.report.text import NOTHING, SLIP, origin_of
from promptbench.support.prose import counted, say
from promptbench.support.safe_text import spelled

_STYLES = {
    "published": "cyan",
    "reported": "",
    "consistent": "yellow",
    "verified": "green",
    "recomputed": "bold green",
}
_TITLE_WIDTH = 14  # at least, where the numbers leave little


_ORIGINS = (
    "original: as the method's own authors print it; re-run: as others measured it; "
    "origin unknown: quoted without saying whose run it is"
)


def show(
    boards: Sequence[Board],
    protocol: str,
    suite: str | None,
    console: Console,
    whole: bool = False,
) -> None:
    """Print the boards of a protocol, of all suites or of one.

    Papers' rows without any of the shown numbers are folded, unless the `whole` board is asked for,
    which names its sources, too.

    Raises:
        UserError: no board has a row.
    """
    found = [b for b in boards if b.protocol == protocol and suite in (None, b.suite.name)]
    if not found:
        where = f" in suite {suite}" if suite else ""
        raise UserError(f"the leaderboard has no number under {protocol}{where} yet")
    for board in found:
        _show(board, console, whole)


def _show(board: Board, console: Console, whole: bool) -> None:
    if board.suite.banner:
        say(console, board.suite.banner, style="yellow")
    what = f"{label(board.columns[0])}{board.metric.in_unit}{aside(board)}"
    title = f"{board.protocol}, suite {board.suite.name}: {what}"
    say(console, title, style="bold")
    columns = [column.key for column in board.columns if column.summary]
    rows = [
        row
        for row in board.rows
        if whole or row.state != "published" or any(key in row.values for key in columns)
    ]
    sources = _sources(rows) if whole else {}

    def view(before_spread: str, title_width: int | None = None) -> Table:
        return _view(board, rows, sources, before_spread, console.encoding, title_width)

    unbounded = console.options.update(max_width=10_000)
    narrowest = Measurement.get(console, unbounded, view(" ", _TITLE_WIDTH)).maximum
    # Where the numbers do not fit, spreads stand below them; nothing is cut.
    before_spread = " " if narrowest <= console.width else "\n"
    for leader in leaders.leaders(board):
        told = leaders.told(leader, board)
        say(
            console,
            f"{leader.name}, {leaders.CONDITIONS}: {leader.row.marked_title} {told['value']}, "
            f"{told['rests']}; {told['among']}",
        )
    console.print(view(before_spread))
    if len(rows) < len(board.rows):
        folded = counted(len(board.rows) - len(rows), "published row")
        say(console, f"folded: {folded} without an average (--all shows them)", style="yellow")
    origins = [_ORIGINS] if any(row.state == "published" for row in rows) else []
    for note in (*board_page(board)["notes"], *origins, *_listed(sources)):
        say(console, note, style="dim")


def _sources(rows: Sequence[BoardRow]) -> dict[tuple[str, str, str], int]:
    """The sources of papers' rows, numbered from 1."""
    cited = [(row.source, row.origin, row.note) for row in rows if row.state == "published"]
    return {source: number for number, source in enumerate(dict.fromkeys(cited), 1)}


def _listed(sources: Mapping[tuple[str, str, str], int]) -> list[str]:
    return [
        f"[{number}] {origin_of(origin)}: {source}" + (f"; {note}" if note else "")
        for (source, origin, note), number in sources.items()
    ]


def _view(
    board: Board,
    rows: Sequence[BoardRow],
    sources: Mapping[tuple[str, str, str], int],
    before_spread: str,
    encoding: str,
    title_width: int | None = None,
) -> Table:
    shown = [column for column in board.columns if column.summary]
    ranks = any(row.rank for row in rows)
    seeds = any(row.n for row in rows)
    compared = any(board.main in row.differences for row in rows)
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    if ranks:
        view.add_column("rank", justify="right", no_wrap=True)
    view.add_column("method", overflow="fold", min_width=_TITLE_WIDTH, max_width=title_width)
    view.add_column("state", no_wrap=True)
    last = ("to best\npublished",) if compared else ()
    for heading in (*(("n",) if seeds else ()), *(column.title for column in shown), *last):
        view.add_column(heading, justify="right", no_wrap=True)
    before = ""
    for row in rows:
        if (section := _section(row, board)) != before:
            view.add_section()
            view.add_row(*([""] if ranks else []), Text(section, style="bold"))
            before = section
        cells = [_figure(row, column.key, before_spread, board.metric) for column in shown]
        facts = [rank_text(row.rank)] if ranks else []
        facts += [row.marked_title, _standing(row, sources)]
        facts += [str(row.n or "")] if seeds else []
        to_best = (
            (signed(row.differences.get(board.main), board.metric)["text"],) if compared else ()
        )
        style = "bright_black" if row.uses_split else _STYLES[row.state]
        texts = [Text(spelled(text, encoding)) for text in (*facts, *cells, *to_best)]
        view.add_row(*texts, style=style)
    return view


def _standing(row: BoardRow, sources: Mapping[tuple[str, str, str], int]) -> str:
    """The state of our own row; of a paper's whether it is the original, and its source."""
    if row.state != "published":
        return row.state
    number = sources.get((row.source, row.origin, row.note))
    return origin_of(row.origin) + (f" [{number}]" if number else "")


def _section(row: BoardRow, board: Board) -> str:
    """What rows under one heading have in common: only such rows compare."""
    own = row.backbone if row.backbone != board.suite.backbone else ""
    over = leaders.average_over(row, board)
    average = f"average over {over}" if over else ""
    if over == leaders.NOT_STATED:
        average = "average over datasets that are not stated"
    chosen = [tracks.short_settings(each) for each in row.settings if each != tracks.PAPER]
    rule = row.selection if row.settings != tracks.ANY and row.selection != USUAL else ""
    facts = (row.track, own, counted(row.shots, "shot"), *chosen, rule, average)
    return ", ".join(filter(None, facts))


def _figure(row: BoardRow, key: str, before_spread: str, metric: Metric) -> str:
    estimate = row.values.get(key)
    if estimate is None:
        return NOTHING
    shown = figure(estimate, metric)
    shown["value"] += SLIP if key in row.slips else ""
    return before_spread.join(filter(None, (shown["value"], shown["spread"])))

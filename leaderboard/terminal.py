"""The ranking of a protocol in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from promptbench.core.metric import Metric
from promptbench.errors import UserError
from promptbench.leaderboard import leaders
from promptbench.leaderboard.board import Board, BoardRow
from promptbench.leaderboard.pages import aside, board_page, figure, label, rank_text, signed
from promptbench.report.text import NOTHING, SLIP
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


def show(boards: Sequence[Board], protocol: str, suite: str | None, console: Console) -> None:
    """Print the boards of a protocol, of all suites or of one.

    Raises:
        UserError: no board has a row.
    """
    found = [b for b in boards if b.protocol == protocol and suite in (None, b.suite.name)]
    if not found:
        where = f" in suite {suite}" if suite else ""
        raise UserError(f"the leaderboard has no number under {protocol}{where} yet")
    for board in found:
        _show(board, console)


def _show(board: Board, console: Console) -> None:
    if board.suite.banner:
        say(console, board.suite.banner, style="yellow")
    what = f"{label(board.columns[0])}{board.metric.in_unit}{aside(board)}"
    title = f"{board.protocol}, suite {board.suite.name}: {what}"
    say(console, title, style="bold")
    unbounded = console.options.update(max_width=10_000)
    narrowest = Measurement.get(
        console, unbounded, _view(board, " ", console.encoding, _TITLE_WIDTH)
    ).maximum
    # Where the numbers do not fit, spreads stand below them; nothing is cut.
    before_spread = " " if narrowest <= console.width else "\n"
    for leader in leaders.leaders(board):
        told = leaders.told(leader, board)
        say(
            console,
            f"{leader.name}, {leaders.CONDITIONS}: {leader.row.marked_title} {told['value']}, "
            f"{told['rests']}; {told['among']}",
        )
    console.print(_view(board, before_spread, console.encoding))
    for note in board_page(board)["notes"]:
        say(console, note, style="dim")


def _view(board: Board, before_spread: str, encoding: str, title_width: int | None = None) -> Table:
    shown = [column for column in board.columns if column.summary]
    seeds = any(row.n for row in board.rows)
    compared = any(board.main in row.differences for row in board.rows)
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("rank", justify="right", no_wrap=True)
    view.add_column("method", overflow="fold", min_width=_TITLE_WIDTH, max_width=title_width)
    view.add_column("state", no_wrap=True)
    counts = ("shots", "n") if seeds else ("shots",)
    last = ("to best\npublished",) if compared else ()
    for heading in (*counts, *(column.title for column in shown), *last):
        view.add_column(heading, justify="right", no_wrap=True)
    before = ""
    for row in board.rows:
        if (section := _section(row, board)) != before:
            view.add_section()
            view.add_row("", Text(section, style="bold"))
            before = section
        cells = [_figure(row, column.key, before_spread, board.metric) for column in shown]
        facts = [rank_text(row.rank), row.marked_title, row.state, str(row.shots)]
        facts += [str(row.n or "")] if seeds else []
        to_best = (
            (signed(row.differences.get(board.main), board.metric)["text"],) if compared else ()
        )
        style = "bright_black" if row.uses_split else _STYLES[row.state]
        texts = [Text(spelled(text, encoding)) for text in (*facts, *cells, *to_best)]
        view.add_row(*texts, style=style)
    return view


def _section(row: BoardRow, board: Board) -> str:
    """What rows under one heading have in common: only such rows compare."""
    own = row.backbone if row.backbone != board.suite.backbone else ""
    over = leaders.average_over(row, board)
    average = f"average over {over}" if over else ""
    if over == leaders.NOT_STATED:
        average = "average over datasets that are not stated"
    return ", ".join(filter(None, (row.track, own, counted(row.shots, "shot"), average)))


def _figure(row: BoardRow, key: str, before_spread: str, metric: Metric) -> str:
    estimate = row.values.get(key)
    if estimate is None:
        return NOTHING
    shown = figure(estimate, metric)
    shown["value"] += SLIP if key in row.slips else ""
    return before_spread.join(filter(None, (shown["value"], shown["spread"])))

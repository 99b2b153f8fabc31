"""The answer that stands above a table: who leads a track, by how much, and whether it is real."""

from __future__ import annotations

from promptbench.leaderboard.boards import leaders
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.boards.columns import label
from promptbench.leaderboard.boards.leaders import Leader
from promptbench.report.text import SLIP, spread
from promptbench.statistics import ENOUGH_SEEDS, Estimate, t_test
from promptbench.support.prose import counted

PUBLISHED_ONLY = "published numbers, no seeds: no ranks"


def is_published_only(board: Board) -> bool:
    """Whether all rows are numbers of papers."""
    return all(row.state == "published" for row in board.rows)


def answers(board: Board) -> list[tuple[str, str]]:
    """Return each track with a leader, and the sentence on its first one: of settings as papers
    have them, where there are such."""
    first: dict[str, Leader] = {}
    for leader in leaders.leaders(board):
        first.setdefault(leader.conditions.track, leader)
    return [(track, _sentence(leader, board)) for track, leader in first.items()]


def _sentence(leader: Leader, board: Board) -> str:
    first = leader.row
    follows = next((row for row in leader.rows if row.method != first.method), None)
    what = label(board.main_column)
    value = f"{_number(first, board)} ({what})"
    start = f"{first.marked_title} leads the {leader.name} track with {value}"
    rests = _rests_on(first, board)
    if follows is None:
        return f"{start}, {rests}; no other method of the track can be compared with it."
    a, b = first.values[board.main], follows.values[board.main]
    gap = board.metric.text(abs(a.mean - b.mean))
    unit = "points" if board.metric.unit == "%" else board.metric.short
    before = f"{gap} {unit} ahead of {follows.marked_title} ({_number(follows, board)})"
    if a.mean == b.mean:
        before = f"level with {follows.marked_title}"
    return f"{start}, {before}, {rests}; {_certainty(first, follows, board)}."


def _number(row: BoardRow, board: Board) -> str:
    value = row.values[board.main]
    shown = f"{board.metric.text(value.mean)}{SLIP if board.main in row.slips else ''}"
    return " ".join(filter(None, (shown, spread(value, board.metric.decimals))))


def _rests_on(row: BoardRow, board: Board) -> str:
    column = board.main_column
    data = f"over {counted(column.members, 'dataset')}" if column.summary else f"on {column.title}"
    return f"{data} and {counted(row.n, 'seed')}" if row.n else data


def _certainty(first: BoardRow, other: BoardRow, board: Board) -> str:
    """What speaks for the order of two rows: their intervals and their paired test."""
    published = [row for row in (first, other) if row.state == "published"]
    if len(published) == 2:
        return PUBLISHED_ONLY
    if published:
        return (
            f"{published[0].marked_title} is a published number without seeds: no test is possible"
        )
    a, b = first.values[board.main], other.values[board.main]
    if not board.on_one_data:
        return "the rows were scored on other images or class names, so that no test is possible"
    return f"{_overlap(a, b)}, {_test(a, b)}"


def _overlap(a: Estimate, b: Estimate) -> str:
    if a.interval is None or b.interval is None:
        return f"fewer than {ENOUGH_SEEDS} seeds give no interval"
    apart = a.interval[0] > b.interval[1] or b.interval[0] > a.interval[1]
    return "the intervals do not overlap" if apart else "the intervals overlap"


def _test(a: Estimate, b: Estimate) -> str:
    """The paired t-test over the seeds that both have, before any adjustment for other pairs."""
    own, other = dict(a.by_seed), dict(b.by_seed)
    seeds = [seed for seed in own if seed in other]
    if len(seeds) < ENOUGH_SEEDS:
        return f"{counted(len(seeds), 'seed')} in common are too few for a paired test"
    differences = [own[seed] - other[seed] for seed in seeds]
    center = a.mean - b.mean if own.keys() == other.keys() else None
    test = t_test(differences, center)
    if test.p is None:
        return "and all seeds differ by the same amount"
    return f"paired t-test over {counted(test.n, 'seed')}: p {_p(test.p)}"


def _p(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"

"""The columns of a board as pages head them: names, kinds, datasets by their short names."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.leaderboard.boards.board import BoardColumn
from promptbench.leaderboard.checking import known


def label(column: BoardColumn) -> str:
    """A column's name in one piece."""
    return f"{column.group}, {column.title}" if column.group else column.title


def kind(column: BoardColumn, columns: Sequence[BoardColumn]) -> str:
    """`average`; `main`: the ranking quantity of one dataset; `detail`: what lies behind it, where
    each dataset has a column of the ranking quantity's title, such as HM."""
    if column.summary:
        return "average"
    ranking = columns[0].title
    each = any(other.title == ranking for other in columns if not other.summary)
    return "detail" if each and column.title != ranking else "main"


def heading_of(name: str, columns: Sequence[BoardColumn]) -> dict[str, str]:
    """What stands over the columns of a dataset: a short `title`, the full one, its page; of what
    is not a dataset (an average), its name. Short titles that read alike stay long."""
    if name not in known.dataset_names():
        return {"title": name, "full": "", "page": ""}
    names = {c.group for c in columns} | {c.title for c in columns}
    others = [_short(other) for other in names if other not in (name, "")]
    short = _short(name)
    alike = any(o.startswith(short) or short.startswith(o) for o in others)
    return {
        "title": name if alike else short,
        "full": known.card(name).title,
        "page": name,
    }


def _short(name: str) -> str:
    """The word of a dataset's name that tells it: `cars` of `stanford_cars`."""
    last = name.rsplit("_", 1)[-1]
    return last if len(last) > 2 else name  # the `a` of imagenet_a tells nothing

"""Pages of what goes wrong in anybody's records, without a leaderboard (`report --errors`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from promptbench import __version__
from promptbench.leaderboard.web import error_pages
from promptbench.leaderboard.web.folder import Templates, fresh
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records import Record
from promptbench.records.scores import Folders
from promptbench.support.safe_text import printable


def build(
    records: Sequence[Record],
    folders: Folders,
    out: Path,
    datasets: Collection[str] | None,
    root: Path | None,
    left_out: Callable[[str], object],
) -> int:
    """Write a page for each record to the folder `out`, and one that lists them; returns how many.

    Args:
        folders: where predictions lie.
        datasets: only targets of these.
        root: the data root in which pictures of mistakes are looked for.
        left_out: hears of records that another one of the same cell replaces.

    Raises:
        UserError: a folder that cannot be written, or holds something else.
    """
    newest: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: r.created):
        page = error_pages.page_of(record)
        if page in newest:
            left_out(f"an older record of the cell {record.cell_id[:10]}")
        newest[page] = record
    own = sorted(newest.values(), key=error_pages.page_of)
    with fresh(out) as made:
        shared = {"protocols": [], "version": __version__, "here": "", "alone": True}
        shared |= {"links": [], "feed": False}
        templates = Templates(made, shared)
        thumbnails = Thumbnails(made, f"{error_pages.FOLDER}/pictures", root)
        rows = []
        for record, links in error_pages.with_all_seeds(own):
            facts = error_pages.error_page(record, folders, thumbnails, datasets)
            if facts["sections"]:
                page = error_pages.page_of(record)
                facts |= {"about": None, "state": ""}
                facts["siblings"] = error_pages.linked(templates, page, links)
                templates.write(page, "errors.html", **facts)
                rows.append(_listed(record, datasets))
        templates.write("index.html", "errors_index.html", title="What goes wrong", rows=rows)
    return len(rows) + 1


def _listed(record: Record, datasets: Collection[str] | None) -> dict[str, Any]:
    return {
        "page": error_pages.page_of(record),
        "method": printable(record.method.title),
        "protocol": record.protocol.name,
        "source": record.leg.source.key,
        "shots": record.source.shots,
        "seed": record.seed,
        "targets": [
            {
                "key": t.key,
                "right": f"{100 * sum(t.correct) / sum(t.total):.2f}",
                "href": error_pages.anchor(record, t.dataset, t.classes),
            }
            for t in record.targets
            if datasets is None or t.dataset in datasets
        ],
    }

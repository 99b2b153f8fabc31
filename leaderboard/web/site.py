"""Writing the site: a folder that works from a file system, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

from promptbench import __version__
from promptbench.leaderboard import audit
from promptbench.leaderboard.accepting import copies
from promptbench.leaderboard.audit.page import audit_page
from promptbench.leaderboard.boards import (
    board,
    building,
    efficiency,
    exports,
    plots,
    sensitivities,
)
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import (
    analyses,
    board_files,
    dataset_pages,
    equations,
    error_pages,
    method_list,
    method_pages,
    outward,
    pages,
    record_pages,
)
from promptbench.leaderboard.web.folder import Templates, fresh
from promptbench.leaderboard.web.kept_pages import KeptPages, Wanted
from promptbench.leaderboard.web.page_processes import PageProcesses, Site
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records.scores import folders_of, registered
from promptbench.storage.remembered import Remembered
from promptbench.support.crew import Crew
from promptbench.support.progress import Reporter

SCRIPTS = (
    "vendor/dataTables.min.js",
    *plots.VENDORED,
    "board-files.js",
    "board-data.js",
    "table.js",
    "filters.js",
    "statistics.js",
    "pairs.js",
    "compare.js",
    "latex.js",
    "downloads.js",
    "address.js",
    "cards.js",
    *plots.SCRIPTS,
    "board.js",
)
PICTURES = f"{error_pages.FOLDER}/pictures"
COST_SCRIPTS = (*plots.VENDORED, *plots.SCRIPTS, "costs.js")


def build(
    accepted: Sequence[Verdict],
    out: Path,
    studies: Sequence[Path] = (),
    left_out: Callable[[str], object] = print,
    root: Path | None = None,
    memory: Remembered | None = None,
    reporter: Reporter | None = None,
) -> int:
    """Write the site of accepted records to `out`; the number of pages.

    `studies` are folders with what `promptbench analyze` wrote, for the pages of methods;
    `left_out` hears of files in them that are not shown. `root` is the data root, in which pictures
    of mistakes are looked for. `memory` knows values of metrics; `reporter` hears how far it is.

    Raises:
        UserError: a folder that cannot be written, or that holds something else; two records of one
            cell with different numbers.
    """
    beside = Crew() if memory is None else memory.beside
    reporter, pages_of_records = reporter or Reporter(), sum(v.record is not None for v in accepted)
    with fresh(out) as made:
        frame = _frame(accepted)
        templates, thumbnails = Templates(made, frame), Thumbnails(made, PICTURES, root)
        folders = folders_of((v.record, v.path.parent) for v in accepted if v.record)
        own = Site(made, json.dumps(frame), PICTURES, root)
        with (
            reporter.task("what goes wrong", pages_of_records, "pages") as task,
            PageProcesses[Wanted](own, beside, reporter, task.advance) as processes,
        ):
            facts = partial(record_pages.whole_page, folders=folders, thumbnails=thumbnails)
            kept = KeptPages(
                out, templates, thumbnails, folders, facts, memory, processes, task.advance
            )
            write_errors(accepted, kept)
            copies.copy(accepted, made / "records")
            boards = building.boards(accepted, registered(), memory)
            _write_for_machines(made, boards, left_out)
            count = _write_pages(made, frame, boards, accepted, studies, left_out, memory)
            processes.finish()
    return pages_of_records + count


def _frame(accepted: Sequence[Verdict]) -> dict[str, Any]:
    """What all pages are given, which is known before there are any boards."""
    return {
        "protocols": pages.links(),
        "version": __version__,
        "here": "",
        "alone": False,
        "links": outward.links(),
        "feed": exports.has_feed(accepted),
    }


def _write_for_machines(
    out: Path, boards: Sequence[board.Board], left_out: Callable[[str], object]
) -> None:
    """Write what other programs read."""
    (out / "board.json").write_text(exports.board_json(boards), encoding="utf-8")
    feed = exports.feed(boards, left_out)
    if feed is not None:
        (out / "feed.xml").write_text(feed, encoding="utf-8")


def _write_pages(
    out: Path,
    frame: Mapping[str, Any],
    boards: Sequence[board.Board],
    accepted: Sequence[Verdict],
    studies: Sequence[Path],
    left_out: Callable[[str], object],
    memory: Remembered | None,
) -> int:
    """Write all pages but those of records; how many there are."""
    studied = analyses.collect(studies, out, left_out)
    searched = sensitivities.collect(accepted, out)
    protocols, methods = pages.protocols(boards), method_pages.methods(boards, memory)
    templates = Templates(out, {**frame, "protocols": protocols})
    datasets = known.suite_cards()
    counts = (
        (len(methods), "methods"),
        (len(protocols), "protocols"),
        (len(datasets), "datasets"),
        (
            sum(len(row.accepted) for b in board.of_default_metric(boards) for row in b.rows),
            "records",
        ),
        (board.published_sources(boards), "published rows"),
    )
    front = {"title": "Leaderboard", "counts": counts, "methods": methods, "datasets": datasets}
    front["labels_only"] = board.ACCURACY_ONLY
    front["demos"] = [
        (p, b) for p in protocols for b in p["boards"] if not (b["aside"] or b["suite"].comparable)
    ]
    templates.write("index.html", "index.html", **front)
    templates.write("submit.html", "submit.html", title="Submit results", here="submit")
    for p in protocols:
        name = p["name"]
        facts = {"title": p["title"], "protocol": p, "boards": p["boards"], "scripts": SCRIPTS}
        templates.write(f"{board_files.FOLDER}/{name}.html", "protocol.html", **facts, here=name)
        board_files.write(templates, p)
    costs = efficiency.efficiency_page(accepted)
    for method in methods:
        name = method["name"]
        facts = {**method, "analyses": studied.get(name, [])}
        facts["costs"] = efficiency.of_method(costs, name)
        facts["equations"] = equations.of(name)
        facts["sensitivity"] = searched.get(name, [])
        templates.write(f"methods/{name}.html", "method.html", **facts)
    listed = {"title": "Methods", **method_list.method_list(methods, boards)}
    templates.write("methods/index.html", "methods.html", **listed, here="methods")
    for card in datasets:
        facts = {"title": card.title, **dataset_pages.dataset_page(card)}
        templates.write(f"datasets/{card.name}.html", "dataset.html", **facts)
    facts = {"title": "What methods cost", **costs}
    facts |= {"scripts": COST_SCRIPTS, "here": "efficiency"}
    templates.write("efficiency/index.html", "efficiency.html", **facts)
    _write_audit(templates, out, {method["name"] for method in methods})
    return 5 + len(protocols) + len(methods) + len(datasets)


def write_errors(accepted: Sequence[Verdict], kept: KeptPages) -> None:
    """Write a page for each record, its cell and what goes wrong in it, as far as it is not `kept`;
    or hand it to the processes that write some."""
    verdicts = {id(v.record): v for v in accepted if v.record}
    records = [v.record for v in accepted if v.record]
    for record, links in error_pages.with_all_seeds(records):
        kept.write(error_pages.page_of(record), verdicts[id(record)], links)


def _write_audit(templates: Templates, out: Path, paged: Set[str]) -> None:
    """The page of the audit of all published numbers, and its files; `paged` are the methods that
    have pages."""
    found = audit.audit(audit.read(audit.own_files()))
    facts = {"title": "Audit of published tables", **audit_page(found, paged)}
    templates.write("audit.html", "audit.html", **facts, here="audit")
    for form, write in audit.FORMATS.items():
        (out / f"audit.{form}").write_text(write(found), encoding="utf-8")

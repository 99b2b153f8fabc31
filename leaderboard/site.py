"""Writing the site: a folder that works from a file system, without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptbench import __version__
from promptbench.leaderboard import (
    analyses,
    audit,
    board,
    copies,
    dataset_pages,
    efficiency,
    error_pages,
    known,
    method_list,
    method_pages,
    pages,
    sensitivities,
)
from promptbench.leaderboard.audit.page import audit_page
from promptbench.leaderboard.folder import Templates, fresh
from promptbench.leaderboard.thumbnails import Thumbnails
from promptbench.leaderboard.verdicts import Verdict
from promptbench.records.scores import folders_of, registered

SCRIPTS = (
    "vendor/dataTables.min.js",
    "vendor/d3.min.js",
    "vendor/plot.umd.min.js",
    "table.js",
    "filters.js",
    "plots.js",
    "plot-kinds.js",
    "board.js",
)
COST_SCRIPTS = (*SCRIPTS[1:3], "plots.js", "plot-kinds.js", "costs.js")


def build(
    accepted: Sequence[Verdict],
    out: Path,
    studies: Sequence[Path] = (),
    left_out: Callable[[str], object] = print,
    root: Path | None = None,
) -> int:
    """Write the site of accepted records to `out`; the number of pages.

    `studies` are folders with what `promptbench analyze` wrote, for the pages of methods;
    `left_out` hears of files in them that are not shown. `root` is the data root, in which pictures
    of mistakes are looked for.

    Raises:
        UserError: a folder that cannot be written, or that holds something else; two records of one
            cell with different numbers.
    """
    with fresh(out) as made:
        copies.copy(accepted, made / "records")
        studied = analyses.collect(studies, made, left_out)
        searched = sensitivities.collect(accepted, made)
        boards = board.boards(accepted, registered())
        protocols = pages.protocols(boards)
        templates = Templates(
            made, {"protocols": protocols, "version": __version__, "here": "", "alone": False}
        )
        count = _write_pages(templates, boards, protocols, accepted, studied, searched)
        _write_audit(templates, made, boards)
        thumbnails = Thumbnails(made, f"{error_pages.FOLDER}/pictures", root)
        count += _write_errors(templates, accepted, thumbnails)
    return count


def _write_pages(
    templates: Templates,
    boards: Sequence[board.Board],
    protocols: Sequence[Mapping[str, Any]],
    accepted: Sequence[Verdict],
    studied: Mapping[str, list[dict[str, Any]]],
    searched: Mapping[str, list[dict[str, Any]]],
) -> int:
    methods = method_pages.methods(boards)
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
    templates.write("index.html", "index.html", **front)
    for p in protocols:
        name = p["name"]
        facts = {"title": p["title"], "protocol": p, "boards": p["boards"], "scripts": SCRIPTS}
        templates.write(f"protocols/{name}.html", "protocol.html", **facts, here=name)
    for method in methods:
        name = method["name"]
        facts = {**method, "analyses": studied.get(name, [])}
        facts["sensitivity"] = searched.get(name, [])
        templates.write(f"methods/{name}.html", "method.html", **facts)
    listed = {"title": "Methods", **method_list.method_list(methods, boards)}
    templates.write("methods/index.html", "methods.html", **listed, here="methods")
    for card in datasets:
        facts = {"title": card.title, **dataset_pages.dataset_page(card)}
        templates.write(f"datasets/{card.name}.html", "dataset.html", **facts)
    facts = {"title": "What methods cost", **efficiency.efficiency_page(accepted)}
    facts |= {"scripts": COST_SCRIPTS, "here": "efficiency"}
    templates.write("efficiency/index.html", "efficiency.html", **facts)
    return 4 + len(protocols) + len(methods) + len(datasets)


def _write_errors(templates: Templates, accepted: Sequence[Verdict], thumbnails: Thumbnails) -> int:
    """A page for each record, what goes wrong in it; returns how many."""
    states = {id(v.record): v.state for v in accepted if v.record}
    records = [v.record for v in accepted if v.record]
    folders = folders_of((v.record, v.path.parent) for v in accepted if v.record)
    for record, siblings in error_pages.with_other_seeds(records):
        facts = error_pages.error_page(record, folders, thumbnails)
        facts |= {"state": states[id(record)], "siblings": error_pages.links(siblings)}
        templates.write(error_pages.page_of(record), "errors.html", **facts)
    return len(records)


def _write_audit(templates: Templates, out: Path, boards: Sequence[board.Board]) -> None:
    """The page of the audit of all published numbers, and its files."""
    methods = {method["name"] for method in method_pages.methods(boards)}
    found = audit.audit(audit.read(audit.own_files()))
    facts = {"title": "Audit of published tables", **audit_page(found, methods)}
    templates.write("audit.html", "audit.html", **facts, here="audit")
    for form, write in audit.FORMATS.items():
        (out / f"audit.{form}").write_text(write(found), encoding="utf-8")

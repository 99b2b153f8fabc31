"""Writing the site: a folder that works from a file system, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from promptbench import __version__
from promptbench.errors import UserError
from promptbench.leaderboard import (
    analyses,
    audit,
    board,
    copies,
    dataset_pages,
    efficiency,
    known,
    method_pages,
    pages,
    replacing,
)
from promptbench.leaderboard.audit.page import audit_page
from promptbench.leaderboard.verdicts import Verdict
from promptbench.records.scores import registered

MARK = ".promptbench-site"  # says that a folder may be replaced
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
) -> int:
    """Write the site of accepted records to `out`; the number of pages.

    `studies` are folders with what `promptbench analyze` wrote, for the pages of methods;
    `left_out` hears of files in them that are not shown.

    Raises:
        UserError: a folder that cannot be written, or that holds something else; two records of one
            cell with different numbers.
    """
    if out.resolve().parent.is_dir():
        replacing.recover(out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError(
            f"{out} is not a site of promptbench; pass a new or empty folder with --out"
        )
    try:
        with replacing.replaced(out) as made:
            (made / MARK).touch()
            _copy_assets(made)
            copies.copy(accepted, made / "records")
            studied = analyses.collect(studies, made, left_out)
            boards = board.boards(accepted, registered())
            count = _write_pages(boards, accepted, studied, made)
    except OSError as error:
        raise UserError(f"cannot write the site to {out}: {error.strerror or error}") from error
    return count


def _here(name: str) -> Path:
    return Path(str(resources.files("promptbench.leaderboard"))) / name


def _copy_assets(out: Path) -> None:
    shutil.copytree(_here("assets"), out / "assets", ignore=shutil.ignore_patterns("__pycache__"))


class _Templates:
    """Renders templates into pages of a site; `shared` is what all of them receive."""

    def __init__(self, out: Path, shared: Mapping[str, Any]) -> None:
        self._out, self._shared = out, shared
        self._environment = Environment(
            loader=FileSystemLoader(_here("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )

    def write(self, path: str, template: str, **context: Any) -> None:
        """Write the page `path`, relative to the site's folder."""
        file = self._out / path
        file.parent.mkdir(exist_ok=True)
        facts = {**self._shared, **context, "root": "../" if "/" in path else ""}
        text = self._environment.get_template(template).render(facts)
        file.write_text(text, encoding="utf-8")


def _write_pages(
    boards: Sequence[board.Board],
    accepted: Sequence[Verdict],
    studied: Mapping[str, list[dict[str, Any]]],
    out: Path,
) -> int:
    protocols = pages.protocols(boards)
    methods = method_pages.methods(boards)
    datasets = known.suite_cards()
    templates = _Templates(out, {"protocols": protocols, "version": __version__, "here": ""})
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
        templates.write(f"methods/{name}.html", "method.html", **facts)
    for card in datasets:
        facts = {"title": card.title, **dataset_pages.dataset_page(card)}
        templates.write(f"datasets/{card.name}.html", "dataset.html", **facts)
    _write_audit(templates, out, {method["name"] for method in methods})
    facts = {"title": "What methods cost", **efficiency.efficiency_page(accepted)}
    facts |= {"scripts": COST_SCRIPTS, "here": "efficiency"}
    templates.write("efficiency/index.html", "efficiency.html", **facts)
    return 3 + len(protocols) + len(methods) + len(datasets)


def _write_audit(templates: _Templates, out: Path, methods: Collection[str]) -> None:
    """The page of the audit of all published numbers, and its files."""
    found = audit.audit(audit.read(audit.own_files()))
    facts = {"title": "Audit of published tables", **audit_page(found, methods)}
    templates.write("audit.html", "audit.html", **facts, here="audit")
    for form, write in audit.FORMATS.items():
        (out / f"audit.{form}").write_text(write(found), encoding="utf-8")

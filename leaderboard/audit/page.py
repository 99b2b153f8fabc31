"""The audit's page of the site, as plain data for its template."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from typing import Any

from promptbench.leaderboard.audit.findings import KINDS, Finding
from promptbench.leaderboard.audit.output import NOTES
from promptbench.leaderboard.audit.report import Audit, PrintedTable
from promptbench.leaderboard.checking import known
from promptbench.report import published


def audit_page(found: Audit, pages: Collection[str]) -> dict[str, Any]:
    """Everything that the page shows; `pages` are the methods that have a page of their own."""
    by_kind = {
        kind: [_finding(each, pages) for each in found.findings if each.kind == kind]
        for kind in KINDS
    }
    totals = [
        (sum(getattr(table, name) for table in found.tables), what)
        for name, what in (
            ("numbers", "published numbers"),
            ("recomputed", "recomputed from others"),
            ("left", "cannot be recomputed"),
        )
    ]
    return {
        "totals": [(len(found.tables), "tables"), *totals, (len(found.findings), "findings")],
        "kinds": [
            {"id": kind.replace(" ", "-"), "title": kind, "about": KINDS[kind], "findings": own}
            for kind, own in by_kind.items()
            if own
        ],
        "notes": NOTES,
        "tables": [
            {"title": known.protocol(name).cls.title, "rows": [_table(each) for each in same]}
            for name, same in groupby(found.tables, key=lambda table: table.protocol)
        ],
    }


def _finding(each: Finding, pages: Collection[str]) -> dict[str, Any]:
    name = published.called(each.method)
    info = published.methods().get(name)
    circumstances = [
        f"{each.shots} shots" if each.shots not in ("", "0") else "",
        each.backbone,
        "decoupled inference" if each.inference == "decoupled" else "",
    ]
    return {
        "title": info.title if info else each.method,
        "page": name if name in pages else "",
        "protocol": each.protocol,
        "protocol_title": known.protocol(each.protocol).cls.title,
        "circumstances": ", ".join(filter(None, circumstances)),
        "number": " ".join(filter(None, (each.dataset, each.split))),
        "printed": each.printed,
        "allowed": "" if each.low is None else f"{each.low:.3f} to {each.high:.3f}",
        "detail": each.detail,
        "cause": each.cause,
        "source": each.source,
        "origin": "origin unknown" if each.origin == "unknown" else each.origin,
        "note": each.note,
        "place": f"{each.file}, line {each.line}",
    }


def _table(each: PrintedTable) -> dict[str, Any]:
    averages = [f"{count} of {datasets}" for datasets, count in each.over]
    facts = {name: getattr(each, name) for name in ("rows", "numbers", "recomputed", "left")}
    return {
        "source": each.source,
        "averages": ", ".join(averages) or "–",
        "findings": each.findings or "",
        **facts,
    }

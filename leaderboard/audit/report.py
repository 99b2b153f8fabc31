"""The audit as a whole: every table with what could be recomputed, and all findings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from promptbench.leaderboard.audit import names, rules
from promptbench.leaderboard.audit.arithmetic import check
from promptbench.leaderboard.audit.causes import explained
from promptbench.leaderboard.audit.findings import KINDS, Finding
from promptbench.leaderboard.audit.lines import PrintedRow


@dataclass(frozen=True)
class PrintedTable:
    """One source's table of a protocol: rows, numbers, how many of these were recomputed from
    others and how many could not be, since the source does not print what they follow from.

    `over` are the numbers of datasets that averages follow from, with how many averages each.
    """

    protocol: str
    source: str
    rows: int
    numbers: int
    recomputed: int
    left: int
    over: tuple[tuple[int, int], ...]
    findings: int


@dataclass(frozen=True)
class Audit:
    """All tables, and the findings: by protocol, the gravest kind first, as the files have them."""

    tables: tuple[PrintedTable, ...]
    findings: tuple[Finding, ...]

    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind that occurs."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS if found[kind]}


def audit(rows: Sequence[PrintedRow]) -> Audit:
    """Recompute rows, and look for the same numbers under two names."""
    tables: list[PrintedTable] = []
    findings: list[Finding] = []
    for protocol, own in _by(rows, "protocol").items():
        known = rules.of_protocol(protocol)
        for source, table in _by(own, "source").items():
            made = [(row, check(row, known)) for row in table]
            of_table = [f for row, c in made for f in explained(c.findings, row, known)]
            over = sum((checked.over for _, checked in made), Counter[int]())
            findings += of_table
            tables.append(
                PrintedTable(
                    protocol,
                    source,
                    len(table),
                    sum(len(row.cells) + len(row.again) for row in table),
                    sum(checked.recomputed for _, checked in made),
                    sum(checked.left for _, checked in made),
                    tuple(sorted(over.items())),
                    len(of_table),
                )
            )
        findings += names.repeated(own, known)
    order, kinds = [table.protocol for table in tables], list(KINDS)
    findings.sort(key=lambda f: (order.index(f.protocol), kinds.index(f.kind)))
    return Audit(tuple(tables), tuple(findings))


def _by(rows: Sequence[PrintedRow], name: str) -> dict[str, list[PrintedRow]]:
    found: dict[str, list[PrintedRow]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found

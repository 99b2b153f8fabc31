"""One number behind several contradictions: where a single other value would resolve them all.

A row whose HM of a dataset and whose average both do not follow often has one wrong number that
both rest on. If what the HM asks for and what the average asks for is the same value, the audit
says so; it corrects nothing, since the wrong number may as well be in a paper as in its copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from promptbench.leaderboard.audit.findings import Finding
from promptbench.leaderboard.audit.intervals import Interval, other_term
from promptbench.leaderboard.audit.lines import PrintedRow
from promptbench.leaderboard.audit.rules import HarmonicRule, MeanRule, Rules

_TOGETHER = ("harmonic mean", "average")  # kinds that may rest on one number


def explained(findings: Sequence[Finding], row: PrintedRow, rules: Rules) -> list[Finding]:
    """The findings of a row, with the one number that would resolve two of them."""
    found = list(findings)
    for i, j in itertools.product(range(len(found)), repeat=2):
        kinds = found[i].kind, found[j].kind
        said = _common(found[i], found[j], row, rules) if kinds == _TOGETHER else ""
        if said:
            found[i], found[j] = (replace(found[k], cause=said) for k in (i, j))
    return found


def _common(hm: Finding, average: Finding, row: PrintedRow, rules: Rules) -> str:
    """What both findings would follow from, if it is one number."""
    for rule in rules.harmonic:
        for mean in rules.means:
            rests = (mean.name, mean.split) == (average.dataset, average.split)
            known = rule.split == hm.split and mean.split in rule.parts
            if rests and known and hm.dataset in mean.datasets:
                return _asked(hm, row, rule, mean)
    return ""


def _asked(hm: Finding, row: PrintedRow, rule: HarmonicRule, mean: MeanRule) -> str:
    cell = (hm.dataset, mean.split)
    others = [(name, mean.split) for name in mean.datasets if name != hm.dataset]
    beside = next(part for part in rule.parts if part != mean.split)
    needed = {cell, (hm.dataset, beside), *others}
    if not needed <= row.cells.keys():
        return ""
    average = row.cells[mean.name, mean.split].interval
    rest = [row.cells[other].interval for other in others]
    low = average.low * len(mean.datasets) - sum(each.high for each in rest)
    high = average.high * len(mean.datasets) - sum(each.low for each in rest)
    of_average = Interval(low, high)
    printed = row.cells[hm.dataset, hm.split].interval
    of_hm = other_term(printed, row.cells[hm.dataset, beside].interval)
    if of_hm is None or not of_hm.meets(of_average):
        return ""
    low, high = max(of_hm.low, of_average.low), min(of_hm.high, of_average.high)
    return (
        f"both follow if {hm.dataset} {mean.split} is {(low + high) / 2:.2f} rather than "
        f"{row.cells[cell].text}"
    )

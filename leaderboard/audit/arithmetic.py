"""A row recomputed: its harmonic means and its averages from the numbers beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from promptbench.leaderboard.audit.findings import Finding
from promptbench.leaderboard.audit.intervals import Interval, harmonic_mean, mean
from promptbench.leaderboard.audit.lines import Cell, Printed, PrintedRow
from promptbench.leaderboard.audit.rules import HarmonicRule, MeanRule, Rules
from promptbench.support.prose import counted

_PERCENT = Interval(0.0, 100.0)


@dataclass
class Checked:
    """What came of a row: its findings, how many numbers were recomputed, how many could not be,
    and the numbers of datasets that its averages are over, as far as they follow."""

    findings: list[Finding] = field(default_factory=list)
    recomputed: int = 0
    left: int = 0
    over: Counter[int] = field(default_factory=Counter)


def check(row: PrintedRow, rules: Rules) -> Checked:
    """Recompute everything in a row that follows from other numbers of it."""
    made = Checked()
    made.findings += [_twice(row, cell, printed) for cell, printed in row.again]
    for mean_rule in rules.means:
        _check_mean(row, mean_rule, rules, made)
    for rule in rules.harmonic:
        for cell in [cell for cell in row.cells if cell[1] == rule.split]:
            parts = [row.cells.get((cell[0], part)) for part in rule.parts]
            if cell[0] in rules.averages:
                _check_average_hm(row, cell, rule, rules, made)
            elif parts[0] is None or parts[1] is None:
                made.left += 1
            else:
                made.recomputed += 1
                made.findings += _check_hm(row, cell, parts[0], parts[1], rule)
    return made


def finding(
    row: PrintedRow, cell: Cell, kind: str, detail: str, allowed: Interval | None
) -> Finding:
    """A finding about a cell that the row prints."""
    printed = row.cells[cell]
    low, high = allowed or (None, None)
    return Finding(
        kind, row.protocol, row.method, row.shots, row.backbone, row.inference, cell[0], cell[1],
        printed.text, low, high, detail, row.source, row.origin,
        printed.note, printed.file, printed.line,
    )  # fmt: skip


def _twice(row: PrintedRow, cell: Cell, again: Printed) -> Finding:
    first = row.cells[cell]
    same = "the same number" if again.value == first.value else f"{again.text} here"
    detail = f"{first.file} has it in lines {first.line} ({first.text}) and {again.line}: {same}"
    return finding(row, cell, "twice", detail, None)


# --- averages of columns ------------------------------------------------------------------------


def _check_mean(row: PrintedRow, rule: MeanRule, rules: Rules, made: Checked) -> None:
    cell = (rule.name, rule.split)
    if cell not in row.cells:
        return
    have = [name for name, split in row.cells if split == rule.split and name not in rules.averages]
    missing = [name for name in rule.datasets if name not in have]
    printed = row.cells[cell]
    usual = _mean_of(row, rule.datasets, rule.split)
    fits = printed.interval.meets(usual)
    if fits and not missing:
        made.recomputed += 1
        made.over[len(rule.datasets)] += 1
    elif fits and not _is_mean_of_others(row, cell, rule, have):
        made.left += 1
    else:
        made.recomputed += 1
        made.findings.append(_wrong_mean(row, cell, rule, have, missing, usual, made))


def _wrong_mean(
    row: PrintedRow,
    cell: Cell,
    rule: MeanRule,
    have: Sequence[str],
    missing: Sequence[str],
    usual: Interval,
    made: Checked,
) -> Finding:
    printed = row.cells[cell]
    others = _mean_of(row, have, rule.split) if have else usual
    said = f"printed {printed.text}; the protocol averages "
    said += f"{counted(len(rule.datasets), 'dataset')}, which come to {_text(usual, printed)}"
    if missing and not printed.interval.meets(usual):
        said += f", whatever {_listed(missing)} may be"
    added = [name for name in have if name not in rule.datasets]
    if printed.interval.meets(others):
        made.over[len(have)] += 1
        around = [f"with {_listed(added)}"] if added else []
        around += [f"without {_listed(missing)}"] if missing else []
        said += f"; it is the mean of {len(have)}, {' and '.join(around)}: {_text(others, printed)}"
        return finding(row, cell, "datasets", said, usual)
    if added:
        said += f"; with {_listed(added)}, {counted(len(have), 'dataset')}, it would be "
        said += _text(others, printed)
    return finding(row, cell, "average", said, usual)


def _is_mean_of_others(row: PrintedRow, cell: Cell, rule: MeanRule, have: Sequence[str]) -> bool:
    """Whether a row without some of the datasets prints the mean of those that it has. Few of them
    could give any number by accident, and a cut table has few."""
    enough = 2 * len(have) > len(rule.datasets)
    return enough and row.cells[cell].interval.meets(_mean_of(row, have, rule.split))


def _mean_of(row: PrintedRow, names: Sequence[str], split: str) -> Interval:
    """The mean of columns, those that are not printed being anything."""
    found = [row.cells.get((name, split)) for name in names]
    return mean([printed.interval if printed else _PERCENT for printed in found])


# --- harmonic means -----------------------------------------------------------------------------


def _check_hm(
    row: PrintedRow, cell: Cell, a: Printed, b: Printed, rule: HarmonicRule
) -> Iterator[Finding]:
    printed, allowed = row.cells[cell], harmonic_mean(a.interval, b.interval)
    if printed.interval.meets(allowed):
        return
    said = f"printed {printed.text}; {rule.parts[0]} {a.text} and {rule.parts[1]} {b.text} give "
    said += f"{_text(allowed, printed)}; "
    gap = printed.interval.below(allowed)
    if gap:
        apart = math.sqrt(gap * (a.value + b.value) / 2)
        said += (
            "a mean of HMs over seeds lies lower, too, but this far only if base and new vary "
            f"against each other by at least ±{apart:.1f} points each"
        ).replace("base and new", " and ".join(rule.parts))
    else:
        said += "it is higher, which no average over seeds explains"
    yield finding(row, cell, "harmonic mean", said, allowed)


def _check_average_hm(
    row: PrintedRow, cell: Cell, rule: HarmonicRule, rules: Rules, made: Checked
) -> None:
    """The HM of averages: of the printed ones or of the columns behind them; else the mean of HMs,
    as the datasets' are printed or as they follow."""
    printed = row.cells[cell]
    of_averages = _of_averages(row, cell, rule, rules)
    of_hms = _of_hms(row, cell, rule, rules)
    if not of_averages:
        made.left += 1
        return
    made.recomputed += 1
    if any(printed.interval.meets(each) for each in of_averages):
        return
    allowed = of_averages[0]
    said = f"printed {printed.text}; the HM of the averages is {_text(allowed, printed)}"
    if any(printed.interval.meets(each) for each in of_hms):
        said += f"; it is the mean of the datasets' HMs, {_text(of_hms[0], printed)}"
        made.findings.append(finding(row, cell, "mean of HMs", said, allowed))
    elif of_hms:
        said += f", the mean of the datasets' HMs {_text(of_hms[0], printed)}"
        made.findings.append(finding(row, cell, "harmonic mean", said, allowed))
    elif printed.interval.below(allowed):
        said += "; the mean of the datasets' HMs lies lower, but the source does not print them all"
        made.findings.append(finding(row, cell, "open", said, allowed))
    else:
        said += ", and the mean of the datasets' HMs cannot lie above it"
        made.findings.append(finding(row, cell, "harmonic mean", said, allowed))


def _of_averages(row: PrintedRow, cell: Cell, rule: HarmonicRule, rules: Rules) -> list[Interval]:
    """The HM of the printed averages, and of those that the columns give."""
    found = []
    parts = [row.cells.get((cell[0], part)) for part in rule.parts]
    if parts[0] and parts[1]:
        found.append(harmonic_mean(parts[0].interval, parts[1].interval))
    datasets = _behind(cell, rule, rules)
    columns = [[row.cells.get((name, part)) for name in datasets] for part in rule.parts]
    if datasets and all(all(column) for column in columns):
        means = [mean([p.interval for p in column if p]) for column in columns]
        found.append(harmonic_mean(means[0], means[1]))
    return found


def _of_hms(row: PrintedRow, cell: Cell, rule: HarmonicRule, rules: Rules) -> list[Interval]:
    """The mean of the datasets' HMs, as printed and as they follow from their numbers."""
    datasets = _behind(cell, rule, rules)
    hms = [row.cells.get((name, rule.split)) for name in datasets]
    found = [mean([p.interval for p in hms if p])] if datasets and all(hms) else []
    pairs = [[row.cells.get((name, part)) for part in rule.parts] for name in datasets]
    again = [harmonic_mean(a.interval, b.interval) for a, b in pairs if a and b]
    if again and len(again) == len(datasets):
        found.append(mean(again))
    return found


def _behind(cell: Cell, rule: HarmonicRule, rules: Rules) -> tuple[str, ...]:
    """The datasets behind an average HM: those of the averages that it is of."""
    of = {r.datasets for r in rules.means if r.name == cell[0] and r.split in rule.parts}
    return of.pop() if len(of) == 1 else ()


def _text(interval: Interval, printed: Printed) -> str:
    """What an interval comes to: its middle, or its ends where these are far apart."""
    decimals = len(printed.text.partition(".")[2])
    if interval.high - interval.low > 10 * printed.unit:
        return f"{interval.low:.{decimals}f} to {interval.high:.{decimals}f}"
    return f"{interval.middle:.{decimals + 1}f}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)

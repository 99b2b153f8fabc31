"""Sensitivity as tables of texts, for every format."""

from __future__ import annotations

from promptbench.report.grid import Grid, GridRow
from promptbench.report.sensitivities.importance import LEAST, Importance
from promptbench.report.sensitivities.sensitivity import Sensitivity, Spread
from promptbench.report.text import NOTHING

_LEVELS = ("least", "25%", "median", "75%", "best")


def spread_grid(found: Sensitivity) -> Grid:
    """A row for each method and source: its own setting, the spread, what smaller budgets find."""
    drawn = found.budget - 1
    budgets = sorted({1, min(4, drawn), max(drawn // 2, 1), drawn})
    columns = ("own setting", *_LEVELS, *(f"best of {k}" for k in budgets), "diverged", "seeds")
    return Grid(
        title=f"Validation accuracy in % over settings: {found.title}",
        columns=columns,
        rows=tuple(_row(each, budgets) for each in found.spreads),
        facts={"table": found.title, "budget": found.budget},
        notes=(
            "of the drawn trials, without the method's own setting; one that diverged counts as 0",
            "best of k: expected best of k drawn trials, without replacement, and where it lies in "
            "95% of draws",
            "few validation images make few different accuracies: equal numbers are ties",
        ),
        head="method, source",
    )


def _row(each: Spread, budgets: list[int]) -> GridRow:
    curve = {k: (mean, ends) for k, mean, ends in each.curve}
    best = [f"{curve[k][0]:.2f} [{curve[k][1][0]:.1f}, {curve[k][1][1]:.1f}]" for k in budgets]
    own = NOTHING if each.own is None else f"{each.own:.2f}"
    cells = (own, *(f"{q:.2f}" for q in each.quartiles), *best, str(each.lost), str(each.seeds))
    facts = {"method": each.method, "source": each.source, "own_setting": each.own}
    facts |= dict(zip(_LEVELS, each.quartiles, strict=True))
    facts |= {f"best_of_{k}": curve[k][0] for k in budgets}
    return GridRow(f"{each.method}, {each.source}", cells, {**facts, "diverged": each.lost})


def importance_grid(found: Sensitivity, known: list[Importance | None]) -> Grid:
    """A row for each method and parameter: how much of the variance over trials it explains."""
    rows = []
    for sample, own in zip(found.samples, known, strict=True):
        for name in sample.names:
            share = None if own is None else own.shares[name]
            explained = NOTHING if own is None else f"{own.explained:.2f}"
            text = NOTHING if share is None else f"{share[0]:z.2f} ± {share[1]:.2f}"
            facts = {
                "method": sample.method,
                "parameter": name,
                "importance": share and share[0],
                "deviation": share and share[1],
                "explained": own and own.explained,
            }
            rows.append(GridRow(f"{sample.method}, {name}", (text, explained), facts))
    return Grid(
        title=f"Which parameters matter: {found.title}",
        columns=("importance", "forest's R²"),
        rows=tuple(rows),
        facts={"table": found.title, "budget": found.budget},
        notes=(
            "importance: by how much R² of a random forest falls when the parameter's values are "
            "permuted, ± over permutations",
            "forest's R²: on trials that its trees have not seen; near 0 or below, importances "
            "mean nothing",
            f"{NOTHING}: fewer than {LEAST} drawn trials, or trials that do not differ",
        ),
        head="method, parameter",
    )

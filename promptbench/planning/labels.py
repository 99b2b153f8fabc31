"""What cells are called while they are computed: by what distinguishes them, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from promptbench.mixing import variants
from promptbench.mixing.variants import Setup
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Plan


def told_apart(plans: Sequence[Plan]) -> list[Plan]:
    """The plans, with the marks that their cells need beside each other.

    Those are the settings that vary among the cells of a method on one source; the preset, the
    selection rule, the classes learned of a dataset and the protocol where there are several.
    """
    cells = [cell for made in plans for cell in made.cells]
    vary = _varying(cells)
    presets = len({cell.preset for cell in cells}) > 1
    rules = len({(cell.selection.name, cell.selection.provider) for cell in cells}) > 1
    protocols = len({cell.protocol for cell in cells}) > 1
    among = {name for names in vary.values() for name in names}
    sources = {cell.leg.source for cell in cells}
    taught = Counter((source.dataset, source.shots) for source in sources)

    def marked(cell: Cell) -> Cell:
        row = [_setup(cell)]
        settings = [variants.mark(row, name, among) for name in sorted(vary[cell.method.name])]
        preset = f"preset {cell.preset}" if presets else ""
        source = cell.leg.source
        several = taught[source.dataset, source.shots] > 1
        learned = f"learns {source.classes}" if several else ""
        rule = cell.selection.cls.title if rules and cell.learns else ""
        marks = tuple(filter(None, (preset, rule, learned, *settings)))
        return replace(cell, marks=marks, prefix=f"{cell.protocol}: " if protocols else "")

    return [replace(made, cells=tuple(map(marked, made.cells))) for made in plans]


def _varying(cells: Sequence[Cell]) -> dict[str, set[str]]:
    """By method, the settings in which its cells on the same source differ."""
    beside: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        beside[cell.method.name, cell.protocol, cell.preset, cell.leg.source].append(cell)
    found: dict[str, set[str]] = defaultdict(set)
    for (method, *_), same in beside.items():
        found[method] |= set(variants.varying([[_setup(cell)] for cell in same])[method])
    return found


def _setup(cell: Cell) -> Setup:
    return Setup(cell.method.name, tuple(cell.overrides), cell.parameters, cell.recipe)

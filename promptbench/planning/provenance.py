"""Finished cells that other code has made: they stay, and the user of a plan hears of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from promptbench import records
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Finished
from promptbench.support.prose import counted


def notes_of_code(finished: Iterable[Finished], pending: Iterable[Cell]) -> list[str]:
    """What to know about the code of finished cells; nothing if it is that of now.

    Records of before the code was noted are worth a word only where cells of the same method are
    still to be computed, or were by the code of now, so that tables mix them.
    """
    other: list[tuple[Cell, Path]] = []
    unknown: list[Cell] = []
    mixed = {cell.method.name for cell in pending}
    for cell, out in finished:
        folder = cell.folder(out)
        by = records.read(folder / records.RECORD).method.source_sha256
        now = cell.method.source_sha256
        if by is None:
            unknown.append(cell)
        elif by == now or now is None:
            mixed.add(cell.method.name)
        else:
            other.append((cell, folder))
    unclear = [cell for cell in unknown if cell.method.name in mixed]
    return [*_of_other(other), *_of_unknown(unclear)]


def _of_other(found: Sequence[tuple[Cell, Path]]) -> list[str]:
    if not found:
        return []
    were, first = "was" if len(found) == 1 else "were", found[0][1]
    return [
        f"note: {counted(len(found), 'finished cell')} {were} made by other code than that of now "
        f"({_by_method(cell for cell, _ in found)}): the method's module, what it imports or its "
        "gin file was changed since. What is finished stays as it is; to compute it by the code "
        f"of now, take another --out, or delete their folders (the first is {first})"
    ]


def _of_unknown(found: Sequence[Cell]) -> list[str]:
    if not found:
        return []
    return [
        f"note: {counted(len(found), 'finished cell')} ({_by_method(found)}) from before records "
        "named the code of their method: whether it was that of now is not known"
    ]


def _by_method(cells: Iterable[Cell]) -> str:
    counts = Counter(cell.method.name for cell in cells)
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))

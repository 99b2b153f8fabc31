"""Who computes what below an output folder at this moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from promptbench.storage import locks


@dataclass(frozen=True)
class Holder:
    """Who holds a cell or a training.

    Args:
        kind: cell or training.
        digest: the beginning of its id.
        host, pid, job: who holds it; None where that is not known.
        silent: seconds since it was last heard of; None where that is not known.
        stale: whether it has been silent for so long that another may take over.
    """

    kind: str
    digest: str
    host: str | None = None
    pid: int | None = None
    job: str | None = None
    silent: float | None = None
    stale: bool = False


# TO BE JOINED: the leases know all of this; the locks of today only say that somebody holds them.
def holders(out: Path, ids: Iterable[str]) -> list[Holder]:
    """Who holds cells, of those with these ids."""
    folder = locks.place(out, "", "").parent
    found = {path.name.removesuffix(".holder") for path in folder.glob("cell-*")}
    held = [
        cell_id
        for cell_id in ids
        if (path := locks.place(out, "cell", cell_id)).name in found and locks.is_held(path)
    ]
    return [Holder("cell", cell_id[:32]) for cell_id in held]


def attempts(out: Path, folder: str) -> int:
    """How often a cell has killed who computed it; nothing is known of it with locks."""
    return 0

"""Who computes what below an output folder at this moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from promptbench.storage import leases


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


def holders(out: Path, ids: Iterable[str]) -> list[Holder]:
    """Who holds cells, of those with these ids."""
    wanted = {identity[:32] for identity in ids}
    return [
        Holder(held.kind, held.digest, held.host, held.pid, held.job, held.seconds, held.stale)
        for held in leases.holders(out)
        if held.kind == "cell" and held.digest in wanted
    ]


def attempts(out: Path, folder: str) -> int:
    """How many workers have died on a cell that nobody computes now, since it last came further."""
    return sum(1 for _ in (out / folder).glob("attempt-*.json"))

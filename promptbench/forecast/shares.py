"""What each method of a plan takes under its protocol, from the paces of its cells."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from promptbench.core.traits import has_solver
from promptbench.data.cards import cards
from promptbench.forecast.pace import Key, Pace, key_of
from promptbench.planning import extent
from promptbench.planning.cells import Cell
from promptbench.planning.extent import CardOf
from promptbench.planning.plan import Plan
from promptbench.running.training.folder import is_trained

_RECORD_BYTES = 16_000  # a record with its log
_IMAGE_BYTES = 4  # a line of predictions, compressed
_UNKNOWN = Pace(step=0.0, batch=1, per_image=0.0, parameter_bytes=0, from_record=False)


@dataclass
class Share:
    """What one method takes under one protocol; `untimed` trainings, and `unpaced` cells, are in no
    `seconds`."""

    protocol: str
    method: str
    cells: int = 0
    done: int = 0
    failed: int = 0
    trainings: int = 0
    shared: int = 0
    untimed: int = 0
    unpaced: int = 0
    seconds: float = 0.0
    bytes: int = 0

    @property
    def pending(self) -> int:
        return self.cells - self.done - self.failed


def shares_of(
    plans: Iterable[Plan],
    pending: Collection[str],
    done: Collection[str],
    paces: Mapping[Key, Pace],
) -> list[Share]:
    """One share per protocol and method of the plans; `pending` are the ids of cells to compute,
    `done` of those that have a record, and others have failed."""
    found: dict[tuple[str, str], Share] = {}
    trained: set[str] = set()
    card_of = functools.cache(cards.load)
    for made in plans:
        for cell in made.cells:
            key = (made.protocol_name, cell.method.name)
            share = found.setdefault(key, Share(*key))
            share.cells += 1
            if cell.id in pending:
                _add(share, cell, made.out, paces.get(key_of(cell), _UNKNOWN), trained, card_of)
            elif cell.id in done:
                share.done += 1
            else:
                share.failed += 1
    return list(found.values())


def _add(
    share: Share, cell: Cell, out: Path, known: Pace, trained: set[str], card_of: CardOf
) -> None:
    images = extent.scored_images(cell, card_of)
    share.unpaced += known is _UNKNOWN
    share.seconds += images * known.per_image
    share.bytes += _RECORD_BYTES + images * _IMAGE_BYTES + known.parameter_bytes
    if not cell.recipe and not has_solver(cell.method.cls):
        return
    if cell.training_id in trained or is_trained(cell, out):
        share.shared += 1
        return
    trained.add(cell.training_id)
    share.trainings += 1
    share.seconds += extent.validated_images(cell, card_of) * known.per_image
    share.bytes += known.parameter_bytes
    if cell.by_steps:
        share.seconds += extent.shown_images(cell, card_of) * known.per_image
        share.seconds += extent.steps(cell, card_of) * known.per_step(cell.recipe["batch_size"])
    elif known.solve is not None:
        share.seconds += extent.training_images(cell, card_of) * known.solve
    else:
        share.untimed += 1

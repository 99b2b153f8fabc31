"""An order for a machine that may share no folder: its text, and the small files that it names.

Plugins, gin files and users' own cards travel as bytes; shards and checkpoints of backbones are
looked for there, and `pins` verify all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from promptbench.data.cards import cards
from promptbench.planning.plan import Plan
from promptbench.workers.handing_out.unpacking import Sent
from promptbench.workers.plan.orders import Order


def packed(order: Order, plans: list[Plan]) -> Sent:
    """An order with the files that it names; each process that gets it is one worker."""
    order = replace(order, machine=replace(order.machine, per_gpu=1))
    own = {name for made in plans for name in made.datasets() if not cards.is_packaged(name)}
    return Sent(
        text=order.text(),
        files={str(path): path.read_bytes() for path in _named(order)},
        cards={f"{name}.toml": cards.path_of(name).read_bytes() for name in sorted(own)},
    )


def _named(order: Order) -> Iterator[Path]:
    for path in order.machine.plugin:
        yield path
        if (beside := path.with_suffix(".gin")).is_file():
            yield beside
    for request in order.requests:
        yield from request.gin

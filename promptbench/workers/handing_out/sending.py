"""An order for a machine that may share no folder: its text, and the small files that it names.

Plugins, gin files, class texts and users' own cards travel as bytes; shards and checkpoints of
backbones are looked for there, and `pins` verify all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from promptbench.data.cards import cards
from promptbench.planning import class_texts
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
        cards={path.name: path.read_bytes() for path in _cards(own)},
    )


def _cards(names: Iterable[str]) -> Iterator[Path]:
    """Users' own cards, and the class texts that they name beside them."""
    for name in sorted(names):
        yield (path := cards.path_of(name))
        if (entry := cards.load(name).class_texts) and path.with_name(entry).is_file():
            yield path.with_name(entry)


def _named(order: Order) -> Iterator[Path]:
    for path in order.machine.plugin:
        yield path
        if (beside := path.with_suffix(".gin")).is_file():
            yield beside
    for request in order.requests:
        yield from request.gin
        yield from class_texts.files_of(request.class_texts)

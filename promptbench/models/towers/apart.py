"""Looking at a method amid its training, without a trace in what the towers remember."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_KEPT = ("_memo", "_layouts")  # of texts and images, and of how batches are laid out
_DECIDED = ("_prefix", "_decided")  # by the last runs


@contextmanager
def apart(*towers: Any) -> Iterator[None]:
    """Inside the block towers remember nothing from before it; after it, what they did.

    What is computed without gradient would otherwise be handed to a training that needs one, and
    what training has decided, such as how many class prompts it keeps at a time, would be decided
    again.
    """
    before = [(tower, name, vars(tower)[name]) for tower in towers for name in _own(tower)]
    try:
        for tower, name, value in before:
            setattr(tower, name, type(value)() if name in _KEPT else None)
        yield
    finally:
        for tower, name, value in before:
            setattr(tower, name, value)


def _own(tower: Any) -> list[str]:
    return [name for name in (*_KEPT, *_DECIDED) if name in vars(tower)]

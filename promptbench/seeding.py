"""Named random streams: every use of randomness derives its own seed from the cell's seed.

A stream depends on the seed and its name alone, so that adding a method, a target or a worker
changes no other number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def stream(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names` of `seed`."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator on the stream `names` of `seed`."""
    import numpy as np

    return np.random.default_rng(stream(seed, *names))


@contextmanager
def torch_seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Run a block with torch's global generators on a stream, and restore them afterwards."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(stream(seed, *names))
        yield

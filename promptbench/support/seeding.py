"""Named random streams: every use of randomness derives its own seed from the cell's seed.

A stream depends only on the seed and its name, so that adding a method, a target or a worker
changes no other number.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
def undisturbed() -> Iterator[None]:
    """Restore all global generators after a block, whatever it has drawn."""
    import torch

    before = host_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            restore_host(before)


@contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Run a block with all global generators on a stream, and restore them afterwards.

    They are torch's (CPU and GPUs), numpy's and Python's: whatever a method draws inside the block
    without a generator of its own, from whichever thread, is a function of the stream.
    """
    import numpy as np
    import torch

    number = stream(seed, *names)
    with undisturbed():
        # torch.manual_seed formats the stack for each kind of device, also where there is none.
        torch.default_generator.manual_seed(number)
        if torch.cuda.device_count():
            torch.cuda.manual_seed_all(number)
        np.random.seed(number % 2**32)
        random.seed(number)
        yield


def host_state() -> list[Any]:
    """Where Python's and numpy's global generators stand, as plain data (for `restore_host`)."""
    import numpy as np

    version, internal, gauss = random.getstate()
    _, key, *rest = np.random.get_state()
    return [[version, list(internal), gauss], [[int(word) for word in key], *rest]]


def restore_host(state: list[Any]) -> None:
    """Set Python's and numpy's global generators to what `host_state` returned."""
    import numpy as np

    (version, internal, gauss), (key, *rest) = state
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(("MT19937", np.array(key, dtype=np.uint32), *rest))

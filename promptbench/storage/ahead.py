"""Facts found ahead, by processes beside this one, before somebody here asks for them.

Whoever goes through many files, and asks of each what is remembered of it (`remembered`), goes
through them in the same order with the same answers: other processes only fill the store. If none
of them can be had, everything is found here, as it is where nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from promptbench.storage.remembered import Remembered
from promptbench.support import crew
from promptbench.support.progress import Reporter

# Looks at files and remembers what it finds; it can be pickled. What is wrong with a file it leaves
# to be found, and said, by whoever asks.
Look = Callable[[Sequence[Path], Remembered], None]
_PART = 64  # files that a process looks at in one go
_FIRST = 128  # files that are looked at here, to see whether they are known
_LEAST = 1500  # further files, for which processes are worth their start of some seconds each


def over(
    paths: Sequence[Path],
    look: Look,
    memory: Remembered | None,
    reporter: Reporter | None = None,
) -> Iterator[Path]:
    """Yield paths in order, each when `look` has been at it in another process, if the first ones
    were not known and there are enough; `reporter` hears of processes that die."""
    first, rest = paths[:_FIRST], paths[_FIRST:]
    processes = memory.beside if memory is not None else 1
    if memory is None or processes < 2 or len(rest) < _LEAST:
        yield from paths
        return
    before = memory.kept
    yield from first
    if memory.kept - before < len(first) // 2:
        yield from rest
        return
    parts = [rest[place : place + _PART] for place in range(0, len(rest), _PART)]
    memory.flush()
    with crew.started(min(processes, len(parts))) as pool:
        found = [pool.submit(_find, look, memory.path, part) for part in parts]
        for number, part in enumerate(parts):
            try:
                found[number].result()
            except BrokenProcessPool:
                (reporter or Reporter()).message(crew.DIED)
                yield from (path for left in parts[number:] for path in left)
                return
            yield from part


def _find(look: Look, store: Path, paths: Sequence[Path]) -> None:
    memory = Remembered(store)
    try:
        look(paths, memory)
    finally:
        memory.close()

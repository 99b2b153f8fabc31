"""Facts found ahead, by processes beside this one, before somebody here asks for them.

Whoever goes through many files, and asks of each what is remembered of it (`remembered`), goes
through them in the same order with the same answers: other processes only fill the store. If none
of them can be had, everything is found here, as it is where nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from promptbench.errors import one_line
from promptbench.storage.database import unheard
from promptbench.storage.remembered import Remembered
from promptbench.support import crew
from promptbench.support.progress import Reporter

# Looks at files and remembers what it finds; it can be pickled. What is wrong with a file it leaves
# to be found, and said, by whoever asks.
Look = Callable[[Sequence[Path], Remembered], None]
_PART = 128  # files that a process looks at in one go
_SAMPLE = 8  # of so many of them one is asked about first
_LEAST = 1500  # further files, for which processes are worth their start of some seconds each


def over(
    paths: Sequence[Path],
    look: Look,
    memory: Remembered | None,
    reporter: Reporter | None = None,
    known: Callable[[Path], bool] | None = None,
    expect: Callable[[Sequence[Path]], object] = lambda paths: None,
) -> Iterator[Path]:
    """Yield paths in order; once most of some were not known, and enough are left, each when `look`
    has been at it in another process.

    Args:
        reporter: hears of processes that end before their time.
        known: says quickly whether a file is, so that nobody need look at the first ones here.
        expect: hears which paths come next, some at a time.
    """
    if memory is None or memory.beside.processes < 2:
        parts = _cut(paths)
    else:
        parts = _helped(paths, look, memory, reporter or Reporter(), known)
    for part in parts:
        expect(part)
        yield from part


def _cut(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[place : place + _PART] for place in range(0, len(paths), _PART))


def _helped(
    paths: Sequence[Path],
    look: Look,
    memory: Remembered,
    reporter: Reporter,
    known: Callable[[Path], bool] | None,
) -> Iterator[Sequence[Path]]:
    left = len(paths)
    for part in _cut(paths):
        unknown = known is not None and left >= _LEAST and not any(map(known, part[::_SAMPLE]))
        if unknown and memory.flush():
            yield from _found_ahead(paths[-left:], look, memory, reporter)
            return
        before = memory.kept
        yield part
        left -= len(part)
        # Of a file that is not known two facts and more are kept.
        if left >= _LEAST and memory.kept - before >= _PART and memory.flush():
            yield from _found_ahead(paths[-left:], look, memory, reporter)
            return


def _found_ahead(
    paths: Sequence[Path], look: Look, memory: Remembered, reporter: Reporter
) -> Iterator[Sequence[Path]]:
    parts = list(_cut(paths))
    done = 0
    try:
        with memory.beside.started(len(parts)) as pool:
            found = [pool.submit(_find, look, memory.path, part) for part in parts]
            for part, future in zip(parts, found, strict=True):
                future.result()
                yield part
                done += 1
    except BrokenProcessPool:
        reporter.message(crew.DIED)
    except Exception as error:  # who asks for the rest here meets what is wrong, in its place
        reporter.message(f"a process beside this one failed ({one_line(error)}); {crew.GONE}")
    yield from parts[done:]


def _find(look: Look, store: Path, paths: Sequence[Path]) -> None:
    memory = Remembered(store, tell=unheard)
    try:
        look(paths, memory)
    finally:
        memory.close()

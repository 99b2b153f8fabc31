"""All leases of a folder at once: for workers that look for work, and for people who look on."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptbench.storage.leases import heartbeat, protocol
from promptbench.storage.leases.files import NEW, OLD, TURN, Seen, clock, look
from promptbench.storage.leases.holder import Holder, worker

_SHORTEST, _LONGEST = 0.5, 5.0  # seconds between two listings
_PER_LEASE = 0.05  # seconds more for each lease: the more workers, the more rarely each looks
_LOOK_AGAIN = 2  # beats


class View:
    """Which leases of `out` are held, from one listing of the folder for all of them.

    What is listed counts as held. The file itself is looked at when it is seen first, and then only
    as often as it takes to notice that its holder is gone: a process of this machine is asked for
    without the file, and any other's lease is looked at every two beats.
    """

    def __init__(self, out: Path) -> None:
        self._folder = protocol.folder_of(out)
        self._names: set[str] = set()
        self._listed = float("-inf")
        self._known: dict[str, tuple[Holder | None, float]] = {}  # and when to look again

    @property
    def crowd(self) -> int:
        """How many leases are listed: about two for each worker."""
        return len(self._names)

    @property
    def pause(self) -> float:
        """Seconds after which a worker that has nothing to do looks again, at most."""
        return min(_LONGEST, max(_SHORTEST, _PER_LEASE * self.crowd))

    def refresh(self) -> None:
        """List the folder.

        Raises:
            OutputError: it cannot be read.
        """
        self._names = set(_listed(self._folder))
        self._known = {name: known for name, known in self._known.items() if name in self._names}
        self._listed = time.monotonic()

    def is_held(self, path: Path) -> bool:
        """Whether a lease is held, as far as is known.

        Raises:
            OutputError: the folder cannot be read.
        """
        if time.monotonic() - self._listed > self.pause / 2:
            self.refresh()
        if path.name not in self._names:
            return False
        holder, due = self._known.get(path.name, (None, float("-inf")))
        lives = holder.lives() if holder else None
        if lives or (lives is None and time.monotonic() < due):
            return True
        found = protocol.seen_held(path)
        if found is None:
            self._names.discard(path.name)
            return False
        again = time.monotonic() + _LOOK_AGAIN * heartbeat.BEAT
        self._known[path.name] = found.holder, again
        return True

    def others(self) -> bool:
        """Whether another process holds anything."""
        self.refresh()
        with protocol.told(self._folder):
            found = (look(self._folder / name) for name in self._names)
            return any(seen and seen.holder and seen.holder.worker != worker() for seen in found)


@dataclass(frozen=True)
class Held:
    """Who works on what: a lease, as plain data.

    `kind` is "cell" or "training", `digest` the beginning of its id, `worker` what a process is
    called in all its leases. `seconds` have passed since its last beat, by the file system's clock;
    None where nothing can be written, so that it cannot be asked. A `stale` one is nobody's.
    """

    path: Path
    kind: str
    digest: str
    worker: str
    host: str
    pid: int
    job: str | None
    seconds: float | None
    stale: bool


def holders(out: Path) -> list[Held]:
    """All leases of what lies in `out`, by their names; reading them changes nothing.

    Raises:
        OutputError: the folder cannot be read.
    """
    folder = protocol.folder_of(out)
    paths = [folder / name for name in _listed(folder) if not name.endswith((NEW, OLD, TURN))]
    now: float | None = None
    if paths:
        with suppress(OSError):  # a folder that this user may only read
            now = clock(folder)
    return [
        _described(path, found, found.holder, now)
        for path in paths
        if (found := look(path)) is not None and found.holder is not None
    ]


def sweep(out: Path) -> None:
    """Remove what processes have left that were killed, unless others are still at work there.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = protocol.folder_of(out)
    for name in _listed(folder):
        path = folder / name
        if look(path) is None:
            continue
        if protocol.seen_held(path) is not None:
            return
        if name.endswith((NEW, OLD)):
            with protocol.told(path):
                path.unlink(missing_ok=True)
        else:
            with protocol.claimed(path):
                pass


def _listed(folder: Path) -> list[str]:
    with protocol.told(folder):
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is asked for
        except FileNotFoundError:
            return []


def _described(path: Path, found: Seen, holder: Holder, now: float | None) -> Held:
    kind, _, digest = path.name.partition("-")
    seconds = None if now is None else max(0.0, now - found.touched / 1e9)
    lives = holder.lives()
    silent = seconds is not None and seconds >= heartbeat.MISSED * heartbeat.BEAT
    stale = silent if lives is None else not lives
    facts = (holder.worker, holder.host, holder.pid, holder.job)
    return Held(path, kind, digest, *facts, seconds, stale)

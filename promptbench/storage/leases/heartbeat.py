"""The heartbeat of leases: this process's own, and whether those of others have stopped."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from promptbench.storage.leases import holder as processes
from promptbench.storage.leases.files import Seen, clock

BEAT = 15.0  # seconds between two beats
MISSED = 6  # beats, after which a lease is stale
_SURE = 2  # beats that this process must have seen missed, however old a lease is


class Beating(Protocol):
    """What a heart keeps alive."""

    claim: str

    def beat(self) -> None:
        """Touch the file."""


class Heart:
    """Touches the leases of this process, by a thread that lives while there are any."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know no leases: those of the process that this one was forked from are not its own."""
        self._lock = threading.Lock()
        self._leases: dict[str, Beating] = {}
        self._over: threading.Event | None = None

    def add(self, lease: Beating) -> None:
        """Touch a lease from now on."""
        with self._lock:
            self._leases[lease.claim] = lease
            if self._over is None:
                self._over = threading.Event()
                threading.Thread(
                    target=self._beat, args=(self._over,), name="leases", daemon=True
                ).start()

    def drop(self, lease: Beating) -> bool:
        """Touch a lease no longer; whether it was touched so far."""
        with self._lock:
            known = self._leases.pop(lease.claim, None) is not None
            if not self._leases and self._over is not None:
                self._over.set()
                self._over = None
            return known

    def knows(self, claim: str | None) -> bool:
        """Whether a claim is one of those that are touched."""
        return claim in self._leases

    def leases(self) -> list[Beating]:
        """All that are touched."""
        with self._lock:
            return list(self._leases.values())

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            for lease in self.leases():
                with suppress(OSError):  # a server may be away: the look before a write will tell
                    lease.beat()


class Watcher:
    """Judges leases by what this process has seen of them, and since when."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._seen: dict[Path, tuple[Seen, float]] = {}  # as they were, and since when they are so

    def is_stale(self, found: Seen) -> bool:
        """Whether the holder of a lease is dead, or has not touched it for too long.

        Raises:
            OSError: the folder's clock cannot be read.
        """
        holder = found.holder
        if holder is None:  # being written at this moment, or left so by a process that was killed
            return self._age(found) >= MISSED * BEAT
        if holder.worker == processes.worker():
            return not self._heart.knows(found.claim)  # a signal left it behind
        lives = holder.lives()
        if lives is not None:
            return not lives
        unchanged = self._unchanged(found)
        if unchanged < _SURE * BEAT:
            return False
        return unchanged >= MISSED * BEAT or self._age(found) >= MISSED * BEAT

    def _unchanged(self, found: Seen) -> float:
        """Seconds for which this process has seen a lease as it is now."""
        now = time.monotonic()
        before, since = self._seen.get(found.path, (None, now))
        if before is None or not before.is_same(found):
            since = now
            self._seen[found.path] = found, since
        return now - since

    @staticmethod
    def _age(found: Seen) -> float:
        return clock(found.path.parent) - found.touched / 1e9

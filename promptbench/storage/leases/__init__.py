"""Leases between processes that share a folder, on one machine or on many.

Locks of an operating system are node-local or ignored on many shared file systems. A lease is a
file: it says who holds it, and its holder touches it while it works (`heartbeat`). What the
protocol rests on:

- Claiming is link(2) of a file that is whole already: of any number of processes one succeeds. NFS
  may answer that the name exists although the link was made, so that the file is read: what it says
  decides. A file system without links gets O_EXCL.
- A holder on this boot of this machine, in the same list of processes, is asked for there: its
  lease is free at once when the process is dead, and never while it lives, even if it is stopped.
- Of any other holder only the heartbeat is known. Its lease is stale when it is older than six
  beats by the file system's own clock (a file that is touched now), and this process has seen it
  miss two. Where nodes stamp files with clocks of their own, an age may make no sense: a lease that
  was seen to miss six is stale whatever its age. No node's clock takes part.
- Stale leases are taken over in turn: under a lease on the lease the file is looked at again, moved
  aside, looked at once more, and a new one is linked, which fails if somebody was quicker. Whoever
  moves aside what it did not mean to puts it back. Release does the same, without a turn.
- What remains is a holder that was suspended for longer than the limit: it finds that its lease is
  another's before it writes (`refuse_lost`). Between that look and the write a file system leaves a
  moment; files are renamed into place whole, and are the same whoever computes them.
"""

from promptbench.storage.leases.holder import worker
from promptbench.storage.leases.protocol import (
    Lease,
    LeaseLost,
    claimed,
    clock,
    held,
    is_held,
    pauses,
    place,
    refuse_lost,
)
from promptbench.storage.leases.view import Held, View, holders, sweep

__all__ = [
    "Held",
    "Lease",
    "LeaseLost",
    "View",
    "claimed",
    "clock",
    "held",
    "holders",
    "is_held",
    "pauses",
    "place",
    "refuse_lost",
    "sweep",
    "worker",
]

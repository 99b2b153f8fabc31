"""How the nodes of a cluster are shared out: which workers each has, and what each worker gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptbench.api import UserError
from promptbench.errors import near_miss
from promptbench.executors._ray import engine
from promptbench.executors._ray.engine import Node
from promptbench.planning.machine import Machine
from promptbench.planning.profiles import Profile

_NAME = "ray"  # of the table in a profile
_FINEST = 10_000  # shares of a GPU that Ray tells apart
_LOSSES = 3  # of one place's workers, with nothing ended in between, before it is given up


@dataclass(frozen=True)
class Terms:
    """What a run asks of each node.

    Args:
        device: cpu, cuda, or auto: GPUs where there are any, else CPUs.
        per_gpu: workers of a GPU.
        cpus: CPUs of a worker without a GPU.
        mixed: whether nodes without a GPU take part beside those with one.
        wait: seconds to wait for the first worker.
    """

    device: str
    per_gpu: int
    cpus: float
    mixed: bool
    wait: float


@dataclass(frozen=True)
class Slot:
    """A worker's place on a node: its shares, and the device that it computes on."""

    node: Node
    number: int
    cpus: float
    gpus: float
    device: str

    @property
    def place(self) -> tuple[str, int]:
        """A node's id, and which of its places it is."""
        return self.node.id, self.number


class Places:
    """The places for workers of a run, on the nodes that are there: which are free, and which are
    given up, with the reasons."""

    def __init__(self, terms: Terms, jobs: int) -> None:
        self.given_up: dict[tuple[str, int], str] = {}
        self._terms, self._jobs = terms, jobs
        self._nodes: dict[str, Node] = {}
        self._losses: Counter[tuple[str, int]] = Counter()

    def look(self) -> str | None:
        """Look which nodes there are; a sentence on those that take no part, if there are any."""
        self._nodes = engine.nodes()
        return idle(self._nodes, self._terms)

    def has(self, node: Node) -> bool:
        """Look again, whether a node is there."""
        self._nodes = engine.nodes()
        return node.id in self._nodes

    def free(self, taken: Iterable[Slot], cells: int) -> list[Slot]:
        """The places that are to have a worker for so many cells, and have none: neither `taken`
        nor given up."""
        places = slots(self._nodes, self._terms)
        there = [slot.place for slot in taken]
        free = [slot for slot in places if slot.place not in (*there, *self.given_up)]
        most = self._jobs if self._jobs > 1 else len(places)
        return free[: max(min(most, cells) - len(there), 0)]

    def has_computed(self, slot: Slot) -> None:
        """A worker there has ended a cell."""
        self._losses[slot.place] = 0

    def has_lost(self, slot: Slot, reason: str) -> bool:
        """A worker there has died; whether the place is given up for it."""
        self._losses[slot.place] += 1
        lost = self._losses[slot.place] >= _LOSSES
        if lost:
            self.give_up(slot, reason)
        return lost

    def give_up(self, slot: Slot, reason: str) -> None:
        """Start no worker there any more."""
        self.given_up[slot.place] = f"{slot.node.name}: {reason}"


def terms_of(machine: Machine, profile: Profile) -> Terms:
    """The terms of a run, from its options and the profile's table `[ray]`.

    Raises:
        UserError: a key that there is not, or a value that it cannot have.
    """
    table = profile.table(_NAME)
    known = {"cpus": 1.0, "wait": 120.0}
    for key in table:
        if key not in known:
            raise profile.refused(f"{_NAME}.{key}", f"no such key; {near_miss(key, known)}")
    found = {key: _number(profile, key, table.get(key, usual)) for key, usual in known.items()}
    if machine.device.startswith("cuda:"):
        raise UserError(
            f"--device {machine.device}: Ray gives each worker its GPU; use --device cuda"
        )
    return Terms(machine.device, machine.per_gpu, found["cpus"], "cpus" in table, found["wait"])


def _number(profile: Profile, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise profile.refused(f"{_NAME}.{key}", f"it must be a number above 0, not {value!r}")
    if key == "cpus" and value != int(value):
        raise profile.refused(f"{_NAME}.{key}", f"it must be a whole number, not {value!r}")
    return float(value)


def slots(nodes: Mapping[str, Node], terms: Terms) -> list[Slot]:
    """The places for workers on some nodes, a GPU's first on every node, then the second ones."""
    some_gpu = any(node.gpus >= 1 for node in nodes.values())
    found: list[Slot] = []
    for node in nodes.values():
        on_gpu = terms.device != "cpu" and node.gpus >= 1
        if on_gpu:
            count = int(node.gpus) * terms.per_gpu
            share = int(_FINEST / terms.per_gpu) / _FINEST
            cpus = min(1.0, node.cpus / count)
            found += [Slot(node, n, cpus, share, "cuda") for n in range(count)]
        elif terms.device == "cpu" or (terms.device == "auto" and (terms.mixed or not some_gpu)):
            found += [
                Slot(node, n, terms.cpus, 0, "cpu") for n in range(int(node.cpus // terms.cpus))
            ]
    return sorted(found, key=lambda slot: slot.number)


def told(slots: Iterable[Slot]) -> str:
    """What nodes have, in words: a: 2 on GPUs; b: 4 on CPUs."""
    counts: dict[tuple[str, str], int] = {}
    for slot in slots:
        key = slot.node.name, "GPUs" if slot.gpus else "CPUs"
        counts[key] = counts.get(key, 0) + 1
    return "; ".join(f"{node}: {count} on {kind}" for (node, kind), count in counts.items())


def idle(nodes: Mapping[str, Node], terms: Terms) -> str | None:
    """A sentence on nodes without a GPU that take no part, if there are any."""
    used = {slot.node.id for slot in slots(nodes, terms)}
    names = [node.name for node in nodes.values() if node.cpus >= 1 and node.id not in used]
    if not names or terms.device == "cpu":
        return None
    remedy = "" if terms.device == "cuda" else "; `cpus` in [ray] of a machine profile lets them"
    return f"without a GPU, and without a worker: {', '.join(names)}{remedy}"

"""What all cells of a run share, loaded once."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from promptbench.config import suites
from promptbench.data.loader import EVAL_BATCH
from promptbench.data.shards import store
from promptbench.data.shards.shards import ShardSet
from promptbench.models.backbones import loading
from promptbench.models.backbones.loading import Backbone
from promptbench.models.gpu_errors import beginning_on
from promptbench.models.towers import Towers
from promptbench.planning.extent import splits_read
from promptbench.planning.machine import AugmentPlace, Machine
from promptbench.planning.plan import Plan
from promptbench.running.lab import arithmetic
from promptbench.running.lab.compute import Compute
from promptbench.running.lab.keeper import Keeper
from promptbench.storage import leases
from promptbench.support import allotted
from promptbench.tracking import Listener


@dataclass(frozen=True)
class Lab:
    """What cells share: backbone, prepared data, device, and who listens."""

    keeper: Keeper
    data: dict[str, ShardSet]
    compute: Compute
    workers: int
    out: Path
    listener: Listener
    checkpoint_seconds: float = 300.0
    eval_batch: int = EVAL_BATCH
    augment: AugmentPlace = "auto"
    processes: int = 1  # that share this machine
    graphs: bool = True  # whether a GPU may replay steps

    @property
    def backbone(self) -> Backbone:
        """The backbone, as it was loaded: from the moment on that a cell changes it, a new one."""
        return self.keeper.backbone

    @property
    def images_at_once(self) -> int:
        """How many test images are classified at a time: fewer than usual only on a GPU whose
        memory does not suffice.

        On a CPU the number is always the same, so that every bit is: the order of a product's sums
        depends on its rows (with MKL, those of fewer than 16 images differ from those of more).
        """
        return self.eval_batch if self.compute.device.type == "cuda" else EVAL_BATCH

    def vouch(self) -> None:
        """Let pass what may be kept: of unchanged towers, by a worker that holds its leases.

        Raises:
            TowersChanged: the towers are others now.
            LeaseLost: another worker has taken over what this one works on.
        """
        self.keeper.refuse_changed()
        leases.refuse_lost(self.out)

    def vouch_for_now(self) -> None:
        """Let pass, as `vouch`, what is kept only until there is more of it: towers that were
        looked at just before are not looked at again.

        Raises:
            TowersChanged: as `vouch`, perhaps some calls later.
            LeaseLost: as `vouch`.
        """
        self.keeper.refuse_changed_of_late()
        leases.refuse_lost(self.out)

    def release_memory(self) -> None:
        """Drop what the towers remember, and give back the GPU's memory that nothing holds.

        That of CUDA graphs, too; to be called between steps.
        """
        self.backbone.towers.forget()
        self.backbone.towers.release_compiled()
        gc.collect()
        if self.compute.device.type == "cuda":
            torch.cuda.empty_cache()


def sharing_a_lab(plans: Iterable[Plan]) -> list[list[Plan]]:
    """Plans in groups that a lab can be opened for: of one backbone, and data from one root."""
    found: dict[tuple[str, str, str | None, Path | None], list[Plan]] = {}
    for made in plans:
        suite = made.suite
        key = (suite.backbone, suite.weights, suite.weights_preset, made.root)
        found.setdefault(key, []).append(made)
    return list(found.values())


def open_lab(plans: Sequence[Plan], machine: Machine, compute: Compute, listener: Listener) -> Lab:
    """Load the backbone and prepare the data, once for all cells of plans that share a lab.

    Sets this process's arithmetic; `arithmetic.restored` around it takes that back.
    """
    suite = plans[0].suite  # as that of the others (`sharing_a_lab`)
    home = suites.of_backbone(suite.backbone)

    def load() -> Backbone:
        backbone = loading.load(suite.backbone, suite.weights, compute.device, suite.weights_preset)
        _prepare_towers(backbone.towers, machine, compute)
        return backbone

    with beginning_on(compute.device):
        arithmetic.settle(compute.device, home.threads if home else None)
        keeper = Keeper(load)
    data = provide_data(plans, listener)
    every = 60 * machine.checkpoint_minutes
    return Lab(
        keeper,
        data,
        compute,
        allotted.threads(machine.jobs) if machine.workers is None else machine.workers,
        machine.out,
        listener,
        checkpoint_seconds=every,
        augment=machine.augment,
        processes=machine.jobs,
        graphs=machine.graphs,
    )


def provide_data(plans: Sequence[Plan], listener: Listener) -> dict[str, ShardSet]:
    """All datasets of plans that share a lab; generated ones are written at first use.

    Raises:
        RunError: a file that cells still to be computed read is not the one of its index.
    """
    roots = {name: made.root for made in plans for name in made.datasets()}
    found = {name: store.provide(name, root, listener) for name, root in roots.items()}
    pending = (cell for made in plans for cell in made.pending())
    for name, splits in splits_read(pending).items():
        if name in found:
            found[name].check(sorted(splits), listener)
    return found


def _prepare_towers(towers: Towers, machine: Machine, compute: Compute) -> None:
    towers.class_chunk = machine.class_chunk
    if compute.dtype != torch.float32:
        towers.cast(compute.dtype)
    if machine.compile:
        towers.compile(lambda message: warnings.warn(message, stacklevel=2))

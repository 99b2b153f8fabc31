"""What all cells of a run share, loaded once."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from promptbench import backbones, suites
from promptbench.backbones import Backbone
from promptbench.data import store
from promptbench.data.loader import EVAL_BATCH
from promptbench.data.shards import ShardSet
from promptbench.lab import arithmetic
from promptbench.lab.compute import Compute
from promptbench.lab.keeper import Keeper
from promptbench.planning.extent import splits_read
from promptbench.planning.plan import Plan
from promptbench.planning.request import AugmentPlace, Request
from promptbench.towers import Towers
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

    @property
    def backbone(self) -> Backbone:
        """The backbone, as it was loaded: from the moment on that a cell changes it, a new one."""
        return self.keeper.backbone

    def release_memory(self) -> None:
        """Drop what the towers remember, and give back the GPU's memory that nothing holds.

        That of CUDA graphs, too; to be called between steps.
        """
        self.backbone.towers.forget()
        self.backbone.towers.release_compiled()
        gc.collect()
        if self.compute.device.type == "cuda":
            torch.cuda.empty_cache()


def open_lab(plans: Sequence[Plan], request: Request, compute: Compute, listener: Listener) -> Lab:
    """Load the backbone and prepare the data, once for all cells.

    Sets this process's arithmetic; `arithmetic.restored` around it takes that back.
    """
    suite, out = plans[0].suite, plans[0].out
    home = suites.of_backbone(suite.backbone)
    arithmetic.settle(compute.device, home.threads if home else None)

    def load() -> Backbone:
        backbone = backbones.load(suite.backbone, suite.weights, compute.device)
        _prepare_towers(backbone.towers, request, compute)
        return backbone

    keeper = Keeper(load)
    data = provide_data(plans, request, listener)
    every = 60 * request.checkpoint_minutes
    return Lab(
        keeper,
        data,
        compute,
        request.workers,
        out,
        listener,
        checkpoint_seconds=every,
        augment=request.augment,
    )


def provide_data(
    plans: Sequence[Plan], request: Request, listener: Listener
) -> dict[str, ShardSet]:
    """All datasets of the plans; generated ones are written at first use.

    Raises:
        RunError: a file that cells still to be computed read is not the one of its index.
    """
    named = dict.fromkeys(name for made in plans for name in made.datasets())
    found = {name: store.provide(name, request.root, listener) for name in named}
    pending = (cell for made in plans for cell in made.pending())
    for name, splits in splits_read(pending).items():
        if name in found:
            found[name].check(sorted(splits), listener)
    return found


def _prepare_towers(towers: Towers, request: Request, compute: Compute) -> None:
    towers.class_chunk = request.class_chunk
    if compute.dtype != torch.float32:
        towers.cast(compute.dtype)
    if request.compile:
        towers.compile(lambda message: warnings.warn(message, stacklevel=2))

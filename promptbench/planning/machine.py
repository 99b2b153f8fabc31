"""How a run is done here: device, processes, folders. It moves no number, precision apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptbench.core.registry import EXECUTORS, TRACKERS
from promptbench.errors import unknown
from promptbench.planning import given
from promptbench.planning.given import Reader

WandbMode = Literal["off", "offline", "online"]
AugmentPlace = Literal["auto", "host", "device"]
_MOST_THREADS = 1024  # that decode ahead: each has two batches in memory
# What each option is read as, whatever form it is given in.
READ: Mapping[str, Reader] = {
    **dict.fromkeys(("device", "precision", "augment", "on", "wandb", "address"), given.name),
    **dict.fromkeys(("compile", "graphs", "quiet", "retry_failed", "fill_cores"), given.flag),
    **dict.fromkeys(("class_chunk", "workers", "jobs", "per_gpu"), given.whole),
    "track": given.names,
    "plugin": given.paths,
    **dict.fromkeys(("out", "machine"), given.path),
    "checkpoint_minutes": given.real,
}


@dataclass(frozen=True)
class Machine:
    """The options of a run that say how this machine computes it, and what becomes of it there.

    Each is read by what it means (`promptbench.planning.given`); None is the default. Precision is
    the one that enters the ids of cells: numbers of different precisions are not the same.

    Args:
        device: auto, cpu, cuda or cuda:N.
        precision: auto, fp32, bf16 or fp16.
        compile: whether the towers are compiled.
        graphs: whether a GPU may replay training steps as CUDA graphs, to the same bits.
        class_chunk: class prompts whose activations a training step keeps; None: as memory allows.
        workers: threads that decode images ahead; None: as many as cores, shared by the processes
            of a machine (`promptbench.support.allotted.threads`).
        augment: where training images are cropped, to the same pixels: on the host, on the device,
            or (auto) where it is faster.
        jobs: how many processes compute cells at the same time; on other machines, how many
            workers.
        fill_cores: whether more processes compute where the models leave cores idle
            (`promptbench.running.filling`): so do commands unless they are told jobs, per_gpu or
            an executor. Python starts none by itself, since they import the main program again.
        per_gpu: processes for each GPU that a worker sees, or this process where it has no workers
            elsewhere; on a CPU, processes.
        on: the executor (`promptbench ls executors`); None: local, and processes for several jobs.
        machine: the profile of the machines that an executor computes on (planning/profiles).
        address: where an executor finds its engine, if it takes one.
        out: the folder of records.
        wandb: off, offline or online: short for the tracker of that name.
        track: trackers beside those of every run, each perhaps with a colon and an argument
            (wandb:online).
        quiet: whether nothing is shown while it runs.
        retry_failed: whether cells that failed before are tried again.
        checkpoint_minutes: between checkpoints within an epoch.
        plugin: files of plugins that are not installed; who makes requests registers them first
            (`promptbench.core.registry.add_files`).
    """

    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    graphs: bool = True
    class_chunk: int | None = None
    workers: int | None = None
    augment: AugmentPlace = "auto"
    jobs: int = 1
    fill_cores: bool = False
    per_gpu: int = 1
    on: str | None = None
    machine: Path | None = None
    address: str | None = None
    out: Path = Path("runs")
    wandb: WandbMode = "off"
    track: Sequence[str] = ()
    quiet: bool = False
    retry_failed: bool = False
    checkpoint_minutes: float = 5.0
    plugin: Sequence[Path] = ()

    def __post_init__(self) -> None:
        given.read(self, READ)
        given.check_choice("wandb", self.wandb, WandbMode)
        given.check_choice("augment", self.augment, AugmentPlace)
        given.check_bounds("class_chunk", self.class_chunk, 1)
        given.check_bounds("workers", self.workers, 0, _MOST_THREADS)
        given.check_bounds("jobs", self.jobs, 1)
        given.check_bounds("per_gpu", self.per_gpu, 1)
        given.check_bounds("checkpoint_minutes", self.checkpoint_minutes, 0)
        if self.on is not None and self.on not in EXECUTORS.names():
            raise unknown("executor", self.on, EXECUTORS.names(), "--on names one")
        for name in (entry.partition(":")[0] for entry in self.track):
            if name not in TRACKERS.names():
                raise unknown("tracker", name, TRACKERS.names())

    @property
    def trackers(self) -> tuple[str, ...]:
        """What is to be tracked with, `wandb` included, as `track` spells it."""
        return (*self.track, *([] if self.wandb == "off" else [f"wandb:{self.wandb}"]))

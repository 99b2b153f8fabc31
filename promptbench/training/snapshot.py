"""Where a training stands, on disk: after every epoch, and every few minutes within one.

Batches are a function of (seed, epoch, number), so that a snapshot holds no data order: what is
learned, the optimiser's state, the scaler's, the running average, the sums of the epoch underway
and the global random streams are everything. A training that goes on from one ends in the same
bits.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from promptbench.averaging import EpochAverage
from promptbench.backbones import torchscript
from promptbench.entering import enter, state_of
from promptbench.method import Method
from promptbench.progress import Reporter
from promptbench.seeding import host_state, restore_host
from promptbench.storage import integrity
from promptbench.storage.files import write_whole
from promptbench.training.origin import Code, difference

_PARTS = frozenset({"progress", "streams", "method", "optimizer", "scaler", "average"})
# What reading others' bytes raises; integrity.Damaged and torchscript.Refused are ValueErrors.
# A RuntimeError of torch is not among them: it may as well mean that memory was short.
_NOT_OURS = (ValueError, KeyError, IndexError, pickle.UnpicklingError, *torchscript.BROKEN)


@dataclass
class Progress:
    """How far a training has come: whole epochs, and steps with summed losses of the next one."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    losses: tuple[dict[str, float], ...] = ()
    sums: dict[str, float] = field(default_factory=dict)
    skipped: int = 0  # steps so far whose gradient overflowed float16

    def add_step(self, terms: Mapping[str, float]) -> None:
        self.step += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def end_epoch(self) -> dict[str, float]:
        """Count the epoch; its mean losses."""
        means = {name: total / self.step for name, total in self.sums.items()}
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        self.losses = (*self.losses, means)
        return means

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"epoch {self.epoch}"


class Snapshots:
    """The snapshot file of one training, and what is written into it.

    Args:
        every: seconds between two snapshots within an epoch.
        code: which code trains.
    """

    def __init__(
        self,
        path: Path,
        every: float,
        device: torch.device,
        method: Method,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        average: EpochAverage,
        code: Code,
    ) -> None:
        self._path, self._every, self._device = path, every, device
        self._method, self._optimizer, self._scaler = method, optimizer, scaler
        self._average, self._code = average, code
        self._streams: dict[str, Any] = {}
        self._saved = time.monotonic()
        self.last = "there is no checkpoint yet"

    def resume(self, state: Mapping[str, Any] | None) -> Progress:
        """Put everything where a snapshot left it; a beginning without one."""
        if state is None:
            return Progress()
        enter(self._method.load_state_dict, state["method"], strict=True)
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._average.sums = {k: v.to(self._device) for k, v in state["average"].items()}
        self._streams = _named(state["streams"])
        progress = Progress(**{**state["progress"], "losses": tuple(state["progress"]["losses"])})
        self._note(progress)
        return progress

    def restore_streams(self) -> None:
        """Set the global random streams to where they stood within the epoch, once."""
        if self._streams:
            torch.set_rng_state(self._streams["cpu"])
            if self._device.type == "cuda":
                torch.cuda.set_rng_state(self._streams["cuda"], self._device)
            if "host" in self._streams:
                restore_host(self._streams["host"])
        self._streams = {}

    def is_due(self) -> bool:
        """Whether the last snapshot is long enough ago; the wall clock has no say."""
        return time.monotonic() - self._saved >= self._every

    def save(self, progress: Progress) -> None:
        """Write a snapshot; the file is the old one or the new one at any moment."""
        file = io.BytesIO()
        torch.save(
            {
                "code": self._code,
                "progress": asdict(progress) | {"losses": list(progress.losses)},
                "streams": _streams(self._device) if progress.step else {},
                "method": state_of(self._method),
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._scaler.state_dict(),
                "average": self._average.sums,
            },
            file,
        )
        write_whole(self._path, integrity.sealed(file.getvalue()))
        self._note(progress)

    def _note(self, progress: Progress) -> None:
        self._saved = time.monotonic()
        self.last = f"the last good checkpoint is of {progress}: {self._path}"


def to_go_on_from(path: Path, label: str, code: Code, listener: Reporter) -> dict[str, Any] | None:
    """The snapshot in a file, if `code` has made it; None without one.

    The listener hears of one that other code has made, by the training's `label`.
    """
    state = read(path, listener)
    other = None if state is None else difference(state.get("code"), code)
    if state is None or other is None:
        return state
    came = Progress(**{**state["progress"], "losses": ()})
    listener.message(
        f"{label}: its checkpoint (of {came}) was made by other code ({other}), so the training "
        "starts from the beginning"
    )
    return None


def read(path: Path, listener: Reporter) -> dict[str, Any] | None:
    """The snapshot in a file; None without one. A damaged one is moved aside, as is one that this
    module has not written: a seal says that bytes are whole, not whose they are."""
    if not path.is_file():
        return None
    try:
        data = integrity.unsealed(path.read_bytes())
        torchscript.check(io.BytesIO(data), len(data))
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= _PARTS:
            raise integrity.Damaged("it is not a checkpoint of a training")
    except _NOT_OURS as error:
        integrity.set_aside(path, str(error).partition("\n")[0], listener)
        return None
    return state


def _named(streams: Any) -> dict[str, Any]:
    """Streams by name; snapshots of before held a list of torch's own."""
    if isinstance(streams, dict):
        return streams
    return dict(zip(("cpu", "cuda"), streams, strict=False))


def _streams(device: torch.device) -> dict[str, Any]:
    found = {"cpu": torch.get_rng_state(), "host": host_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found

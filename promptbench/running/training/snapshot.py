"""Where a training stands, on disk: after every epoch, and every few minutes within one.

Batches are a function of (seed, epoch, number), so that a snapshot holds no data order: what is
learned, the optimiser's state, the scaler's, the running average, what the selection rule has
noted, the sums of the epoch underway, the global random streams and how many class prompts are held
at a time are everything. A training that goes on from one ends in the same bits.

The code that a training was made by is noted beside it, since only the same code goes on with it:
half a training by one code and half by another is neither's, and a finished one does not become the
result of code that came later.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from promptbench.core import source_code
from promptbench.core.averaging import EpochAverage
from promptbench.core.method import Method
from promptbench.core.registry import Plugin
from promptbench.core.selection import Selection
from promptbench.isolation.entering import enter, state_of
from promptbench.models.backbones import archives
from promptbench.planning.cells import Cell
from promptbench.running.lab import Lab
from promptbench.running.training.choosing import Rules
from promptbench.running.training.step import Stepper, refuse_broken
from promptbench.storage import integrity
from promptbench.storage.files import write_whole
from promptbench.support import version
from promptbench.support.progress import Reporter
from promptbench.support.prose import counted
from promptbench.support.seeding import host_state, restore_host

_PARTS = frozenset({"progress", "streams", "method", "optimizer", "scaler", "average"})
# What reading others' bytes raises, integrity.Damaged and RefusedArchive among them (ValueErrors).
# A RuntimeError of torch is not among them: it may as well mean that memory was short.
_NOT_OURS = (ValueError, KeyError, IndexError, pickle.UnpicklingError, *archives.BROKEN)

Code = dict[str, str | None]


@dataclass
class Progress:
    """How far a training has come: whole epochs, and steps with summed losses of the next one.

    `stage` is the one that was begun last; 0 before the first.
    """

    epoch: int = 0
    step: int = 0
    stage: int = 0
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
    """The snapshot file of one training by `code`, and what is written into it."""

    def __init__(
        self,
        path: Path,
        lab: Lab,
        code: Code,
        method: Method,
        stepper: Stepper,
        average: EpochAverage,
        rules: Rules,
        label: str,
    ) -> None:
        self._path, self._lab, self._code, self._label = path, lab, code, label
        self._method, self._stepper = method, stepper
        self._average, self._rules = average, rules
        self._streams: dict[str, Any] = {}
        self._saved = time.monotonic()
        self.last = "no checkpoint exists yet"
        self.restart_clock()

    def resume(self, state: Mapping[str, Any] | None) -> Progress:
        """Put everything where a snapshot left it; a beginning without one."""
        if state is None:
            return Progress()
        device = self._lab.compute.device
        enter(self._method.load_state_dict, state["method"], strict=True)
        self._stepper.optimizer.load_state_dict(state["optimizer"])
        self._stepper.scaler.load_state_dict(state["scaler"])
        self._average.sums = {k: v.to(device) for k, v in state["average"].items()}
        self._rules.go_on(state["selection"])
        self._go_on_in(state.get("class_chunk"))
        self._streams = _named(state["streams"])
        progress = Progress(**{**state["progress"], "losses": tuple(state["progress"]["losses"])})
        self._note(progress)
        return progress

    def _go_on_in(self, chunk: int | None) -> None:
        """Hold as many class prompts at a time as before, on which last bits depend; fewer where
        memory, or who asks, wants fewer, which the record then says."""
        towers = self._lab.backbone.towers
        towers.go_on_in(chunk)
        if (now := towers.chunk_in_use) != chunk:
            assert now is not None, "it is less than before"
            before = "all" if chunk is None else chunk
            self._lab.listener.message(
                f"{self._label}: goes on with {counted(now, 'class prompt')} at a time, with "
                f"{before} before"
            )

    def restore_streams(self) -> None:
        """Set the global random streams to where they stood within the epoch, once."""
        device = self._lab.compute.device
        if self._streams:
            torch.set_rng_state(self._streams["cpu"])
            if device.type == "cuda":
                torch.cuda.set_rng_state(self._streams["cuda"], device)
            if "host" in self._streams:
                restore_host(self._streams["host"])
        self._streams = {}

    def is_due(self) -> bool:
        """Whether the last snapshot is long enough ago; the wall clock has no say."""
        return time.monotonic() - self._saved >= self._lab.checkpoint_seconds

    def restart_clock(self) -> None:
        """Leave the time since the last snapshot out of the training's seconds."""
        self._clock = time.perf_counter()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the time of the block out of the training's seconds."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._clock += time.perf_counter() - began

    def save(self, progress: Progress) -> None:
        """Write a snapshot; the file is the old one or the new one at any moment.

        Raises:
            UserError: what it would hold is of no use: a parameter is not finite, a method has
                changed the towers, or a selection rule has noted what a file cannot hold.
            LeaseLost: another worker has taken the training over.
        """
        now = time.perf_counter()
        progress.seconds += now - self._clock
        self._clock = now
        refuse_broken(self._method, f"after {progress}", self.last)
        self._lab.vouch_for_now()
        file = io.BytesIO()
        torch.save(
            {
                "code": self._code,
                "progress": asdict(progress) | {"losses": list(progress.losses)},
                "streams": _streams(self._lab.compute.device) if progress.step else {},
                "method": state_of(self._method),
                "optimizer": self._stepper.optimizer.state_dict(),
                "scaler": self._stepper.scaler.state_dict(),
                "average": self._average.sums,
                "selection": self._rules.noted(),
                "class_chunk": self._lab.backbone.towers.chunk_in_use,
            },
            file,
        )
        write_whole(self._path, integrity.sealed(file.getvalue()))
        self._note(progress)

    def _note(self, progress: Progress) -> None:
        self._saved = time.monotonic()
        self.last = f"the last good checkpoint is of {progress}: {self._path}"


def code_of(cell: Cell, rule: Plugin[Selection] | None = None) -> Code:
    """The code of now: promptbench's version, the hashes of the sources of the method, of the
    selection rule (the cell's, or another) and of those that train it."""
    return {
        "promptbench": version.__version__,
        "method": cell.method.source_sha256,
        "selection": (rule or cell.selection).source_sha256,
        "training": source_code.of_training(),
    }


def difference(made_by: Any, now: Code) -> str | None:
    """What differs between the code that made a training and that of now; None if nothing does.

    A version of another name whose sources are the same is the same code.
    """
    if not isinstance(made_by, dict):
        return "it does not say by which"
    if made_by.get("method") != now["method"]:
        return "the method's module, what it imports or its gin file was changed since"
    if made_by.get("selection") != now["selection"]:
        return "the selection rule's module or what it imports was changed since"
    if made_by.get("training") != now["training"]:
        return f"it was promptbench {made_by.get('promptbench')} with other sources for training"
    return None


def to_go_on_from(
    path: Path,
    label: str,
    code: Code,
    listener: Reporter,
    rules: Sequence[Plugin[Selection]] = (),
) -> dict[str, Any] | None:
    """The snapshot in a file, if `code` has made it and all `rules` have looked on; None without.

    The listener hears of one that other code has made, by the training's `label`.
    """
    state = read(path, listener)
    if state is None:
        return None
    made_by = state.get("code")
    if isinstance(made_by, dict):  # of its rules each is compared by itself
        made_by = {**made_by, "selection": code["selection"]}
    other = difference(made_by, code) or _unseen(state, rules)
    if other is None:
        return state
    came = Progress(**{**state["progress"], "losses": ()})
    listener.message(
        f"{label}: its checkpoint (of {came}) was made by other code ({other}), so the training "
        "starts from the beginning"
    )
    return None


def _unseen(state: Mapping[str, Any], rules: Sequence[Plugin[Selection]]) -> str | None:
    """Why a snapshot is of no use to rules: they did not look on, or were others; None if it is."""
    noted = state["selection"].get("rules", {})
    for rule in rules:
        if rule.name not in noted:
            return f"the selection rule {rule.name} did not look on"
        if noted[rule.name]["source"] != rule.source_sha256:
            return f"the selection rule {rule.name} or what it imports was changed since"
    return None


def stage_in(state: Mapping[str, Any] | None) -> int:
    """The stage that a snapshot was taken in; 0 without one."""
    return 0 if state is None else int(state["progress"]["stage"])


def read(path: Path, listener: Reporter) -> dict[str, Any] | None:
    """The snapshot in a file; None without one. A damaged one is moved aside, as is one that this
    module has not written: a seal says that bytes are whole, not whose they are."""
    if not path.is_file():
        return None
    try:
        data = integrity.unsealed(path.read_bytes())
        archives.check(io.BytesIO(data), len(data))
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

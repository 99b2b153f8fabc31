"""What a user asks for: the options of `promptbench run`, checked before anything heavy starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from promptbench import registry, suites
from promptbench.errors import UserError, near_miss, unknown
from promptbench.planning import given
from promptbench.registry import METHODS, PROTOCOLS, TRACKERS
from promptbench.safe_text import shortened
from promptbench.storage.reading import LARGEST
from promptbench.suites import Suite

Preset = Literal["paper", "unified"]
InferenceName = Literal["auto", "unified", "decoupled"]
WandbMode = Literal["off", "offline", "online"]
AugmentPlace = Literal["auto", "host", "device"]
# What each option is read as, whatever form it is given in.
_READ: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("methods", "datasets", "track"), given.names),
    **dict.fromkeys(("shots", "seeds"), given.numbers),
    **dict.fromkeys(("protocol", "suite", "data", "backbone", "weights", "preset"), given.text),
    **dict.fromkeys(("inference", "title", "device", "precision", "augment", "wandb"), given.text),
    **dict.fromkeys(("gin", "plugin"), given.paths),
    **dict.fromkeys(("compile", "baseline", "quiet", "retry_failed"), given.flag),
    **dict.fromkeys(("class_chunk", "workers", "limit", "jobs"), given.whole),
    "set": given.bindings,
    "out": given.path,
    "checkpoint_minutes": given.real,
}
_LEAST = (
    ("limit", 1),
    ("class_chunk", 1),
    ("workers", 0),
    ("jobs", 1),
    ("checkpoint_minutes", 0),
)
BASELINE = "zeroshot"
EVERY = "all"


@dataclass
class Request:
    """Options of a run; None means the suite's default.

    Each is read by what it means (`promptbench.planning.given`): where several names, numbers,
    paths or bindings may stand, one is taken as one. Several `shots` are as many trainings.
    The method "all" stands for every method that fits the protocol; `plugin` names files of methods
    that are not installed. Inference "auto" scores every method by its unified rule and, from the
    same training, those whose paper uses split knowledge by that as well (marked in every table).
    `title` is what a grid calls the rows of these settings in the run's own table; records do not
    hold it. `baseline` adds the zero-shot row that every table carries. `limit` scores only the
    first N images of each target and marks the records. `class_chunk` bounds the class prompts
    whose activations a training step keeps; None: as memory allows. `augment` says where training
    images are cropped, to the same pixels: on the host, on the device, or where it is faster.
    `jobs` processes compute cells at the same time; `retry_failed` tries cells again that failed
    before, which are left alone otherwise. `track` names trackers beside those of every run, each
    perhaps with a colon and an argument (wandb:online); `wandb` is short for one.
    """

    methods: Sequence[str]
    protocol: str
    suite: str | None = None
    data: Path | str | None = None
    backbone: str | None = None
    weights: str | None = None
    datasets: Sequence[str] | None = None
    shots: Sequence[int] | None = None
    seeds: Sequence[int] | None = None
    preset: Preset = "paper"
    inference: InferenceName = "auto"
    gin: Sequence[Path | str] = ()
    set: Sequence[str] = ()
    title: str = ""
    plugin: Sequence[Path | str] = ()
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    class_chunk: int | None = None
    workers: int = 2
    augment: AugmentPlace = "auto"
    limit: int | None = None
    out: Path | str = Path("runs")
    wandb: WandbMode = "off"
    track: Sequence[str] = ()
    baseline: bool = True
    quiet: bool = False
    jobs: int = 1
    retry_failed: bool = False
    checkpoint_minutes: float = 5.0
    root: Path | None = field(init=False, default=None)
    every: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        for option in fields(self):
            if option.init:
                self._read(option.name, option.default)
        for path in self.plugin:
            registry.add_file(Path(path))
        self.methods = list(dict.fromkeys(self.methods))
        if EVERY in self.methods:
            self.methods, self.every = METHODS.names(), True
        self._resolve_root()
        self._check()

    def _read(self, name: str, default: Any) -> None:
        """Read an option as what it means; None is its default."""
        value = getattr(self, name)
        if value is None and default is not MISSING:
            setattr(self, name, default)
        else:
            setattr(self, name, _READ[name](name.replace("methods", "method"), value))

    def _resolve_root(self) -> None:
        given = self.data or os.environ.get("PROMPTBENCH_DATA")
        self.root = Path(given).expanduser() if given else None
        if self.suite is None:
            self.suite = suites.usual(self.backbone, self.root is not None)
        if self.root is not None and not self.root.is_dir():
            origin = "--data" if self.data else "PROMPTBENCH_DATA"
            raise UserError(f"the data root {self.root} ({origin}) is not a folder")

    def _check(self) -> None:
        if not self.methods:
            raise UserError(f"no method given; known: all, {', '.join(METHODS.names())}")
        for name in self.methods:
            if name not in METHODS.names():
                remedy = "name its file with --plugin" if name.endswith(".py") else ""
                raise unknown("method", name, [*METHODS.names(), EVERY], remedy)
        if self.protocol not in PROTOCOLS.names():
            raise unknown("protocol", self.protocol, PROTOCOLS.names())
        for option, kind in (
            ("preset", Preset),
            ("inference", InferenceName),
            ("wandb", WandbMode),
            ("augment", AugmentPlace),
        ):
            value = getattr(self, option)
            if value not in get_args(kind):
                raise UserError(
                    f"unknown {option} {value!r}; {near_miss(str(value), get_args(kind))}"
                )
        for option, least in _LEAST:
            value = getattr(self, option)
            if value is not None and not least <= value <= LARGEST:  # nan is neither
                flag = option.replace("_", "-")
                bound = f"most {LARGEST}" if value > LARGEST else f"least {least}"
                raise UserError(f"--{flag} must be at {bound}, not {shortened(str(value))}")
        for option, least in (("seeds", 0), ("shots", 1)):
            numbers = getattr(self, option)
            if numbers is not None and not (numbers and least <= min(numbers)):
                shown = ",".join(map(str, numbers)) or "none"
                raise UserError(
                    f"--{option} must be numbers from {least} on, such as 1,2,4, not "
                    f"{shortened(shown)}"
                )
            if numbers is not None and max(numbers) > LARGEST:
                raise UserError(f"--{option} must be at most {LARGEST}, of 64 bits")
        for name in (entry.partition(":")[0] for entry in self.track):
            if name not in TRACKERS.names():
                raise unknown("tracker", name, TRACKERS.names())
        if self.wandb != "off":
            self.track = [*self.track, f"wandb:{self.wandb}"]
        if self.datasets is not None and not self.datasets:
            raise UserError("--datasets names none; leave it away for all of the protocol's")
        for path in self.gin:
            if not Path(path).exists() or Path(path).is_dir():
                problem = "is a folder" if Path(path).is_dir() else "does not exist"
                raise UserError(f"the gin file {path} {problem}")
        for binding in self.set:
            if "=" not in binding or "." not in binding.partition("=")[0]:
                raise UserError(f"--set {binding!r} is not of the form Name.parameter=value")

    def resolved_suite(self) -> Suite:
        """The suite, with the request's backbone, weights and seeds in place of its own."""
        suite = suites.load(self.suite or "demo")
        home = suites.of_backbone(self.backbone) if self.backbone else None
        if self.backbone and home is None and self.weights is None:
            from promptbench import (
                backbones,  # open_clip takes seconds: only on the way to an error
            )

            backbones.architecture(self.backbone)
            raise UserError(
                f"--backbone {self.backbone} needs --weights: a tag of open_clip's registry "
                "(openai, laion2b_s34b_b88k, ...) or the path of a checkpoint"
            )
        changes = {
            "backbone": self.backbone,
            "weights": self.weights or (home.weights if home else None),
            "seeds": list(dict.fromkeys(self.seeds)) if self.seeds else None,
        }
        return suite.model_copy(update={k: v for k, v in changes.items() if v is not None})

"""What a user asks for: the options of `promptbench run`, checked before anything heavy starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from promptbench import suites
from promptbench.errors import UserError, near_miss, unknown
from promptbench.registry import METHODS, PROTOCOLS
from promptbench.suites import Suite

Preset = Literal["paper", "unified"]
InferenceName = Literal["auto", "unified", "decoupled"]
WandbMode = Literal["off", "offline", "online"]
AugmentPlace = Literal["auto", "host", "device"]
_LEAST = (
    ("shots", 1),
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

    The method "all" stands for every method that fits the protocol; `plugin` names files of methods
    that are not installed. Inference "auto" scores every method by its unified rule and, from the
    same training, those whose paper uses split knowledge by that as well (marked in every table).
    `title` names the rows of these methods in the run's table; "" leaves their own names.
    `baseline` adds the zero-shot row that every table carries. `limit` scores only the first N
    images of each target and marks the records. `class_chunk` bounds the class prompts whose
    activations a training step keeps; None: as memory allows. `augment` says where training images
    are cropped, to the same pixels: on the host, on the device, or where it is faster. `jobs`
    processes compute cells at the same time; `retry_failed` tries cells again that failed before,
    which are left alone otherwise.
    """

    methods: Sequence[str]
    protocol: str
    suite: str | None = None
    data: Path | str | None = None
    backbone: str | None = None
    weights: str | None = None
    datasets: Sequence[str] | None = None
    shots: int | None = None
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
    baseline: bool = True
    quiet: bool = False
    jobs: int = 1
    retry_failed: bool = False
    checkpoint_minutes: float = 5.0
    root: Path | None = field(init=False, default=None)
    every: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        for path in self.plugin:
            METHODS.add_file(Path(path))
        self.methods = list(dict.fromkeys(name.strip() for name in self.methods if name.strip()))
        if EVERY in self.methods:
            self.methods, self.every = METHODS.names(), True
        self.out = Path(self.out)
        self._resolve_root()
        self._check()

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
            if value is not None and not value >= least:  # nan is neither
                flag = option.replace("_", "-")
                raise UserError(f"--{flag} must be at least {least}, not {value}")
        if self.seeds is not None and (not self.seeds or min(self.seeds) < 0):
            raise UserError("--seeds must be numbers from 0 on, such as 1,2,3")
        if self.datasets is not None and not self.datasets:
            raise UserError("--datasets names none; leave it away for all of the protocol's")
        for path in self.gin:
            if not Path(path).is_file():
                problem = "is a folder" if Path(path).is_dir() else "does not exist"
                raise UserError(f"the gin file {path} {problem}")
        for binding in self.set:
            if "=" not in binding or "." not in binding.partition("=")[0]:
                raise UserError(f"--set {binding!r} is not of the form Name.parameter=value")

    def resolved_suite(self) -> Suite:
        """The suite, with the request's backbone, weights, shots and seeds in place of its own."""
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
            "shots": self.shots,
            "seeds": list(dict.fromkeys(self.seeds)) if self.seeds else None,
        }
        return suite.model_copy(update={k: v for k, v in changes.items() if v is not None})

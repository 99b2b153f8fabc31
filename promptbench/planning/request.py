"""What a user asks for: all that determines the numbers of a run, checked before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from promptbench.config import suites
from promptbench.config.suites import Suite
from promptbench.core.registry import METHODS, PROTOCOLS, SELECTIONS
from promptbench.errors import UserError, unknown
from promptbench.planning import given, searched
from promptbench.planning.given import Reader
from promptbench.records.tuning import TRIAL, is_tuned
from promptbench.storage.reading import LARGEST
from promptbench.support.safe_text import shortened

Preset = Literal["paper", "unified"]
InferenceName = Literal["auto", "unified", "decoupled"]
# What each option is read as, whatever form it is given in.
READ: Mapping[str, Reader] = {
    **dict.fromkeys(("methods", "datasets", "select"), given.names),
    **dict.fromkeys(("shots", "seeds"), given.numbers),
    **dict.fromkeys(("protocol", "suite", "backbone", "preset", "inference"), given.name),
    **dict.fromkeys(("data", "weights", "title", "chosen"), given.text),
    "gin": given.paths,
    "class_texts": given.files_of_datasets,
    **dict.fromkeys(("set", "swept"), given.bindings),
    "limit": given.whole,
    **dict.fromkeys(("baseline", "trial"), given.flag),
}
BASELINE = "zeroshot"
EVERY = "all"


@dataclass(frozen=True)
class Request:
    """What is to be computed: the options of a run that determine its numbers.

    Each is read by what it means (`promptbench.planning.given`): where several names, numbers,
    paths or bindings may stand, one is taken as one, and what is named twice counts once. None is
    the suite's default. How it is computed is the other half, `promptbench.planning.machine`.

    Args:
        methods: their names; "all" stands for every method that fits the protocol.
        protocol: its name.
        suite: demo or clip; None: demo while neither a data root nor a real backbone is given.
        data: the data root with prepared shards; also PROMPTBENCH_DATA.
        backbone: an architecture of open_clip, or a preset of published weights (remoteclip).
        weights: a pretrained tag of open_clip, or the path of a checkpoint.
        datasets: only these.
        shots: training images per class; several are as many trainings.
        seeds: a training for each.
        preset: paper or unified settings.
        inference: unified, decoupled, or auto: every method by its unified rule and, from the same
            training, those whose paper uses split knowledge by that as well (marked in tables).
        select: which of a training's states is scored (`promptbench ls selections`), each rule a
            record of its own from one training; None: the protocol's rule.
        gin: files of settings, read after all others.
        set: bindings such as "Recipe.epochs=5", which win over every file.
        swept: those of them that a sweep (`promptbench.planning.sweeps`) made.
        class_texts: files of sentences per class (`promptbench.data.class_texts`): one for every
            dataset, or a folder with a DATASET.json for each, and "DATASET=FILE" for single ones;
            from Python also {dataset: file}. A dataset that none is for has that of its card.
        title: what a grid calls the rows of these settings in the run's own table; records do not
            hold it.
        limit: score only the first N images of each target, and mark the records.
        baseline: add the zero-shot row that every table carries.
        trial: only train and measure on validation images; nothing is scored.
        chosen: what a search has chosen of each method and source, as
            `promptbench.planning.searched` writes it; the preset is then called after its budget.
    """

    methods: Sequence[str]
    protocol: str
    suite: str | None = None
    data: str | Path | None = None
    backbone: str | None = None
    weights: str | None = None
    datasets: Sequence[str] | None = None
    shots: Sequence[int] | None = None
    seeds: Sequence[int] | None = None
    preset: str = "paper"
    inference: InferenceName = "auto"
    select: Sequence[str] | None = None
    gin: Sequence[Path] = ()
    set: Sequence[str] = ()
    swept: Sequence[str] = ()
    class_texts: Sequence[str] = ()
    title: str = ""
    limit: int | None = None
    baseline: bool = True
    trial: bool = False
    chosen: str = ""
    root: Path | None = field(init=False, default=None)
    every: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        given.read(self, READ)
        for option in ("methods", "datasets", "shots", "seeds", "select"):
            if (several := getattr(self, option)) is not None:
                self._settle(option, tuple(dict.fromkeys(several)))
        if EVERY in self.methods:
            self._settle("methods", tuple(METHODS.names()))
            self._settle("every", True)
        self._resolve_root()
        self._check()

    def _settle(self, option: str, value: object) -> None:
        object.__setattr__(self, option, value)

    def _resolve_root(self) -> None:
        named = self.data or os.environ.get("PROMPTBENCH_DATA")
        self._settle("root", Path(named).expanduser() if named else None)
        if self.suite is None:
            self._settle("suite", suites.usual(self.backbone, self.root is not None))
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
        for name in self.select or ():
            if name not in SELECTIONS.names():
                remedy = "name its file with --plugin" if name.endswith(".py") else ""
                raise unknown(SELECTIONS.kind, name, SELECTIONS.names(), remedy)
        self._check_preset()
        given.check_choice("inference", self.inference, InferenceName)
        given.check_bounds("limit", self.limit, 1)
        self._check_numbers()
        if self.datasets is not None and not self.datasets:
            raise UserError("--datasets names none; leave it out for all of the protocol's")
        if self.select is not None and not self.select:
            raise UserError("--select names no rule; leave it out for the protocol's")
        for path in self.gin:
            if not path.exists() or path.is_dir():
                problem = "is a folder" if path.is_dir() else "does not exist"
                raise UserError(f"the gin file {path} {problem}")
        for binding in self.set:
            if "=" not in binding or "." not in binding.partition("=")[0]:
                raise UserError(f"--set {binding!r} is not of the form Name.parameter=value")

    def _check_preset(self) -> None:
        if self.chosen:
            searched.check(self.chosen, self.preset)
        elif is_tuned(self.preset):
            raise UserError(
                f"the preset {self.preset} is what a search chooses: `promptbench tune` computes it"
            )
        else:
            given.check_choice("preset", self.preset, Preset)

    def _check_numbers(self) -> None:
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

    @property
    def recorded_preset(self) -> str:
        """What records call the preset: trials have one of their own."""
        return TRIAL if self.trial else self.preset

    def resolved_suite(self) -> Suite:
        """The suite, with the request's backbone, weights and seeds in place of its own."""
        suite = suites.load(self.suite or "demo")
        home = suites.of_backbone(self.backbone) if self.backbone else None
        changes = {
            "backbone": self.backbone,
            "weights": self.weights or (home.weights if home else None),
            "seeds": list(self.seeds) if self.seeds else None,
        }
        if self.backbone and home is None:
            changes |= _elsewhere(self.backbone, self.weights)
        return suite.model_copy(update={k: v for k, v in changes.items() if v is not None})


def _elsewhere(backbone: str, weights: str | None) -> dict[str, str]:
    """What a backbone that no suite has changes of a suite: a preset stands for an architecture.

    Raises:
        UserError: weights are needed and not named, or are not those of the preset.
    """
    from promptbench.models import backbones  # suites' own backbones need none of it

    if backbones.is_preset(backbone):
        found = backbones.resolved(backbone, weights)
        return {
            "backbone": found.backbone,
            "weights": found.weights,
            "weights_preset": found.preset,
        }
    backbones.refuse_unknown(backbone)
    if weights is None:
        backbones.architecture(backbone)
        raise UserError(
            f"--backbone {backbone} needs --weights: a tag of open_clip's registry "
            "(openai, laion2b_s34b_b88k, ...) or the path of a checkpoint"
        )
    return {}

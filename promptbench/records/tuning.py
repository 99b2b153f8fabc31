"""What a record says of the search that its settings were chosen by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from promptbench.storage.reading import LARGEST

TRIAL = "trial"  # the preset of a trial, which scores no test image
FOLDER = "tuning-trials"  # where trials lie, beside the records of their method
RULE = "highest mean validation accuracy over seeds, the earliest of equals"
ENGINE = "Sobol points behind the method's own setting"
_Number = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]


class Trial(TypedDict):
    """One trial: its values, the mean validation accuracy over seeds in percent, None where its
    training diverged, and the ids of its cells, by seed."""

    values: dict[str, Any]
    validation: float | None
    cells: list[str]


class TuningInfo(BaseModel):
    """The search of one method on one source: a budget of trials, each trained on the source and
    measured on its validation images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: _Number = Field(description="trials, of which the first is the method's own setting")
    rule: str = Field(description="by which a trial is chosen")
    engine: str = Field(description="what the trials were drawn by")
    space: dict[str, Any] = Field(description="the distribution of each parameter")
    space_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the space as JSON")
    seeds: list[Annotated[int, Field(strict=True, ge=0, le=LARGEST)]] = Field(min_length=1)
    chosen: _Number = Field(description="the number of the trial, from 1")
    trials: list[Trial] = Field(min_length=1)

    @property
    def preset(self) -> str:
        """The preset that the choice is called."""
        return preset_of(self.budget)

    @property
    def values(self) -> dict[str, Any]:
        """The chosen values, by the names of parameters."""
        return self.trials[self.chosen - 1]["values"]

    @property
    def facts(self) -> list[Any]:
        """What an id depends on, beside the settings that were chosen."""
        return [self.rule, self.engine, self.space_sha256, self.seeds]


def preset_of(budget: int) -> str:
    """What settings that a budget has chosen are called."""
    return f"tuned-{budget}"


def is_tuned(preset: str) -> bool:
    """Whether a preset is called like one that a budget has chosen."""
    name, _, budget = preset.partition("-")
    return name == "tuned" and budget.isascii() and budget.isdigit()


def best(validation: Sequence[float | None]) -> int | None:
    """The number, from 1, of the first trial with the highest accuracy; None if none has one."""
    known = [value for value in validation if value is not None]
    return validation.index(max(known)) + 1 if known else None


def digest(space: Mapping[str, Any]) -> str:
    """The hash of a space as data."""
    return hashlib.sha256(json.dumps(space, sort_keys=True).encode()).hexdigest()


def problem(preset: str, info: TuningInfo | None) -> str | None:
    """What cannot be true of a preset and the search beside it; None if all can."""
    if info is None:
        return f"the preset {preset!r} has no search" if is_tuned(preset) else None
    if preset != info.preset:
        return f"the preset is {preset!r}, the search has chosen {info.preset!r}"
    if len(info.trials) != info.budget:
        return f"a search of {info.budget} trials lists {len(info.trials)}"
    if digest(info.space) != info.space_sha256:
        return "the hash of the search space is not that of the space"
    if info.rule == RULE and best([each["validation"] for each in info.trials]) != info.chosen:
        return f"trial {info.chosen} is not the one with the {RULE}"
    return None

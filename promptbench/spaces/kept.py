"""What searches have chosen of the settings that a suite's backbone needs, kept beside these.

`promptbench.tuning.overlay` searches and writes two files beside a method's `<method>.gin`, which
was written by hand: `<method>.search.json` holds all trials of each protocol with their validation
accuracies, and `<method>.searched.gin` the values that follow from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from promptbench.config import suites
from promptbench.config.suites import Suite
from promptbench.errors import UserError, first_problem
from promptbench.records.tuning import best, digest
from promptbench.storage import reading
from promptbench.storage.files import write_whole

RULE = "highest mean validation accuracy over sources and seeds, the earliest of equals"
_MOST_BYTES = 2**22
_HEAD = """\
# What a search has chosen for {backbone}, over {method}.gin; {method}.search.json holds its trials.
# Written by python -m promptbench.tuning.overlay: search again instead of changing it here.
"""


class KeptTrial(BaseModel):
    """A trial: its values, its validation accuracy in percent on each source as a mean over seeds,
    None where a training diverged, and the ids of its cells."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: dict[str, Any]
    validation: dict[str, float | None] = Field(min_length=1)
    cells: list[str]

    @property
    def mean(self) -> float | None:
        """The mean over sources; None if a training diverged on any."""
        known = [value for value in self.validation.values() if value is not None]
        return fmean(known) if len(known) == len(self.validation) else None


class KeptSearch(BaseModel):
    """The search of a method under one protocol, over all sources of the suite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: Annotated[int, Field(strict=True, ge=1)]
    rule: str
    engine: str
    seeds: list[int] = Field(min_length=1)
    space: dict[str, Any]
    space_sha256: str
    chosen: Annotated[int, Field(strict=True, ge=1)]
    trials: list[KeptTrial] = Field(min_length=1)

    @property
    def place(self) -> str:
        """Which trial was chosen of how many, in words."""
        seeds = ", ".join(map(str, self.seeds))
        many = "s" * (len(self.seeds) > 1)
        own = ", the setting by hand," if self.chosen == 1 else ""
        return f"trial {self.chosen}{own} of {self.budget}, seed{many} {seeds}"

    @property
    def values(self) -> dict[str, Any]:
        """The values to bind: none of the first trial, which is what is bound by hand."""
        return {} if self.chosen == 1 else self.trials[self.chosen - 1].values

    def problem(self) -> str | None:
        """What cannot be true of it; None if all can."""
        if len(self.trials) != self.budget:
            return f"a search of {self.budget} trials lists {len(self.trials)}"
        if digest(self.space) != self.space_sha256:
            return "the hash of the search space is not that of the space"
        if any(set(trial.validation) != set(self.trials[0].validation) for trial in self.trials):
            return "its trials were not measured on the same sources"
        if best([trial.mean for trial in self.trials]) != self.chosen:
            return f"trial {self.chosen} is not the one with the {self.rule}"
        return None


Searches = Mapping[str, KeptSearch]  # by protocol


class _File(RootModel[dict[str, KeptSearch]]):
    pass


def read(suite: Suite, method: str) -> Searches:
    """The searches behind a method's settings on the backbone of a suite, by protocol.

    Raises:
        UserError: the file cannot be read, or its choice does not follow from its trials.
    """
    path = suite.overlay_file(method, suites.SEARCH)
    return {} if path is None else read_file(path)


def read_file(path: Path) -> Searches:
    """The searches of a file; raises as `read`."""
    text = reading.read_text(path, _MOST_BYTES, "the search")
    try:
        found = _File.model_validate_json(text).root
    except ValidationError as error:
        raise UserError(f"{path.name}: {first_problem(error, 'it')}") from error
    for protocol, search in found.items():
        if (wrong := search.problem()) is not None:
            raise UserError(f"{path.name}, {protocol}: {wrong}")
    return found


def write(folder: Path, method: str, backbone: str, searches: Searches) -> list[Path]:
    """Write both files of a method into a folder; returns their paths."""
    ordered = {protocol: searches[protocol] for protocol in sorted(searches)}
    written = {
        suites.SEARCH: _File(ordered).model_dump_json(indent=1) + "\n",
        suites.SEARCHED: gin_text(method, backbone, ordered),
    }
    for suffix, text in written.items():
        write_whole(folder / f"{method}{suffix}", text.encode())
    return [folder / f"{method}{suffix}" for suffix in written]


def gin_text(method: str, backbone: str, searches: Searches) -> str:
    """What searches have chosen, as gin bindings, each within its protocol's scope."""
    found = _HEAD.format(method=method, backbone=backbone)
    for protocol, search in searches.items():
        sources = ", ".join(search.trials[0].validation)
        found += f"\n# {protocol}: {search.place}\n# on {sources}\n"
        found += "".join(f"{protocol}/{name} = {v!r}\n" for name, v in search.values.items())
    return found


def origin(suite: Suite, method: str) -> str | None:
    """Where a method's settings on the backbone of a suite come from, in words; None where it has
    none but its own."""
    found = read(suite, method)
    by_hand = suite.overlay_file(method) is not None
    if not found:
        return "by hand" if by_hand else None
    parts = [f"{protocol}: by search ({search.place})" for protocol, search in found.items()]
    return "; ".join([*parts, "elsewhere: by hand" if by_hand else "elsewhere: the method's own"])

"""Writing to Weights & Biases: starting a run, epochs, and all that a record says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from promptbench import records
from promptbench.core.course import Course
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError, first_problem
from promptbench.tracking import wandb_facts
from promptbench.tracking.facts import PROJECT, RunFacts
from promptbench.tracking.listener import Epoch

if TYPE_CHECKING:
    from promptbench.records import Record

Mode = Literal["offline", "online"]


@dataclass(frozen=True)
class Place:
    """Where runs go: `folder` holds the local files."""

    mode: Mode
    folder: Path
    project: str = PROJECT
    entity: str | None = None


def module() -> Any:
    """The package wandb.

    Raises:
        UserError: it is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise UserError(
            "Weights & Biases needs the package wandb: pip install 'promptbench-vlm[wandb]'"
        ) from error
    return wandb


def start(wandb: Any, facts: RunFacts, place: Place) -> Any:
    """A new run, or the one of the same cell again."""
    place.folder.mkdir(parents=True, exist_ok=True)
    return wandb.init(
        project=place.project,
        entity=place.entity,
        id=facts.id,
        resume="allow" if place.mode == "online" else None,
        mode=place.mode,
        dir=str(place.folder),
        name=facts.name,
        group=facts.group,
        job_type=facts.job_type,
        tags=list(facts.tags),
        config=dict(facts.config),
        settings=wandb.Settings(silent=True, console="off"),
    )


def log_epoch(run: Any, epoch: Epoch) -> None:
    """An epoch as it ended."""
    run.log(wandb_facts.epoch(epoch), step=epoch.number + 1)


def log_epochs(run: Any, record: Record, norms: Mapping[int, Mapping[str, float]]) -> None:
    """All epochs of a record, for a training that was not watched, with what norms are known."""
    if record.training.losses:
        course = _course(record)
        for epoch, losses in enumerate(record.training.losses):
            log_epoch(run, Epoch(epoch, course.lr_at(epoch), losses, norms.get(epoch, {})))


def _course(record: Record) -> Course:
    """The steps of a record, for their learning rates; a record of a stranger may hold anything.

    Raises:
        UserError: settings that a training of this version cannot have.
    """
    settings = record.training.recipe
    try:
        made = TypeAdapter(Recipe).validate_python(settings)
        unknown = sorted(settings.keys() - vars(made).keys())
        if unknown:
            raise ValueError(f"unknown are {', '.join(unknown)}")
        if isinstance(made.epochs, dict) and "steps_per_shot" not in made.epochs:
            raise ValueError("epochs: no number")
    except ValueError as error:
        reason = first_problem(error, "recipe") if isinstance(error, ValidationError) else error
        raise UserError(
            f"the recipe of {record.method.name} on {record.source.dataset}, seed {record.seed}, "
            f"is not one of this version: {reason}"
        ) from error
    return Course.of(made, len(record.source.keys), record.source.shots)


def log_record(wandb: Any, run: Any, record: Record, folder: Path) -> None:
    """Summary, the metric per class as a table, and the record with its files as an artifact."""
    run.summary.update({**wandb_facts.summary(record, folder), **wandb_facts.learned_norms(folder)})
    table = wandb.Table(columns=list(wandb_facts.TABLE_COLUMNS), data=wandb_facts.per_class(record))
    run.log({"per_class": table}, step=len(record.training.losses) + 1)
    artifact = wandb.Artifact(f"cell-{record.cell_id[:24]}", type="cell")
    artifact.add_file(str(folder / records.RECORD))
    with artifact.new_file("config.gin") as file:
        file.write(record.config)
    learned = folder / records.PARAMETERS
    if learned.is_file():
        artifact.add_file(str(learned))
    run.log_artifact(artifact)

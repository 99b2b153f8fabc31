"""Writing to Weights & Biases: starting a run, epochs, and all that a record says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from promptbench.core.course import Course
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError, first_problem
from promptbench.tracking import wandb_facts, wandb_lineage, wandb_mistakes
from promptbench.tracking.facts import RunFacts
from promptbench.tracking.listener import Epoch

if TYPE_CHECKING:
    from promptbench.records import Record
    from promptbench.tracking.wandb_place import Place


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


def log_record(
    wandb: Any, run: Any, record: Record, folder: Path, place: Place, root: Path | None = None
) -> None:
    """Summary, tables of classes and mistakes, what was used, and the record with its files.

    Args:
        folder: the cell's.
        root: the data root in which images of mistakes are looked for.
    """
    run.summary.update({**wandb_facts.summary(record, folder), **wandb_facts.learned_norms(folder)})
    columns, rows = list(wandb_facts.TABLE_COLUMNS), wandb_facts.per_class(record)
    tables = {"per_class": wandb.Table(columns=columns, data=rows)}
    if wrong := wandb_mistakes.of_record(record, folder, root, not place.numbers_only):
        tables["mistakes"] = wandb_mistakes.table(wandb, wrong)
    run.log(tables, step=len(record.training.losses) + 1)
    wandb_lineage.use(wandb, run, record)
    wandb_lineage.leave(wandb, run, record, folder, place.numbers_only)

"""What a record says of its run: steps, losses, learned numbers, text of settings, date, revision.

Most of it follows from the rest of the record, or from the method where that is installed.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

from promptbench.core.class_list import ClassSet
from promptbench.core.course import Course
from promptbench.core.ranges import steps_per_shot
from promptbench.core.recipe import Recipe
from promptbench.core.registry import BUILT_IN
from promptbench.core.traits import extra_data_of, has_solver, uses_class_texts
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known, settings_text
from promptbench.records import Record

_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?(\+changes)?")
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,63}")
_PRECISIONS = ("fp32", "bf16", "fp16")


def reasons(record: Record) -> Iterator[str]:
    """Everything about the run that contradicts the rest of the record, or cannot be."""
    yield from environment(record)
    yield from training(record)
    yield from settings_text.reasons(record)


def environment(record: Record) -> Iterator[str]:
    """Date, versions and precision have the form in which promptbench writes them."""
    if created(record) is None:
        yield f"created, {record.created!r}, is not a date and time with a time zone"
    own = record.environment
    if own.git_revision is not None and not _REVISION.fullmatch(own.git_revision):
        yield f"{own.git_revision!r} is not a git revision"
    if not _VERSION.fullmatch(own.promptbench):
        yield f"{own.promptbench!r} is not a version of promptbench"
    if own.precision not in _PRECISIONS:
        yield f"the precision {own.precision!r} is not one of {', '.join(_PRECISIONS)}"


def created(record: Record) -> datetime.datetime | None:
    """When a record says that it was made; None if that is not a time."""
    try:
        found = datetime.datetime.fromisoformat(record.created)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def training(record: Record) -> Iterator[str]:
    """Epochs, steps and losses of the recipe; none where nothing is learned by steps."""
    done = record.training
    learns = done.parameters_sha256 is not None
    if learns != (record.method.learned_parameters > 0):
        yield (
            f"{record.method.learned_parameters} learned parameters, "
            f"{'with' if learns else 'without'} a hash of them"
        )
    if done.parameters_sha256 and not re.fullmatch(r"[0-9a-f]{64}", done.parameters_sha256):
        yield "the hash of the learned parameters is not a SHA-256"
    if (record.method.paradigm == "zero-shot") == learns:
        what = "something" if learns else "nothing"
        yield f"the paradigm is {record.method.paradigm}, and {what} is learned"
    made = _course(record)
    if made is None:
        return
    epochs, steps = made
    if (done.epochs, done.steps, len(done.losses)) != (epochs, steps, epochs):
        yield (
            f"{done.epochs} epochs, {done.steps} steps and losses of {len(done.losses)} epochs; "
            f"recipe and {len(record.source.keys)} images make {epochs} epochs and {steps} steps"
        )


def _course(record: Record) -> tuple[int, int] | None:
    """The epochs and steps that recipe and images make; None if the recipe says too little."""
    name = record.method.name
    by_solver = (
        has_solver(known.method(name).cls)
        if name in known.method_names()
        else record.training.epochs == 0
    )
    if record.training.parameters_sha256 is None or by_solver:
        return 0, 0
    recipe: dict[str, Any] = record.training.recipe
    epochs, batch = recipe.get("epochs"), recipe.get("batch_size")
    each = steps_per_shot(epochs)
    for count in (epochs if each is None else each, batch):
        if type(count) is not int or count < 1:
            return None
    made = Recipe(epochs=recipe["epochs"], batch_size=recipe["batch_size"])
    course = Course.of(made, len(record.source.keys), record.source.shots)
    return course.n_epochs, course.steps


def method(record: Record) -> Iterator[str]:
    """The number of learned parameters, and what is learned from, where the method is installed.

    Only of settings that hold: the method is built with them.
    """
    own = record.method
    if own.name not in known.method_names() or known.method(own.name).provider != own.provider:
        return
    cls = known.method(own.name).cls
    extra = extra_data_of(cls, own.parameters)
    if own.extra_data not in (None, extra):
        yield f"the method's extra_data is not {extra!r}"
    if own.provider != BUILT_IN or record.preset != "paper" or record.overrides:
        return  # nothing is built by others' code, or with values that a stranger chose
    card = known.card(record.source.dataset)
    labels = record.leg.source.labels_in(len(card.classes))
    names = tuple(card.classes[label] for label in labels)
    texts = tuple((name,) for name in names) if uses_class_texts(cls, own.parameters) else ()
    classes = ClassSet(names, card.template, texts)  # sizes depend on no sentence
    settings = json.dumps(own.parameters, sort_keys=True)
    images = len(record.source.keys)
    from promptbench.leaderboard.checking.building import (
        learned_parameters,  # torch, for none but these
    )

    try:
        expected = learned_parameters(own.name, record.backbone.name, settings, classes, images)
    except UserError:  # a backbone whose package or tokenizer is not on this machine
        return
    if own.learned_parameters != expected:
        yield f"{own.learned_parameters} learned parameters; these settings make {expected}"

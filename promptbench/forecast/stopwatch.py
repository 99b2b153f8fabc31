"""How long a method's steps and predictions take here, measured on towers as a run opens them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch

from promptbench.core.course import Stage
from promptbench.core.method import ClassSet, Method, Solver, Staged, Starter
from promptbench.core.recipe import Recipe
from promptbench.data.cards import cards
from promptbench.errors import one_line
from promptbench.forecast.pace import Key, Pace, between, key_of
from promptbench.models.gpu_errors import is_out_of_memory
from promptbench.models.towers import Towers
from promptbench.planning.cells import Cell
from promptbench.planning.extent import course_of, source_labels
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.running.lab import Lab, arithmetic, open_lab, sharing_a_lab
from promptbench.running.lab.calling import built, evaluating, learning
from promptbench.running.lab.compute import Compute
from promptbench.running.training.descent import Descent
from promptbench.running.training.step import Stepper, finite
from promptbench.support.progress import Reporter
from promptbench.support.seeding import seeded
from promptbench.tracking import Listener

_STEPS = 3  # measured after one that warms up
_COMPARED = 4  # replays of a CUDA graph after which the next ones are not compared with the step
_SHOWN = 8  # images that a method starts from: its steps hardly depend on their number
_CROWDED = "more than the GPU's memory holds at once; a run takes smaller pieces"


@dataclass
class Measured:
    """Paces, and by method why there are none: it fails, or it does not fit the GPU at once.

    `whole`: by method, the towers of which every step computes all blocks.
    """

    paces: dict[Key, Pace] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    crowded: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)


def measure(
    cells: Iterable[Cell],
    plans: Iterable[Plan],
    machine: Machine,
    compute: Compute,
    listener: Reporter,
) -> Measured:
    """The paces of cells of these plans, from a few steps on random images, thrown away.

    Towers, threads and memory are those of a run on the machine. Each method is measured with the
    shortest and the longest of the class lists it learns, since steps grow with them.
    """
    found, missing = Measured(), {cell.id for cell in cells}
    for made in sharing_a_lab(plans):
        own = [cell for each in made for cell in each.cells if cell.id in missing]
        if own:
            _measure_together(own, made[0], machine, compute, listener, found)
    return found


def _measure_together(
    cells: Iterable[Cell],
    made: Plan,
    machine: Machine,
    compute: Compute,
    listener: Reporter,
    found: Measured,
) -> None:
    """Measure cells in the lab of a plan."""
    by_method: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_method[cell.method.name].append(cell)
    with arithmetic.restored(), seeded(0, "forecast"):
        lab = open_lab([replace(made, legs=())], machine, compute, Listener())  # without data
        with listener.task("measuring a few steps", len(by_method), "methods") as task:
            for name, own in by_method.items():
                _measure(name, own, lab, found)
                lab.release_memory()
                task.advance(1, name)


def _measure(name: str, cells: Sequence[Cell], lab: Lab, found: Measured) -> None:
    try:
        found.paces |= _paces(cells, lab)
        if any(cell.recipe for cell in cells) and (towers := _changed_whole(lab.backbone.towers)):
            found.whole[name] = towers
    except Exception as error:  # plugins may raise anything, and the others are measured
        if is_out_of_memory(error):
            found.crowded[name] = _CROWDED
        else:
            found.broken[name] = one_line(error)


def _changed_whole(towers: Towers) -> str:
    """The towers that the last passes have changed from the first block on: of those, no step finds
    activations that an earlier one has left."""
    sides = {"text": towers.text, "image": towers.image}
    first = {name: tower.touched_from for name, tower in sides.items()}
    return " and ".join(name for name, block in first.items() if block is not None and block <= 1)


def _paces(cells: Sequence[Cell], lab: Lab) -> dict[Key, Pace]:
    """The paces of one method's cells."""
    lengths = {key_of(cell): (len(source_labels(cell)), cell) for cell in cells}
    low, shortest = min(lengths.values(), key=lambda pair: pair[0])
    high, longest = max(lengths.values(), key=lambda pair: pair[0])
    many = _measured(longest, lab)
    few = _measured(shortest, lab) if low < high and many.step else many
    return {key: between((low, few), (high, many), n) for key, (n, _) in lengths.items()}


def _measured(cell: Cell, lab: Lab) -> Pace:
    card = cards.load(cell.leg.source.dataset)
    labels = source_labels(cell)
    classes = cell.told(card, [card.classes[label] for label in labels])
    lab.backbone.towers.forget()
    with seeded(cell.seed, "stopwatch"):
        method = built(
            lab.compute, cell.method.cls, lab.backbone.towers, classes, **cell.parameters
        )
    recipe = Recipe(**cell.recipe)
    if isinstance(method, Starter):
        few = min(_SHOWN, len(classes))
        shown = (_images(few, lab), torch.arange(few, device=lab.compute.device))
        learning(lab.compute, method.start_from, [shown] * max(method.passes, 1))
    learned = [p for p in method.parameters() if p.requires_grad]
    by_steps = learned and not isinstance(method, Solver)
    return Pace(
        step=_step_seconds(method, classes, cell, lab) if by_steps else 0.0,
        batch=recipe.batch_size if by_steps else 1,
        per_image=_image_seconds(method, classes, lab),
        parameter_bytes=sum(p.numel() * p.element_size() for p in learned),
        from_record=False,
    )


def _images(count: int, lab: Lab) -> torch.Tensor:
    size = lab.backbone.preprocess.size
    return torch.zeros(count, 3, size, size, device=lab.compute.device)


def _step_seconds(method: Method, classes: ClassSet, cell: Cell, lab: Lab) -> float:
    """Whole steps as a training takes them, at a learning rate of 0: nothing is learned.

    Of several stages, as long as a step is on average.
    """
    method.train()
    course, seconds = course_of(cell), 0.0
    for stage in course.stages:
        if isinstance(method, Staged):
            learning(lab.compute, method.begin_stage, stage.number)
        share = (stage.end - stage.first) / course.steps
        seconds += share * _of_stage(method, classes, stage, lab)
    return seconds


def _of_stage(method: Method, classes: ClassSet, stage: Stage, lab: Lab) -> float:
    recipe, left = stage.recipe, stage.end - stage.first
    images = _images(recipe.batch_size, lab)
    if len(recipe.views) > 1:
        images = images[:, None].expand(-1, len(recipe.views), -1, -1, -1)
    labels = torch.arange(recipe.batch_size, device=lab.compute.device) % len(classes)
    stepper = Stepper(method, recipe, lab.compute)
    stepper.set_lr(0.0)
    title = type(method).title
    descent = Descent(
        method,
        classes,
        stepper,
        lab.compute,
        lab.graphs,
        lambda why: lab.listener.message(f"{title}: {why}"),
    )

    def step() -> None:
        # Of images new to the towers, as those of a training are.
        terms, total = descent.losses(images.clone(), labels, left)
        stepper.follow_gradient()
        finite({**terms, "total": total}, "in a step that was measured", "nothing was trained")

    step()
    for _ in range(_COMPARED if descent.replays else 0):
        step()
    return _timed(step, _STEPS, lab.compute)


def _image_seconds(method: Method, classes: ClassSet, lab: Lab) -> float:
    images = _images(lab.images_at_once, lab)
    method.eval()
    lab.compute.begin_step()
    prepared = evaluating(lab.compute, method.prepare, classes)

    def predict() -> None:
        lab.compute.begin_step()
        evaluating(lab.compute, method.logits, images.clone(), prepared).argmax(dim=-1).tolist()

    predict()
    return _timed(predict, 1, lab.compute) / len(images)


def _timed(function: Callable[[], object], times: int, compute: Compute) -> float:
    started = compute.clock()
    for _ in range(times):
        function()
    return (compute.clock() - started) / times

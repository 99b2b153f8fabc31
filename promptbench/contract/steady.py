"""Whether the steps of a method are alike, as one that says `steady` promises.

A GPU replays the operations of one step, with other images and labels. On a CPU the operations of
several steps are recorded and compared, and whatever the method holds is looked at before and after
each. What a CPU cannot see (a tensor that is made for `torch.device("cpu")` and sent, a number that
changes after more steps than are tried) shows on the GPU, where a run compares a replay with the
step itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from promptbench.contract.bench import FULL, Bench
from promptbench.contract.recording import Recording, recorded
from promptbench.contract.traces import Traces, difference, traces
from promptbench.contract.verdicts import Broken, require
from promptbench.core.method import Method
from promptbench.core.traits import has_solver
from promptbench.isolation.entering import enter, learnables
from promptbench.running.lab.calling import learning, losses_of
from promptbench.running.training.gradients import backward
from promptbench.support.prose import counted
from promptbench.support.seeding import host_state, seeded

_WARM = 2  # steps that may fill what is remembered, and push out what was remembered before
_TRIED = 4
_LR = 0.1  # so that the parameters move far enough to be seen
_STREAMS = "the place of the random streams"  # of traces; each is looked at by itself here


def steps_are_alike_where_it_says_so(bench: Bench) -> str:
    """Where it says `steady`, its steps are alike: a GPU can replay one for all of a stage.

    They do the same operations, read nothing back, draw on the device, and leave parameters,
    buffers and all else that the method holds as they are.
    """
    if has_solver(type(bench.method)) or not _learned(bench.method):
        return "it takes no gradient steps"
    declared, usual = type(bench.method).steady, "a GPU runs its steps one operation at a time"
    try:
        count = _compared(bench)
    except Broken as problem:
        if declared:
            raise Broken(f"{problem}; steady = False is always right") from problem
        return f"not declared; {usual}: {problem}"
    if not declared:
        return f"not declared; {usual}; with these settings it could be declared: steady = True"
    return f"{counted(count, 'operation')} compared in each of {_TRIED} steps"


def _compared(bench: Bench) -> int:
    """How many operations a step has, of all stages together.

    Raises:
        Broken: what a GPU could not replay.
    """
    count = 0
    for number, method in enumerate(bench.stages(), 1):
        where = f" of stage {number}" if type(method).stages > 1 else ""
        with seeded(bench.world.seed, "steady"):
            steps = list(_steps(bench, method))
        first, *others = (step.operations for step in steps[_WARM:])
        for name, other in enumerate(others, _WARM + 2):
            _require_equal(first, other, f"step {name}{where}")
        count += len(first)
    return count


def _steps(bench: Bench, method: Method) -> Iterator[Recording]:
    """Steps with other images and labels each, between which the parameters move.

    Raises:
        Broken: one that a GPU could not replay, after those in which anything may be remembered.
    """
    enter(method.train)
    seed = torch.initial_seed()
    constants: dict[int, str] = {}
    optimizer = torch.optim.SGD(list(_learned(method).values()), lr=_LR)
    for number in range(_WARM + _TRIED):
        optimizer.zero_grad(set_to_none=True)
        images, labels = _batch(bench, number)
        before = _Held(method, images, labels)
        with recorded(before.tensors, constants) as step:
            _take(bench, method, images, labels)
        require(seed == torch.initial_seed(), "a step seeds torch's generators")
        if number >= _WARM:
            for problem in step.refused:
                raise Broken(problem)
            before.require_unchanged()
        yield step
        optimizer.step()


def _take(bench: Bench, method: Method, images: Tensor, labels: Tensor) -> None:
    """Take a step as a training does, up to its gradients."""
    terms, total = enter(learning, FULL, losses_of, method, bench.world.train, images, labels)
    if total.requires_grad:
        backward(method, terms, total, FULL.scaler())


def _batch(bench: Bench, number: int) -> tuple[Tensor, Tensor]:
    """The batch of a step: the images of the world in another light, with other labels."""
    images = bench.world.viewed(type(bench.method).views)
    labels = bench.world.labels
    if number == _WARM + _TRIED - 1:
        return images.flip(0) - 0.5, torch.full_like(labels, int(labels[0]))  # of one class
    return images.roll(number, 0) * (1 + 0.2 * number), labels.roll(2 * number)


def _learned(method: Method) -> dict[str, Tensor]:
    return {name: p for name, p in learnables(method) if p.requires_grad}


class _Held:
    """What a method holds before a step, and where the host's generators stand."""

    def __init__(self, method: Method, images: Tensor, labels: Tensor) -> None:
        self._method, self._batch = method, {"its images": images, "its labels": labels}
        self.tensors = self._tensors()
        self._places, self._held = _places(self.tensors), _held(method)
        self._host = host_state()

    def require_unchanged(self) -> None:
        """Raise `Broken` if a step has left anything in another way."""
        for own, now, whose in zip(
            self._host, host_state(), ("Python's random", "numpy.random"), strict=True
        ):
            require(own == now, f"a step draws from {whose}, on the host")
        now_at = _places(self._tensors())
        for name, place in self._places.items():
            require(place == now_at.get(name), f"a step writes to {name}")
        change = difference(self._held, _held(self._method))
        require(change is None, f"a step leaves something behind: {change}")

    def _tensors(self) -> dict[str, Tensor]:
        own, buffers = learnables(self._method), enter(lambda: list(self._method.named_buffers()))
        return {
            **{f"the parameter {name!r}": each for name, each in own},
            **{f"the buffer {name!r}": each for name, each in buffers},
            **self._batch,
        }


def _places(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """Where tensors stand, and how often each was changed in place, as torch counts."""
    return {name: (each.data_ptr(), each._version) for name, each in tensors.items()}


def _held(method: Method) -> Traces:
    found = traces(method, None)
    del found[_STREAMS]
    return found


def _require_equal(first: list[str], other: list[str], name: str) -> None:
    for number, (ours, theirs) in enumerate(zip(first, other, strict=False), 1):
        require(
            ours == theirs,
            f"{name} does {theirs} where step {_WARM + 1} did {ours} (operation {number} of "
            f"{len(first)})",
        )
    require(
        len(first) == len(other),
        f"{name} does {counted(len(other), 'operation')}, step {_WARM + 1} did {len(first)}",
    )

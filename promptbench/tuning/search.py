"""A search: a method, a protocol and a budget, as requests for its trials and for what they choose.

The trials of a search are fixed before any of them is trained. The first is the method's own
setting (preset unified), so that a search never chooses what is worse than none on validation
images; the others are the points of `promptbench.spaces.trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptbench import config, spaces
from promptbench.config import ConfigSources
from promptbench.core.registry import METHODS, PROTOCOLS, Plugin
from promptbench.errors import UserError
from promptbench.planning import given, plan, searched
from promptbench.planning.request import BASELINE, EVERY, Request
from promptbench.planning.searched import Key
from promptbench.planning.settings import known_names
from promptbench.records.tuning import TuningInfo, preset_of
from promptbench.spaces import Space

MOST_TRIALS = 10_000  # every record of what they choose lists them all
RULE = "validation"  # of epochs within a trial, and of trials
START = "unified"  # the preset that trials vary: what papers chose by dataset is not in it


@dataclass(frozen=True)
class Search:
    """The search of one method under one protocol.

    Args:
        asked: what the user asks for, of this method only.
        values: of each trial from the second on, by the names of parameters.
    """

    method: Plugin[Any]
    asked: Request
    budget: int
    space: Space
    values: tuple[Mapping[str, Any], ...]

    def trials(self) -> list[Request]:
        """One request per trial, in order; none of them scores a test image."""
        common = _trial(self.asked)
        found = [common]
        for values in self.values:
            own = tuple(f"{name} = {value!r}" for name, value in values.items())
            found.append(replace(common, set=(*own, *common.set)))
        return found

    def final(self, choices: Mapping[Key, TuningInfo]) -> Request:
        """The request for what was chosen, with the protocol's targets."""
        return replace(
            self.asked,
            preset=preset_of(self.budget),
            select=(RULE,),
            chosen=searched.as_text(choices),
            baseline=False,
        )


def _trial(asked: Request) -> Request:
    """The request for the first trial: the methods' own setting."""
    return replace(
        asked,
        preset=START,
        select=(RULE,),
        inference="unified",
        trial=True,
        baseline=False,
        limit=None,
    )


def searches(
    requests: Sequence[Request], budget: int, tell: Callable[[str], None] = lambda _: None
) -> list[Search]:
    """The searches of requests: one for each protocol and method.

    Methods of "all" that have nothing to tune, or cannot run, are left out.

    Args:
        tell: hears which cannot run, and why.

    Raises:
        UserError: a budget below 1 or above `MOST_TRIALS`, a method without a space or with nothing
            to tune, a parameter of a space that the user sets.
    """
    given.check_bounds("trials", budget, 1, MOST_TRIALS)
    found = [
        _search(replace(request, methods=(name,)), budget)
        for request in requests
        for name in (_of_all(request, tell) if request.every else request.methods)
    ]
    if not found:
        raise UserError("no method here has anything to tune")
    return found


def _of_all(request: Request, tell: Callable[[str], None]) -> list[str]:
    """The methods of "all" that have something to tune and can run."""
    made = plan.build(replace(_trial(request), methods=(EVERY,)), "fp32")
    if made.left_out:
        tell(f"left out: {'; '.join(made.left_out)}")
    able = {cell.method.name: cell.method for cell in made.cells}
    return [name for name, method in able.items() if not spaces.load(method).untuned]


def baselines(requests: Sequence[Request]) -> list[Request]:
    """The requests for the zero-shot rows beside what is tuned."""
    return [
        replace(request, methods=(BASELINE,), baseline=False)
        for request in requests
        if request.baseline
    ]


def _search(request: Request, budget: int) -> Search:
    method = METHODS.load(request.methods[0])
    space = spaces.load(method)
    if space.untuned:
        raise UserError(f"{method.name} has nothing to tune: {space.untuned}")
    _refuse_fixed(request, method, space)
    values = spaces.drawn(space, method.name, budget - 1)
    return Search(method, request, budget, space, tuple(values))


def _refuse_fixed(request: Request, method: Plugin[Any], space: Space) -> None:
    """Refuse bindings of the user that a search would vary."""
    every = [METHODS.load(name) for name in METHODS.names()] if request.every else [method]
    known = known_names([*every, PROTOCOLS.load(request.protocol)])
    own = config.load(ConfigSources(tuple(request.gin), tuple(request.set)), known)
    for binding in (*own.of_files, *own.overrides):
        if (name := f"{binding.cls}.{binding.parameter}") in space.parameters:
            raise UserError(
                f"{binding.where} sets {name}, which a search of {method.name} varies; leave it "
                "out, or take the parameter out of the method's search space"
            )

"""Sweeps of Weights & Biases: a file for `wandb sweep` from a method's search space, and a trial.

The agent of a sweep starts `promptbench wandb trial` with the values of a trial. As in
`promptbench tune` a trial is measured on validation images, and no test image is scored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal, get_args

from promptbench import spaces
from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.planning import given
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.running import session
from promptbench.spaces import Choice, Distribution, LogUniform, Space
from promptbench.tracking import wandb_log
from promptbench.tracking.facts import PROJECT
from promptbench.tracking.wandb_facts import VALIDATION
from promptbench.tracking.wandb_place import Place
from promptbench.tuning.search import RULE, START

Strategy = Literal["bayes", "random", "grid"]


def sweep(method: str, strategy: str, options: Sequence[str], project: str = PROJECT) -> Any:
    """The sweep of a method's search space as plain data, for `wandb sweep`.

    Args:
        strategy: bayes, random or grid.
        options: those of `promptbench wandb trial`, as they are to be given to it.

    Raises:
        UserError: the method has no space or nothing to tune, or a grid of a space with ranges.
    """
    given.check_choice("strategy", strategy, Strategy)
    space = _space(method)
    ranges = [name for name, own in space.parameters.items() if not isinstance(own, Choice)]
    if strategy == "grid" and ranges:
        raise UserError(
            f"a grid needs values, and {', '.join(ranges)} of {method} have a range; take one of "
            f"{', '.join(each for each in get_args(Strategy) if each != 'grid')}"
        )
    return {
        "program": "promptbench",
        "name": f"{method} {' '.join(options)}".strip(),
        "project": project,
        "method": strategy,
        "metric": {"name": VALIDATION, "goal": "maximize"},
        "parameters": {name: _parameter(own) for name, own in space.parameters.items()},
        "command": ["${program}", "wandb", "trial", method, "${args_json}", *options],
    }


def _space(method: str) -> Space:
    space = spaces.load(METHODS.load(method))
    if space.untuned:
        raise UserError(f"{method} has nothing to tune: {space.untuned}")
    return space


def _parameter(own: Distribution) -> dict[str, Any]:
    """A distribution as a sweep says it."""
    if isinstance(own, Choice):
        return {"values": json.loads(json.dumps(own.values))}  # lists, as JSON has no tuples
    bounds = {"min": own.low, "max": own.high}
    if isinstance(own, LogUniform):
        kind = {"distribution": "log_uniform_values"}
        whole = {"distribution": "q_log_uniform_values", "q": 1}
        return {**(whole if own.whole else kind), **bounds}
    return {"distribution": "int_uniform" if own.whole else "uniform", **bounds}


def bindings(method: str, text: str) -> tuple[str, ...]:
    """The bindings of a trial from its values as JSON, by the names of parameters.

    Raises:
        UserError: no JSON object, or a parameter that is not in the method's space.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"the values of a trial cannot be parsed as JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError('the values of a trial are a JSON object, such as {"Recipe.lr": 0.002}')
    space = _space(method)
    for name in values:
        if name not in space.parameters:
            known = ", ".join(space.parameters)
            raise UserError(f"{name} is not in the search space of {method}, which has {known}")
    return tuple(
        f"{name} = {_value(space.parameters[name], value)!r}" for name, value in values.items()
    )


def _value(own: Distribution, value: Any) -> Any:
    """A value as the method takes it: JSON has no tuples, and some distributions of sweeps give
    whole numbers as fractions."""
    if isinstance(value, list):
        return tuple(_value(own, each) for each in value)
    whole = not isinstance(own, Choice) and own.whole
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def trial(asked: Request, values: str, machine: Machine, place: Place) -> float:
    """Compute a trial and log it as one run; its mean validation accuracy in percent.

    Args:
        asked: of one method.
        values: of the trial, as JSON by the names of parameters.

    Raises:
        CellsFailed: cells of it could not be computed.
        UserError: what the user can fix.
    """
    (method,) = asked.methods
    request = replace(
        asked,
        preset=START,
        select=(RULE,),
        inference="unified",
        set=(*bindings(method, values), *asked.set),
        trial=True,
        baseline=False,
        limit=None,
    )
    wandb = wandb_log.module()
    run = _started(wandb, request, json.loads(values), place)
    exit_code = 1
    try:
        found = session.execute(request, replace(machine, wandb="off", track=()))
        accuracy = _measured(found)
        run.summary.update({VALIDATION: fmean(accuracy.values()), **accuracy})
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)
    return fmean(accuracy.values())


def _started(wandb: Any, request: Request, values: Mapping[str, Any], place: Place) -> Any:
    """The run of a trial, whose id and project an agent says, if there is one."""
    place.folder.mkdir(parents=True, exist_ok=True)
    swept = "WANDB_SWEEP_ID" in os.environ  # it sets the values itself, and refuses others
    known = {"method": request.methods[0], "protocol": request.protocol, "suite": request.suite}
    return wandb.init(
        mode=place.mode,
        dir=str(place.folder),
        job_type="trial",
        tags=[str(value) for value in known.values()],
        config={**known, **({} if swept else values)},
        settings=wandb.Settings(silent=True, console="off"),
        **({} if swept else {"project": place.project, "entity": place.entity}),
    )


def _measured(found: Sequence[Record]) -> dict[str, float]:
    """The validation accuracy of each training, by source and seed."""
    return {
        f"{VALIDATION}/{record.leg.source.key}/{record.source.shots}-shot/seed{record.seed}": value
        for record in found
        if record.validation is not None and (value := record.validation.chosen) is not None
    }

"""Which values a recipe's settings may have: what their types alone do not say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from promptbench.errors import near_miss

OF_GROUPS = ("lr", "weight_decay", "momentum")
OF_STAGES = (
    *("optimizer", "lr", "weight_decay", "momentum", "warmup_epochs", "warmup_lr", "final_lr"),
    *("eps", "schedule", "groups"),
)
NO_EPOCHS = "Recipe.epochs is an empty table; give a number or {shots: epochs}"
_CHOICES = {"optimizer": ("sgd", "adamw", "adam"), "schedule": ("epoch", "step")}
_STRONGEST = 30  # magnitude of RandAugment

Problem = tuple[str, str]  # the setting, and what is wrong with it


def out_of_range(settings: Mapping[str, Any]) -> Problem | None:
    """Find the first setting of a recipe that is outside its range: its name, and what is wrong."""
    return next(_problems(settings), None)


def steps_per_shot(epochs: Any) -> int | None:
    """The steps for each shot, where that is what a recipe's epochs say."""
    found = epochs.get("steps_per_shot") if isinstance(epochs, Mapping) else None
    return found if isinstance(found, int) else None


def _problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    epochs = settings["epochs"]
    if epochs == {}:
        yield "epochs", NO_EPOCHS
        return
    for name, holds, wanted in _of_numbers(settings):
        if not holds:
            yield name, f"Recipe.{name} must be {wanted}, not {settings[name]}"
    yield from _of_groups(settings)
    yield from _of_stages(settings)


def _of_numbers(settings: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Names, whether their values are within, and what is."""
    epochs, average = settings["epochs"], settings["average"]
    counts = [*_numbers(epochs), *epochs.values()] if isinstance(epochs, dict) else [epochs]
    low, high = settings["crop_scale"]
    operations, magnitude = settings["randaugment"]
    for name in ("lr", "weight_decay", "warmup_lr", "final_lr"):
        yield name, 0 <= settings[name] < math.inf, "a number from 0 on"
    yield "momentum", 0 <= settings["momentum"] < 1, "from 0 on and below 1"
    yield "batch_size", settings["batch_size"] >= 1, "at least 1"
    yield "epochs", min(counts) >= 1, "at least 1"
    yield "warmup_epochs", settings["warmup_epochs"] >= 0, "at least 0"
    yield "crop_scale", 0 < low <= high <= 1, "(low, high) with 0 < low <= high <= 1"
    yield "eps", 0 < settings["eps"] < math.inf, "a number above 0"
    yield "flip", 0 <= settings["flip"] <= 1, "a probability from 0 to 1"
    yield "average", average is None or 0 < average[1] < math.inf, "(mean, std) with std above 0"
    yield "views", len(settings["views"]) >= 1, "at least one, such as ('crop',)"
    within = operations >= 0 and 0 <= magnitude <= _STRONGEST
    yield "randaugment", within, f"(operations, magnitude from 0 to {_STRONGEST})"


def _numbers(table: Mapping[Any, int]) -> list[int]:
    return [key for key in table if isinstance(key, int)]


def _of_groups(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for place, group in enumerate(settings["groups"], 1):
        where = f"Recipe.groups: entry {place}"
        if not isinstance(group.get("parameters"), str):
            yield "groups", f"{where} needs 'parameters': a group of the method, or a pattern"
            return
        own = {name: value for name, value in group.items() if name != "parameters"}
        problem = _foreign(own, OF_GROUPS)
        if problem is None and "momentum" in own and settings["optimizer"] != "sgd":
            problem = f"momentum is one of SGD, not of {settings['optimizer']!r}"
        problem = problem or _wrong(own, {**settings, "groups": (), "stages": ()})
        if problem is not None:
            yield "groups", f"{where}: {problem}"
            return


def _of_stages(settings: Mapping[str, Any]) -> Iterator[Problem]:
    stages = settings["stages"]
    if stages and settings["average"] is not None:
        yield "stages", "Recipe.average is over the epochs of one training, not of several stages"
    for number, stage in enumerate(stages, 1):
        where = f"Recipe.stages: stage {number}"
        share = stage.get("share")
        if not _is_number(share) or not 0 < share <= 1:
            wanted = "a 'share' of the steps, above 0 and up to 1"
            yield "stages", f"{where} needs {wanted}, not {share}"
            return
        own = {name: value for name, value in stage.items() if name != "share"}
        problem = _foreign(own, OF_STAGES) or _wrong(own, {**settings, "stages": ()})
        if problem is not None:
            yield "stages", f"{where}: {problem}"
            return
    shares = math.fsum(stage["share"] for stage in stages)
    if stages and abs(shares - 1) > 1e-9:
        yield "stages", f"Recipe.stages: the shares must add up to 1, not {shares:g}"


def _foreign(own: Mapping[str, Any], known: tuple[str, ...]) -> str | None:
    """Name what is not a setting of a group or a stage."""
    name = next((name for name in own if name not in known), None)
    return None if name is None else f"it has no setting {name!r}; {near_miss(name, known)}"


def _wrong(own: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """What is wrong with settings of a group or a stage, in the place of the recipe's."""
    for name, value in own.items():
        if name in _CHOICES:
            if value not in _CHOICES[name]:
                return f"{name} = {value!r} is not one of {', '.join(_CHOICES[name])}"
        elif name == "groups":
            if not _are_groups(value):
                return f"groups = {value!r} is not a list of groups as in Recipe.groups"
        elif not _is_number(value) or (name == "warmup_epochs" and not isinstance(value, int)):
            return f"{name} = {value!r} is not a number"
    found = out_of_range({**settings, **own})
    return None if found is None else found[1]


def _are_groups(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(group, dict) for group in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

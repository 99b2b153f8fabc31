"""The preprocessing that weights were trained with, from the registry or the file beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from promptbench.errors import UserError
from promptbench.models.preprocess import Interpolation, Preprocess, ResizeMode, Triple
from promptbench.support.compat import open_clip_registry

_KEYS = ("size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color")
_LARGEST = 1e6  # of a mean or a deviation; they are of values in [0, 1]
_LEAST_STD = 1e-3  # a quarter of a level of gray: a smaller one makes pixels explode


def usual_of(name: str, size: int) -> Preprocess:
    """How images enter an architecture where nobody says it of the weights.

    As all weights that open_clip's registry has of the architecture, if they agree (SigLIP's all
    squash), else as OpenAI's.
    """
    found = set(of_tags(name, size).values())
    return found.pop() if len(found) == 1 else Preprocess(size)


def of_tags(name: str, size: int) -> dict[str, Preprocess]:
    """The preprocessing of each tag of an architecture that can be done here."""
    registry, found = open_clip_registry(), {}
    for tag in registry.list_pretrained_tags_by_model(name):
        try:
            found[tag] = of_registry(registry.get_pretrained_cfg(name, tag), size, tag)
        except UserError:  # whoever asks for it is told why
            continue
    return found


def of_registry(entry: Mapping[str, Any], size: int, weights: str) -> Preprocess:
    """What open_clip's registry says of a tag's preprocessing."""
    return stated({k: v for k, v in entry.items() if k in _KEYS}, size, f"open_clip, {weights!r}")


def stated(facts: Mapping[str, Any], size: int, where: str) -> Preprocess:
    """The preprocessing that a `preprocess_cfg` of open_clip states, for a model of `size` pixels.

    Raises:
        UserError: what cannot be done here, by name; `where` says whose words they are.
    """
    given = {name: value for name, value in facts.items() if value is not None}
    for name in given:
        if name not in _KEYS:
            raise _refused(where, name, given[name], f"known are {', '.join(_KEYS)}")
    if given.get("mode", "RGB") != "RGB":
        raise _refused(where, "mode", given["mode"], "images are RGB here")
    if _side(given.get("size", size)) != size:
        raise _refused(where, "size", given["size"], f"the model takes {size} x {size} pixels")
    mode = given.get("resize_mode", "shortest")
    if mode not in get_args(ResizeMode):
        raise _refused(where, "resize_mode", mode, _only(ResizeMode))
    interpolation = given.get("interpolation", "bicubic")
    if interpolation == "random":  # of open_clip's trainings, which test with bicubic then
        interpolation = "bicubic"
    if interpolation not in get_args(Interpolation):
        raise _refused(where, "interpolation", interpolation, _only(Interpolation))
    usual = Preprocess(size)
    return Preprocess(
        size=size,
        mean=_triple(where, "mean", given.get("mean", usual.mean)),
        std=_triple(where, "std", given.get("std", usual.std)),
        interpolation=interpolation,
        resize_mode=mode,
        # Where nothing is filled, it says nothing about pixels.
        fill_color=_level(where, given.get("fill_color", 0)) if mode == "longest" else 0,
    )


def _side(size: Any) -> Any:
    """The side of a square size, given as a number or as one or two equal ones."""
    several = isinstance(size, list | tuple) and size and len(size) <= 2
    return size[0] if several and size[0] == size[-1] else size


def _triple(where: str, name: str, value: Any) -> Triple:
    """Three channels' numbers, or one for all; standard deviations are well above 0."""
    numbers = value if isinstance(value, list | tuple) else [value]
    numbers = [*numbers] * (3 if len(numbers) == 1 else 1)
    usable = len(numbers) == 3 and all(
        isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < _LARGEST
        for n in numbers
    )
    if not usable or (name == "std" and min(numbers) < _LEAST_STD):
        wanted = "three numbers" + (f" from {_LEAST_STD} on" if name == "std" else "")
        raise _refused(where, name, value, f"wanted are {wanted}, for red, green and blue")
    red, green, blue = map(float, numbers)
    return red, green, blue


def _level(where: str, value: Any) -> int:
    """A level of gray in 0..255, given as a number or as three equal ones."""
    levels = value if isinstance(value, list | tuple) else [value]
    if len(levels) in (1, 3) and all(type(n) is int and n == levels[0] for n in levels):
        level: int = levels[0]
        if 0 <= level <= 255:
            return level
    raise _refused(where, "fill_color", value, "wanted is one whole number from 0 to 255")


def _only(kind: Any) -> str:
    *others, last = get_args(kind)
    return f"only {', '.join(others)} and {last} can be done here"


def _refused(where: str, name: str, value: Any, why: str) -> UserError:
    return UserError(
        f"{where}: preprocessing with {name} = {value!r} is not supported ({why}); numbers with "
        "another preprocessing than the weights' own would be wrong in silence"
    )

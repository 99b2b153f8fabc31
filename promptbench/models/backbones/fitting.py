"""Weights put into the model of their architecture: all of them, none left over, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from promptbench.errors import UserError
from promptbench.models.backbones import shapes
from promptbench.support.safe_text import printable, shortened

_SCALARS = ("logit_scale", "logit_bias")


def load(model: Any, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Put the weights of a file into the model of the architecture `name`.

    Raises:
        UserError: they are of another architecture, with both sizes and, if it is known, whose they
            are; or the file holds more than a model.
    """
    wanted = model.state_dict()
    state = adapted(state, wanted)
    problems = list(_problems(state, wanted, name))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(
            f"{path} does not fit {name}: {problems[0]}{more}; {_remedy(state, wanted, name)}"
        )
    model.load_state_dict(state, strict=True)


def adapted(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names and shapes that a model of the same tensors has.

    Open_clip has put a text tower below "text." since it has several kinds; SigLIP's scale and bias
    are lists of one in some files. A bias is added to all logits alike, which changes no
    probability: a model without one does without it, and one that has it begins at zero, as in
    open_clip (`factory.load_checkpoint`).
    """
    found = {_renamed(name, wanted): value for name, value in state.items()}
    for name in _SCALARS:
        if name in found and name in wanted and found[name].numel() == wanted[name].numel():
            found[name] = found[name].reshape(wanted[name].shape)
    if "logit_bias" not in wanted:
        found.pop("logit_bias", None)
    elif "logit_bias" not in found:
        found["logit_bias"] = wanted["logit_bias"].new_zeros(wanted["logit_bias"].shape)
    spare = [n for n in found if n.endswith(".position_ids") and n not in wanted]
    for name in spare:  # they count up; newer versions of transformers make them
        del found[name]
    return found


def _renamed(name: str, wanted: Mapping[str, Tensor]) -> str:
    """The one of a name's two forms that the model has, if it has one."""
    forms = (name, name.removeprefix("text."), f"text.{name}")
    return next((form for form in forms if form in wanted), name)


def _problems(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str
) -> Iterator[str]:
    """What is wrong, other shapes first, since they tell most."""
    for key, value in wanted.items():
        if key in state and state[key].shape != value.shape:
            ours, theirs = list(value.shape), list(state[key].shape)
            yield f"{key} has the shape {theirs} in the file and {ours} in {name}"
    for key in wanted:
        if key not in state:
            yield f"the file lacks {key}"
    for key in state:
        if key not in wanted:
            yield f"{name} has no tensor {printable(shortened(key))!r}"


def _remedy(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> str:
    is_whole = all(key in state and state[key].shape == v.shape for key, v in wanted.items())
    if is_whole and not any("resblocks" in key for key in state.keys() - wanted.keys()):
        return "save a file without these"
    said = shapes.of_state(state)
    if said is not None and said == shapes.of_state(wanted):
        return f"the file is of {name}'s sizes, but not a whole one; fetch or save it again"
    text = f"the file is of {said}; " if said else ""
    if fitting := [other for other in shapes.architectures_of(state) if other != name]:
        return f"{text}its shapes are those of --backbone {' or '.join(fitting[:4])}"
    return f"{text}pass the architecture it was trained as with --backbone"

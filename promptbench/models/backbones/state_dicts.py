"""The weights in a checkpoint file, read without running anything in it, known for what they are.

Trainings leave more in their checkpoints than weights, and put the model below a prefix; Hugging
Face transformers has names of its own. What is CLIP's is taken out where that is beyond doubt;
anything else is named, with what to do.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.errors import UserError
from promptbench.models.backbones import archives, folders, torchscript, transformers_names
from promptbench.support.safe_text import printable, shortened

# Entries beside the weights: OpenAI's archives carry sizes, traced models the causal mask.
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")
# Under which trainings put the model; DeepSpeed's is the last.
_HOLDERS = ("state_dict", "model_state_dict", "model", "net", "module")
_WRAPPED = "._orig_mod."  # torch.compile of a part of the model
# What parallel training, compilation and wrapping modules put before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.", "clip_model.", "clip.")
_UNKNOWN = re.compile(r"GLOBAL ([\w.]+)")  # what torch says it will not build
_IMAGE, _TEXT = "visual.", ("token_embedding.weight", "text.")  # how open_clip's towers begin
_COUNTS = re.compile(r"(^|\.)(position_ids|token_type_ids|relative_position_index)$")
_SCALARS = ("logit_scale", "logit_bias")  # weights; others count steps and the like
_LARGEST_SCALE = 88.0  # the exponential of more is infinite in float32

# Names that tell what a file is, where it is not a CLIP of open_clip, and what to do then.
_LEARNED = (
    "what a prompt-learning method has learned, not a backbone; --weights takes the CLIP that it "
    "was trained on, and promptbench trains methods itself"
)
_OTHERS = (
    (("prompt_learner.", "ctx", "token_prefix", "token_suffix"), _LEARNED),
)  # fmt: skip


def read(path: Path) -> dict[str, Tensor]:
    """The float32 state dict of a CLIP under open_clip's names.

    `path` is a .safetensors, a .pt of open_clip or of a training with it, or a TorchScript archive,
    also with transformers' names, or the index of such files in parts.

    Raises:
        UserError: it cannot be read, or holds something else; with what it is, if that is known.
    """
    parts = folders.parts_of(path) if folders.is_index(path) else [path]
    tables = [_tensors_in(_read(part), part) for part in parts]
    state = _clip_in(_joined(tables, parts), path)
    state = {key: value for key, value in state.items() if key not in _NOT_WEIGHTS}
    _check_numbers(state, path)
    if transformers_names.are_of_transformers(state):
        state = transformers_names.converted(state, str(path))
    weights = {key: value if _counts(key, value) else value.float() for key, value in state.items()}
    broken = [key for key, value in weights.items() if not bool(value.isfinite().all())]
    if broken:
        raise UserError(
            f"{path}: {len(broken)} of its tensors hold numbers that are not finite, the first is "
            f"{_shown(broken[0])}; take a checkpoint from before its training diverged"
        )
    scale = weights.get("logit_scale")
    if scale is not None and bool((scale > _LARGEST_SCALE).any()):
        raise UserError(
            f"{path}: logit_scale is {float(scale.max()):.4g}, and its exponential, by which "
            "cosines are multiplied, is not finite; it is the natural logarithm of the scale "
            "(4.605 for CLIP's 100)"
        )
    return weights


def _joined(tables: list[dict[str, Tensor]], parts: list[Path]) -> dict[str, Tensor]:
    """The tensors of all parts; a name stands in one of them."""
    found: dict[str, Tensor] = {}
    for table, part in zip(tables, parts, strict=True):
        if twice := found.keys() & table.keys():
            raise UserError(f"{part} holds {_shown(min(twice))}, which another part has, too")
        found |= table
    return found


def _counts(name: str, value: Tensor) -> bool:
    """Whether a tensor holds places to look something up at, which are whole numbers."""
    return _COUNTS.search(name) is not None and not value.is_floating_point()


def _read(path: Path) -> Any:
    try:
        return _content(path)
    except archives.RefusedArchive as error:
        raise UserError(f"refused to read weights {path}: {error}") from error
    except Exception as error:  # torch and safetensors raise many types for a damaged file
        raise UserError(
            f"cannot read weights {path}: damaged, or no .safetensors, open_clip .pt or "
            f"TorchScript archive ({type(error).__name__})"
        ) from error


def _check_numbers(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that float32 would not hold as they are, or that no file of this size holds.

    Raises:
        UserError: the first of them, or how many bytes all of them would take.
    """
    for name, value in state.items():
        tensor = f"{path}: the tensor {_shown(name)}"
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            kind = "quantised" if value.is_quantized else "sparse, or without its numbers"
            raise UserError(f"{tensor} is {kind}; save plain float tensors")
        is_number = value.is_floating_point() and value.element_size() > 1  # float8 has a scale
        is_weight = value.ndim or name.endswith(_SCALARS)
        if is_weight and not (is_number or _counts(name, value)):
            kind = str(value.dtype).removeprefix("torch.")
            quantised = ", as quantised weights are" if value.element_size() == 1 else ""
            raise UserError(
                f"{tensor} holds {kind} numbers{quantised}, which weights of a CLIP are not; save "
                "it as float16, bfloat16 or float32"
            )
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(
                f"{tensor} of shape {_shown(list(value.shape))} repeats the few numbers "
                "that are stored; save contiguous tensors"
            )
    total = sum(value.numel() * value.element_size() for value in state.values())
    if total > 2 * (stored := folders.size_of(path)):  # tied weights are stored once
        raise UserError(
            f"{path}: its tensors take {total / 2**20:,.0f} MiB, the file only "
            f"{stored / 2**20:,.0f}: they share what is stored; save them apart"
        )


def _content(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        archives.check(path, path.stat().st_size)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if archives.is_archive(path):
        return torchscript.state_dict(path)
    if not zipfile.is_zipfile(path):
        archives.check_old_form(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):  # a training's, with more in it than torch will build
            return torchscript.content(path)
        named = _UNKNOWN.search(str(error))
        if named is None:
            raise
        raise archives.RefusedArchive(
            f"beside tensors it holds {named[1]}, in the form of torch before 1.6; load it where "
            "you trust it, and save its state dict only (torch.save)"
        ) from error


def _tensors_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The table of tensors in a checkpoint, wherever a training has put it."""
    tables = [content] if isinstance(content, dict) else []
    tables = [
        *(content[name] for name in _HOLDERS if tables and isinstance(content.get(name), dict)),
        *tables,
    ]
    for table in tables:
        if table and all(isinstance(v, Tensor) for v in table.values()):
            return {str(name): value for name, value in table.items()}
    inside = f"; it holds {_some(content)}" if isinstance(content, dict) and content else ""
    raise UserError(f"cannot read weights {path}: no plain state dict of tensors in it{inside}")


def _clip_in(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The state dict without the prefixes that all names share.

    Raises:
        UserError: it is not a CLIP of open_clip's form.
    """
    names = [name.replace(_WRAPPED, ".") for name in state]
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    if len(set(names)) < len(names):
        raise UserError(f"{path} holds a model twice, with and without what torch.compile adds")
    if _is_clip(names) or transformers_names.are_of_transformers(names):
        return dict(zip(names, state.values(), strict=True))
    for starts, what in _OTHERS:
        if any(name.startswith(starts) for name in _without_wrapping(names)):
            raise UserError(f"{path} holds {what}")
    below = _places_of_clips(names)
    if below:
        beside = [name for name in names if not name.startswith(below[0])]
        more = f", and beside it {_some(dict.fromkeys(beside))}" if beside else ""
        raise UserError(
            f"{path} holds a CLIP below {_shown(below[0])!r}{more}; save a file with that CLIP's "
            "own state dict and pass this"
        )
    raise UserError(
        f"{path} does not hold a CLIP: its names are neither open_clip's ({_IMAGE} and "
        f"{' or '.join(_TEXT)}) nor those of transformers; it holds {_some(state)}"
    )


def _is_clip(names: list[str]) -> bool:
    """Whether names are those of both towers in open_clip."""
    return any(name.startswith(_IMAGE) for name in names) and any(
        name.startswith(_TEXT) for name in names
    )


def _places_of_clips(names: list[str]) -> list[str]:
    """The prefixes below which there is a whole CLIP, among other things."""
    places = {name[: name.rindex(f".{_IMAGE}") + 1] for name in names if f".{_IMAGE}" in name}
    return sorted(
        place
        for place in places
        if _is_clip([name.removeprefix(place) for name in names if name.startswith(place)])
    )


def _without_wrapping(names: list[str]) -> list[str]:
    """Names without the prefixes that some of them have."""
    for prefix in _PREFIXES:
        names = [name.removeprefix(prefix) for name in names]
    return names


def _shown(name: Any) -> str:
    """What a file of others holds, such as a name of any length, as a message may show it."""
    return printable(shortened(str(name)))


def _some(names: Mapping[str, Any]) -> str:
    shown = [_shown(name) for name in list(names)[:3]]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""The weights in a checkpoint file, read without running anything in it, known for what they are.

Trainings leave more in their checkpoints than weights, and put the model below a prefix. What is
CLIP's is taken out where that is beyond doubt; anything else is named, with what to do.
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
from promptbench.models.backbones import torchscript
from promptbench.support.safe_text import printable, shortened

# Entries beside the weights: OpenAI's archives carry sizes, traced models the causal mask.
_NOT_WEIGHTS = (
    *("input_resolution", "context_length", "vocab_size", "attn_mask"),
    "text.transformer.embeddings.position_ids",  # of older transformers
)
_HOLDERS = ("state_dict", "model_state_dict", "model")  # under which trainings put the model
# What parallel training, compilation and wrapping modules put before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.", "clip_model.", "clip.")
_UNKNOWN = re.compile(r"GLOBAL ([\w.]+)")  # what torch says it will not build
_OF_CLIP = ("visual.conv1.weight", "token_embedding.weight")

# Names that tell what a file is, where it is not a CLIP of open_clip, and what to do then.
_LEARNED = (
    "what a prompt-learning method has learned, not a backbone; --weights takes the CLIP that it "
    "was trained on, and promptbench trains methods itself"
)
_OTHERS = (
    (("vision_model.", "text_model."), (
        "a CLIP of Hugging Face transformers, whose names and layout are others; take the same "
        "weights in open_clip's form: a tag of its registry, or the files open_clip_config.json "
        "and open_clip_model.safetensors"
    )),
    (("prompt_learner.", "ctx", "token_prefix", "token_suffix"), _LEARNED),
)  # fmt: skip


def read(path: Path) -> dict[str, Tensor]:
    """The float32 state dict of a CLIP: a .safetensors, a .pt of open_clip or of a training with
    it, or a TorchScript archive.

    Raises:
        UserError: it cannot be read, or holds something else; with what it is, if that is known.
    """
    try:
        content = _content(path)
    except torchscript.RefusedArchive as error:
        raise UserError(f"refused to read weights {path}: {error}") from error
    except Exception as error:  # torch and safetensors raise many types for a damaged file
        raise UserError(
            f"cannot read weights {path}: damaged, or no .safetensors, open_clip .pt or "
            f"TorchScript archive ({type(error).__name__})"
        ) from error
    state = _clip_in(_tensors_in(content, path), path)
    state = {key: value for key, value in state.items() if key not in _NOT_WEIGHTS}
    _check_numbers(state, path)
    weights = {key: value.float() for key, value in state.items()}
    broken = [key for key, value in weights.items() if not bool(value.isfinite().all())]
    if broken:
        raise UserError(
            f"{path}: {len(broken)} of its tensors hold numbers that are not finite, the first is "
            f"{_shown(broken[0])}; take a checkpoint from before its training diverged"
        )
    return weights


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
        if value.is_complex() or (value.ndim and not value.is_floating_point()):
            raise UserError(
                f"{tensor} holds {str(value.dtype).removeprefix('torch.')} numbers, which are no "
                "weights of a CLIP; save it as float16, bfloat16 or float32"
            )
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(
                f"{tensor} of shape {_shown(list(value.shape))} repeats the few numbers "
                "that are stored; save contiguous tensors"
            )
    total = sum(value.numel() * value.element_size() for value in state.values())
    if total > 2 * path.stat().st_size:  # tied weights are stored once
        raise UserError(
            f"{path}: its tensors take {total / 2**20:,.0f} MiB, the file only "
            f"{path.stat().st_size / 2**20:,.0f}: they share what is stored; save them apart"
        )


def _content(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        torchscript.check(path, path.stat().st_size)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if torchscript.is_archive(path):
        return torchscript.state_dict(path)
    if not zipfile.is_zipfile(path):
        torchscript.check_old_form(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):  # a training's, with more in it than torch will build
            return torchscript.content(path)
        named = _UNKNOWN.search(str(error))
        if named is None:
            raise
        raise torchscript.RefusedArchive(
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
    names = list(state)
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    if all(name in names for name in _OF_CLIP) or _is_of_others(names):
        return dict(zip(names, state.values(), strict=True))
    for starts, what in _OTHERS:
        if any(name.startswith(starts) for name in _without_wrapping(names)):
            raise UserError(f"{path} holds {what}")
    below = sorted({n.removesuffix(_OF_CLIP[0]) for n in names if n.endswith(f".{_OF_CLIP[0]}")})
    if below:
        beside = [name for name in names if not name.startswith(below[0])]
        more = f", and beside it {_some(dict.fromkeys(beside))}" if beside else ""
        raise UserError(
            f"{path} holds a CLIP below {_shown(below[0])!r}{more}; save a file with that CLIP's "
            "own state dict and pass this"
        )
    raise UserError(
        f"{path} does not hold a CLIP of open_clip's form ({' and '.join(_OF_CLIP)} are missing); "
        f"it holds {_some(state)}"
    )


def _is_of_others(names: list[str]) -> bool:
    """Whether the names are of a model of open_clip whose towers are not both those of CLIP."""
    image = any(name.startswith(("visual.trunk.", "visual.conv1.")) for name in names)
    text = any(name == _OF_CLIP[1] or name.startswith("text.") for name in names)
    return image and text and "logit_scale" in names


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

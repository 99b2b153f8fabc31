"""Weights of Hugging Face transformers' CLIP and SigLIP under open_clip's names.

Both libraries compute the same towers; names and layout differ. CLIP there has queries, keys and
values apart and its projections the other way round; SigLIP's image tower is in open_clip one of
timm. Which name becomes which is a closed table: a name that is not in it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from promptbench.errors import UserError
from promptbench.support.safe_text import printable, shortened

_STARTS = ("text_model.", "vision_model.")
_BUFFERS = re.compile(r"\.position_ids$")  # of older versions; they count up and say nothing
_LAYER = re.compile(r"(text_model|vision_model)\.encoder\.layers\.(\d+)\.(.+)")
_OURS = re.compile(r"visual\.transformer\.resblocks\.(\d+)\.(.+)")
_PARTS = ("q", "k", "v")

_SHARED = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
}
_CLIP = {
    **_SHARED,
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # as it is spelled there
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "visual_projection.weight": "visual.proj",
}
_TRANSPOSED = ("text_projection", "visual.proj")  # linear maps there, matrices in open_clip
_POOL = "visual.trunk.attn_pool."
_HEAD = "vision_model.head."
_SIGLIP = {
    **{name: f"text.{ours}" for name, ours in _SHARED.items() if name.startswith("text_model.")},
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
    "text_model.head.weight": "text.text_projection.weight",
    "text_model.head.bias": "text.text_projection.bias",
    "vision_model.embeddings.patch_embedding.weight": "visual.trunk.patch_embed.proj.weight",
    "vision_model.embeddings.patch_embedding.bias": "visual.trunk.patch_embed.proj.bias",
    "vision_model.embeddings.position_embedding.weight": "visual.trunk.pos_embed",
    "vision_model.post_layernorm.weight": "visual.trunk.norm.weight",
    "vision_model.post_layernorm.bias": "visual.trunk.norm.bias",
    f"{_HEAD}probe": f"{_POOL}latent",
    f"{_HEAD}attention.out_proj.weight": f"{_POOL}proj.weight",
    f"{_HEAD}attention.out_proj.bias": f"{_POOL}proj.bias",
    f"{_HEAD}layernorm.weight": f"{_POOL}norm.weight",
    f"{_HEAD}layernorm.bias": f"{_POOL}norm.bias",
    f"{_HEAD}mlp.fc1.weight": f"{_POOL}mlp.fc1.weight",
    f"{_HEAD}mlp.fc1.bias": f"{_POOL}mlp.fc1.bias",
    f"{_HEAD}mlp.fc2.weight": f"{_POOL}mlp.fc2.weight",
    f"{_HEAD}mlp.fc2.bias": f"{_POOL}mlp.fc2.bias",
}
# What queries, keys and values become together, and the other parts of a block.
_BLOCK = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_TIMM_BLOCK = {
    "self_attn.out_proj": "attn.proj",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def are_of_transformers(names: Iterable[str]) -> bool:
    """Whether names of tensors are those of transformers' CLIP or SigLIP."""
    return any(name.startswith(_STARTS) for name in names)


def converted(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The same weights under open_clip's names.

    `state` holds a whole CLIP or SigLIP; `where` says in messages whose it is.

    Raises:
        UserError: one of the towers is missing, or a tensor has no counterpart in open_clip.
    """
    for start, tower in zip(_STARTS, ("text", "image"), strict=True):
        if not any(name.startswith(start) for name in state):
            raise UserError(
                f"{where} holds one tower of transformers only, and no {tower} tower; both are "
                "needed, as CLIPModel or SiglipModel saves them"
            )
    state = {name: value for name, value in state.items() if not _BUFFERS.search(name)}
    siglip = "visual_projection.weight" not in state
    _refuse_variants(state, where, siglip)
    found: dict[str, Tensor] = {}
    apart: dict[str, dict[str, Tensor]] = {}  # name of open_clip -> q, k, v
    for name, value in state.items():
        ours, part = _named(name, siglip, where)
        if part:
            apart.setdefault(ours, {})[part] = value
        else:
            found[ours] = _laid_out(ours, value)
    for ours, parts in apart.items():
        if missing := [part for part in _PARTS if part not in parts]:
            raise UserError(
                f"{where} lacks a part of {ours}: the {missing[0]}_proj of transformers"
            )
        found[ours] = torch.cat([parts[part] for part in _PARTS])
    return _pooling_split(found)


def _refuse_variants(state: Mapping[str, Tensor], where: str, siglip: bool) -> None:
    """Refuse models of these names that open_clip's architectures do not have."""
    patches = state.get("vision_model.embeddings.patch_embedding.weight")
    if siglip and patches is not None and patches.dim() != 4:
        raise UserError(
            f"{where} is a SigLIP 2 of variable resolution (NaFlex), which cuts images into "
            "patches otherwise; take one of a fixed resolution, such as siglip2-base-patch16-224"
        )
    if "vision_model.head.probe" not in state and siglip:
        raise UserError(
            f"{where} is neither transformers' CLIP (visual_projection.weight is missing) nor its "
            "SigLIP (vision_model.head.probe is missing)"
        )


def _named(name: str, siglip: bool, where: str) -> tuple[str, str]:
    """A name of open_clip for one of transformers, and "q", "k" or "v" if it is such a part."""
    table = _SIGLIP if siglip else _CLIP
    if name in table:
        return table[name], ""
    if siglip and name.startswith(f"{_HEAD}attention.in_proj_"):
        return f"{_POOL}{name.removeprefix(f'{_HEAD}attention.')}", ""  # see _pooling_split
    if match := _LAYER.fullmatch(name):
        tower, number, rest = match.groups()
        timm = siglip and tower == "vision_model"
        block, kind = _block(tower, number, siglip), rest.rpartition(".")[2]
        part = rest.rpartition(".")[0]
        if kind in ("weight", "bias"):
            if part in (names := _TIMM_BLOCK if timm else _BLOCK):
                return f"{block}.{names[part]}.{kind}", ""
            if part.startswith("self_attn.") and part[-7:] in ("." + p + "_proj" for p in _PARTS):
                joined = f"qkv.{kind}" if timm else f"in_proj_{kind}"
                return f"{block}.attn.{joined}", part[-6]
    raise UserError(
        f"{where} holds a {'SigLIP' if siglip else 'CLIP'} of transformers with a tensor that "
        f"open_clip's does not have: {printable(shortened(name))}"
    )


def _block(tower: str, number: str, siglip: bool) -> str:
    if tower == "vision_model":
        place = "visual.trunk.blocks" if siglip else "visual.transformer.resblocks"
    else:
        place = "text.transformer.resblocks" if siglip else "transformer.resblocks"
    return f"{place}.{number}"


def _laid_out(ours: str, value: Tensor) -> Tensor:
    if ours in _TRANSPOSED:
        return value.T.contiguous()
    if ours == "visual.trunk.pos_embed":
        return value.unsqueeze(0)
    if ours in ("logit_scale", "logit_bias"):  # one number, in a list of one with SigLIP
        return value.reshape(())
    return value


def _pooling_split(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """SigLIP's pooling has its query apart from keys and values, in timm as in no other block."""
    for kind in ("weight", "bias"):
        joined = found.pop(f"{_POOL}in_proj_{kind}", None)
        if joined is not None:
            width = len(joined) // 3
            found[f"{_POOL}q.{kind}"] = joined[:width].contiguous()
            found[f"{_POOL}kv.{kind}"] = joined[width:].contiguous()
    return found


def vision_to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower of an open_clip CLIP, names with `visual.`, under transformers' names: the
    opposite of `converted`; float32 on the CPU.

    Raises:
        KeyError: a tensor that transformers' CLIP does not have.
    """
    theirs = {ours: name for name, ours in _CLIP.items()}
    parts = {ours: name for name, ours in _BLOCK.items()}
    found: dict[str, Tensor] = {}
    for ours, value in state.items():
        plain = value.detach().float().cpu()
        if ours in theirs:
            plain = plain.T if ours in _TRANSPOSED else plain
            found[theirs[ours]] = plain.contiguous()
            continue
        match = _OURS.fullmatch(ours)
        if match is None:
            raise KeyError(ours)
        layer, rest = f"vision_model.encoder.layers.{match[1]}", match[2]
        if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):
            kind = rest.rpartition("_")[2]
            for part, own in zip(_PARTS, plain.chunk(3), strict=True):
                found[f"{layer}.self_attn.{part}_proj.{kind}"] = own.contiguous()
            continue
        name, _, kind = rest.rpartition(".")
        if name not in parts:
            raise KeyError(ours)
        found[f"{layer}.{parts[name]}.{kind}"] = plain.contiguous()
    return found

"""Small members of the families of backbones: towers of the same kinds, narrow, for small images.

Each is an architecture of open_clip under a name of its own ("small-RN50"), with a trunk of timm
where the family's is. Weights are random.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from promptbench.models.backbones import architecture
from promptbench.support.compat import import_open_clip
from promptbench.support.seeding import seeded

_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 12}
_VIT = {"image_size": 32, "patch_size": 16, "width": 48, "head_width": 16, "layers": 12}
_TRUNK = {"image_size": 32, "timm_model_pretrained": False}
_SIGLIP = {
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        **_TRUNK, "timm_model_name": "small_siglip", "timm_pool": "map", "timm_proj": "none",
    },
}  # fmt: skip
_SIGLIP_TEXT = {
    **_TEXT, "context_length": 64, "vocab_size": 512, "width": 48, "no_causal_mask": True,
    "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
    "tokenizer_kwargs": {"clean": "canonicalize"},
}  # fmt: skip
# What a family's architectures have, by the name of a published member.
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "RN50": {
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": _TEXT,
    },
    "ViT-B-32": {"vision_cfg": _VIT, "text_cfg": _TEXT},
    "ViT-L-14-336": {
        "quick_gelu": True,
        "vision_cfg": {**_VIT, "image_size": 42, "patch_size": 14, "layers": 13},
        "text_cfg": _TEXT,
    },
    "ViT-B-16-SigLIP": {
        **_SIGLIP,
        "text_cfg": {**_SIGLIP_TEXT, "hf_tokenizer_name": "t5"},
    },
    "ViT-B-16-SigLIP2": {
        **_SIGLIP,
        "text_cfg": {
            **_SIGLIP_TEXT, "hf_tokenizer_name": "gemma", "act_kwargs": {"approximate": "tanh"},
        },
    },
    "EVA02-B-16": {
        "custom_text": True,
        "vision_cfg": {
            **_TRUNK, "timm_model_name": "small_eva02", "timm_pool": "token", "timm_proj": None,
        },
        "text_cfg": _TEXT,
    },
    "PE-Core-B-16": {
        "custom_text": True,
        "vision_cfg": {
            **_TRUNK, "timm_model_name": "small_pe_core", "timm_pool": "map", "timm_proj": None,
        },
        "text_cfg": {**_TEXT, "context_length": 32},
    },
    "ViT-H-14-worldwide": {
        "vision_cfg": _VIT,
        "text_cfg": {
            **_TEXT, "vocab_size": 512, "hf_tokenizer_name": "xlm", "pool_type": "eos", "eos_id": 2,
        },
    },
    "ViT-L-14-CLIPA": {
        "vision_cfg": {
            **_VIT, "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True,
        },
        "text_cfg": {
            **_TEXT, "context_length": 32, "vocab_size": 512, "hf_tokenizer_name": "bert",
            "tokenizer_kwargs": {"strip_sep_token": True}, "pool_type": "last",
            "no_causal_mask": True,
        },
    },
    "convnext_base": {
        "vision_cfg": {
            **_TRUNK, "timm_model_name": "small_convnext", "timm_pool": "",
            "timm_proj": "linear", "timm_drop": 0.0, "timm_drop_path": 0.1, "image_size": 64,
        },
        "text_cfg": _TEXT,
    },
    "BiomedCLIP": {
        "vision_cfg": {
            **_TRUNK, "timm_model_name": "small_vit", "timm_pool": "", "timm_proj": "linear",
        },
        "text_cfg": {
            "hf_model_name": "bert", "hf_tokenizer_name": "bert", "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 64,
        },
    },
    "MobileCLIP-S1": {
        "custom_text": True,
        "vision_cfg": {
            **_TRUNK, "timm_model_name": "small_convnext", "timm_pool": "avg", "timm_proj": None,
            "image_size": 64,
        },
        "text_cfg": {**_TEXT, "no_causal_mask": True},
    },
    "coca_ViT-B-32": {
        "custom_text": True,
        "vision_cfg": {
            **_VIT, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True,
        },
        "text_cfg": {**_TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {
            "context_length": 76, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1,
            "attn_pooler_heads": 2,
        },
    },
}  # fmt: skip
EMBED_DIM = 48


def config_of(family: str) -> dict[str, Any]:
    """open_clip's configuration of the small member of a family."""
    _register_trunks()
    return {"embed_dim": EMBED_DIM, **copy.deepcopy(dict(FAMILIES[family]))}


def register(family: str, **text: Any) -> str:
    """Make a small member known to open_clip, and return its name.

    Args:
        text: settings of its text tower in place of the family's, such as where a tokenizer lies.
    """
    name, config = f"small-{family}", config_of(family)
    config["text_cfg"] |= text
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps(config))
        import_open_clip().add_model_config(path)
    assert architecture(name) == config
    return name


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """A model with random weights and statistics of norms, all large enough to matter."""
    with seeded(seed, "families"), torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if not value.is_floating_point() or name in ("logit_scale", "logit_bias"):
                continue
            if value.isinf().any() or "rope" in name:  # a mask, or angles
                continue
            is_scale = name.endswith(("running_var", "weight", "gamma")) and value.dim() == 1
            if is_scale:
                value.copy_(1 + 0.1 * torch.rand_like(value))
            elif value.dim() < 2:
                value.copy_(0.1 * torch.randn_like(value))
            else:
                value.copy_(torch.randn_like(value) * math.sqrt(1.0 / value[0].numel()))
        model.logit_scale.fill_(math.log(50))  # type: ignore[operator, union-attr]
    return model.eval()


def _register_trunks() -> None:
    """Make the small trunks known to timm; once is enough."""
    import_open_clip()  # before timm: see `promptbench.support.compat`
    from timm.models import _registry, convnext, eva, vision_transformer

    vit = {"img_size": 32, "patch_size": 8, "embed_dim": EMBED_DIM, "depth": 12, "num_heads": 3}
    rope = {"use_rot_pos_emb": True, "ref_feat_shape": (4, 4)}
    swiglu = {"swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True, "qkv_fused": False}
    pe_core = {
        "attn_type": "rope", "use_pre_transformer_norm": True, "rope_grid_offset": 1.0,
        "rope_grid_indexing": "xy", "attn_pool_num_heads": 2, "attn_pool_mlp_ratio": 4.0,
    }  # fmt: skip
    trunks: dict[str, Callable[..., Any]] = {
        "small_siglip": partial(vision_transformer.VisionTransformer, **vit, class_token=False),
        "small_vit": partial(vision_transformer.VisionTransformer, **vit),
        "small_eva02": partial(eva.Eva, **vit, **rope, **swiglu, mlp_ratio=4 * 2 / 3),
        "small_pe_core": partial(eva.Eva, **vit, **rope, **pe_core),
        "small_convnext": partial(convnext.ConvNeXt, depths=(1, 1, 1, 1), dims=(16, 24, 32, 48)),
    }
    for name, make in trunks.items():
        if name not in _registry._model_entrypoints:
            _registry._model_entrypoints[name] = partial(_trunk, make)


def _trunk(
    make: Callable[..., Any], pretrained: bool = False, pretrained_cfg: Any = None, **options: Any
) -> Any:
    """A trunk as `timm.create_model` asks for one."""
    options.pop("pretrained_cfg_overlay", None)
    options.pop("cache_dir", None)
    trunk = make(**options)
    trunk.pretrained_cfg = trunk.default_cfg = {"pool_size": (2, 2)}
    return trunk

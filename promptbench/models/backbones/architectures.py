"""open_clip's architectures, and which of them the methods can run on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from promptbench.demo import model as demo_model
from promptbench.errors import UserError, unknown
from promptbench.support.compat import import_open_clip, open_clip_configs


def load_tokenizer(name: str) -> Any:
    """open_clip's tokenizer of a backbone."""
    demo_model.register()
    return import_open_clip().get_tokenizer(name)


def architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration of `name`, refused unless both towers are plain CLIP ViTs."""
    known = {**open_clip_configs(), demo_model.NAME: demo_model.config}
    if name not in known:
        raise unknown("backbone", name, known, "open_clip's names")
    config = known[name]()
    vision, text = config["vision_cfg"], config["text_cfg"]
    plain = (
        not config.get("custom_text")
        and "multimodal_cfg" not in config
        and isinstance(vision.get("layers"), int)
        and "timm_model_name" not in vision
        and "hf_model_name" not in text
    )
    if not plain:
        raise _unsupported(name)
    return config


def _unsupported(name: str) -> UserError:
    return UserError(
        f"backbone {name!r} is not an OpenAI-style ViT CLIP (class token, causal text tower); the "
        "methods edit tokens of such towers only. Try ViT-B-16-quickgelu or ViT-B-32-quickgelu"
    )


def check_towers(name: str, model: Any) -> None:
    """Refuse a model whose built towers are not plain CLIP ViTs."""
    visual = model.visual
    fits = (
        type(visual).__name__ == "VisionTransformer"
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.final_ln_after_pool
        and isinstance(visual.proj, Tensor)
        and isinstance(model.text_projection, Tensor)
        and model.text_pool_type == "argmax"
        and model.attn_mask is not None
    )
    if not fits:
        raise _unsupported(name)

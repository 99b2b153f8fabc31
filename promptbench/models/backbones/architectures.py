"""open_clip's architectures, what each offers to methods, and how a model of one is built."""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from promptbench.demo import model as demo_model
from promptbench.errors import UserError, one_line, unknown
from promptbench.models.capabilities import OF_CLIP, Capabilities, in_words, missing
from promptbench.support.compat import import_open_clip, open_clip_configs

TRANSFORMERS = "pip install 'promptbench-vlm[transformers]'"
# Backbones that a refusal may name, the usual ones first.
_WELL_KNOWN = (
    *("ViT-B-16-quickgelu", "ViT-B-32-quickgelu", "ViT-L-14-336-quickgelu"),
    *("ViT-L-14-worldwide", "ViT-B-16-SigLIP", "RN50-quickgelu"),
)
# Text towers of transformers whose configuration is that of their kind: nothing to download.
_USUAL_TEXTS = {
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract": "bert",
}
# Architectures of published weights that open_clip's registry lacks.
_OWN: dict[str, dict[str, Any]] = {
    "BiomedCLIP": {
        "embed_dim": 512,
        "vision_cfg": {
            "timm_model_name": "vit_base_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 224,
        },
        "text_cfg": {
            "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 256,
        },
    },
}


def architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration of `name`.

    Raises:
        UserError: an architecture of this name is not known.
    """
    known = _known()
    if name not in known:
        raise unknown("backbone", name, known, "open_clip's names")
    return known[name]()


def names() -> list[str]:
    """The names of all architectures: open_clip's, and those that its registry lacks."""
    return list(_known())


def _known() -> dict[str, Callable[[], dict[str, Any]]]:
    own = {name: functools.partial(copy.deepcopy, config) for name, config in _OWN.items()}
    return {**open_clip_configs(), **own, demo_model.NAME: demo_model.config}


def is_plain(config: dict[str, Any]) -> bool:
    """Whether both towers are those of CLIP: a vision transformer read at CLS, and a causal text
    transformer read at EOT, as the configuration says."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    others = {"timm_model_name", "attentional_pool", "final_ln_after_pool", "block_type"}
    others |= {"qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn"}
    return (
        not config.get("custom_text")
        and "multimodal_cfg" not in config
        and config.get("init_logit_bias") is None
        and isinstance(vision.get("layers"), int)
        and vision.get("pool_type", "tok") == "tok"
        and others.isdisjoint({*vision, *text})
        and "hf_model_name" not in text
        and not text.get("no_causal_mask")
        and text.get("pool_type", "argmax") in ("argmax", "eos")
    )


@functools.cache
def capabilities_of(name: str) -> Capabilities:
    """What the towers of an architecture offer, without weights: from the configuration where that
    says it, else from a skeleton that holds no numbers.

    Raises:
        UserError: no such architecture, or it cannot be built.
    """
    config = architecture(name)
    if is_plain(config):
        return OF_CLIP
    import torch  # where a skeleton is built, and only there

    from promptbench.models.towers import Towers

    of_transformers = "hf_model_name" in config["text_cfg"]
    if of_transformers:  # its configuration is elsewhere, and needs another package
        config["text_cfg"] = {"width": 64, "heads": 1, "layers": 1, "vocab_size": 8}
    with torch.device("meta"):
        found = Towers(build(name, config), _NoTokenizer()).capabilities
    if not of_transformers:
        return found
    return frozenset(n for n in found if not n.startswith("text_")) | {"text_embeddings"}


def lacking_in(name: str, needs: Iterable[str]) -> list[str]:
    """What of these needs the towers of an architecture do not offer.

    Raises:
        UserError: no such architecture, it cannot be built, or a need that has no meaning.
    """
    return missing(needs, capabilities_of(name))


def why_not(name: str, needs: Iterable[str]) -> str | None:
    """Why a method with these needs cannot run on an architecture: what is missing, with backbones
    that have it. None: it can."""
    needs = tuple(needs)
    absent = lacking_in(name, needs)
    if not absent:
        return None
    others = offering(needs)
    where = f"; backbones that do: {', '.join(others)}" if others else ""
    return f"it needs {in_words(absent)}, which {name} does not offer{where}"


def offering(needs: Iterable[str]) -> list[str]:
    """Well-known backbones that offer all of these needs."""
    needs = tuple(needs)
    return [name for name in _WELL_KNOWN if not lacking_in(name, needs)]


def build(name: str, config: dict[str, Any]) -> Any:
    """An untrained model of an architecture, as open_clip builds it, without downloading weights.

    Raises:
        UserError: a package that it needs, or the configuration of its text tower, is missing.
    """
    open_clip = import_open_clip()
    config = copy.deepcopy(config)
    vision, text = config["vision_cfg"], config["text_cfg"]
    vision["timm_model_pretrained"] = text["hf_model_pretrained"] = False
    apart = config.pop("custom_text", False) or "hf_model_name" in text
    kind = open_clip.model.CLIP
    if apart:
        kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.model.CustomTextCLIP
    if "hf_model_name" not in text:
        return kind(**config)
    need_transformers(name, "text tower")
    published = text["hf_model_name"]
    with tempfile.TemporaryDirectory() as folder:
        if usual := _USUAL_TEXTS.get(published):
            Path(folder, "config.json").write_text(json.dumps({"model_type": usual}))
            text["hf_model_name"] = folder
        try:
            return kind(**config)
        except OSError as error:  # as transformers says that it cannot have a file
            raise UserError(
                f"{name} needs the configuration of {published} from the Hugging Face hub, which "
                f"cannot be had: {one_line(error)}"
            ) from error


def need_transformers(name: str, part: str) -> None:
    """Refuse an architecture whose `part` is of transformers where that is not installed.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError(
            f"the {part} of {name} is one of Hugging Face transformers, which is not installed: "
            f"{TRANSFORMERS}"
        )


def load_tokenizer(name: str, beside: Path | None = None) -> Any:
    """open_clip's tokenizer of a backbone.

    Args:
        beside: a folder with weights, in which the files of a tokenizer may lie
            (tokenizer_config.json); else those of transformers come from the Hugging Face hub or
            its cache.

    Raises:
        UserError: transformers, or the files of its tokenizer, are missing.
    """
    demo_model.register()
    open_clip = import_open_clip()
    text = architecture(name)["text_cfg"]
    published = text.get("hf_tokenizer_name")
    if not published:
        return open_clip.get_tokenizer(name)
    need_transformers(name, "tokenizer")
    here = beside is not None and (beside / "tokenizer_config.json").is_file()
    try:
        return open_clip.tokenizer.HFTokenizer(
            str(beside) if here else published,
            context_length=text.get("context_length", 77),
            tokenizer_mode=text.get("tokenizer_mode"),
            **(text.get("tokenizer_kwargs") or {}),
        )
    except Exception as error:  # transformers raises many types for files that are not there
        raise UserError(
            f"{name} needs the tokenizer {published} of the Hugging Face hub, which cannot be had: "
            f"{one_line(error)}; put its files (tokenizer.json, tokenizer_config.json) beside the "
            "weights"
        ) from error


class _NoTokenizer:
    """In place of a tokenizer, where no text is read."""

    sot_token_id = eot_token_id = 0

    def encode(self, text: str) -> list[int]:
        return []

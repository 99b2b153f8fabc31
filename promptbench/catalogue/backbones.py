"""What is known of backbones for `promptbench info`: architectures, presets, files of weights.

How images enter is shown of each, since weights of one architecture may differ in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import checkpoints, presets, shapes, state_dicts
from promptbench.models.backbones import preprocessing as entering
from promptbench.models.backbones.presets import Family, Preset
from promptbench.models.capabilities import OFFERS
from promptbench.models.preprocess import Preprocess
from promptbench.support.compat import open_clip_configs, open_clip_registry

Facts = Mapping[str, Any]
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar", ".json")


def names() -> list[str]:
    """Architectures of open_clip, families of presets and presets."""
    return [*open_clip_configs(), *presets.names()]


def is_weights(name: str) -> bool:
    """Whether a name is the path of a file or folder of weights."""
    path = Path(name).expanduser()
    return path.is_dir() or (path.is_file() and (path.suffix in _ENDINGS or "/" in name))


def facts_of(name: str) -> Facts:
    """What is known of an architecture, a family or a preset, by what it is called.

    Raises:
        KeyError: nothing of these has the name.
    """
    if name in presets.families():
        return _of_family(name, presets.families()[name])
    if name in presets.presets():
        return _of_preset(presets.presets()[name])
    return _of_architecture(name, open_clip_configs()[name]())


def said(preprocess: Preprocess) -> str:
    """How images enter, in words."""
    size, usual = f"{preprocess.size} pixels", "OpenAI's mean and deviation, bicubic, shortest side"
    return ", ".join((size, *preprocess.marks)) if preprocess.marks else f"{size}, {usual}"


def _of_architecture(name: str, config: Mapping[str, Any]) -> Facts:
    size = config["vision_cfg"].get("image_size", 224)
    tags = entering.of_tags(name, size)
    by_way: dict[Preprocess, list[str]] = {}
    for tag, way in tags.items():
        by_way.setdefault(way, []).append(tag)
    sizes = shapes.of_config(config)
    return {
        "backbone": f"{name}, an architecture of open_clip",
        "activation": "QuickGELU" if config.get("quick_gelu") else "GELU",
        "sizes": str(sizes) if sizes else None,
        "embedding": f"{config['embed_dim']} dimensions",
        "images": said(entering.usual_of(name, size)),
        "images of tags": "; ".join(f"{_some(those)}: {said(way)}" for way, those in by_way.items())
        if len(by_way) > 1
        else None,
        "presets": ", ".join(
            p.name for p in presets.presets().values() if name in p.member.backbones
        ),
        "tags": _some(list(tags)),
        **_of_methods(name),
    }


def _of_methods(name: str) -> Facts:
    """What the towers of an architecture offer, and which methods run on them."""
    try:
        absent = backbones.lacking_in(name, OFFERS)
    except UserError as error:  # one that promptbench cannot build
        return {"methods": f"none: {error}"}
    runs, lacking, broken = [], dict[str, list[str]](), []
    for method in METHODS.names():
        try:
            needs = backbones.lacking_in(name, METHODS.load(method).cls.needs)
        except UserError:  # one broken package must not hide the others; `ls methods` says why
            broken.append(method)
            continue
        if needs:
            lacking.setdefault(", ".join(needs), []).append(method)
        else:
            runs.append(method)
    return {
        "offers": ", ".join(each for each in OFFERS if each not in absent),
        "does not offer": ", ".join(absent),
        "methods": f"all {len(runs)}" if not lacking else f"{len(runs)}: {', '.join(runs)}",
        "do not run": "; ".join(f"{', '.join(some)} (need {of})" for of, some in lacking.items()),
        "cannot be loaded": ", ".join(broken),
    }


def _some(tags: list[str]) -> str:
    return ", ".join(tags[:3]) + (f" and {len(tags) - 3} more" if len(tags) > 3 else "")


def _of_family(name: str, family: Family) -> Facts:
    members = {
        f"{name}-{size}": f"{' or '.join(member.backbones)}: {', '.join(member.files)}"
        for size, member in family.members.items()
    }
    return {**_of_published(family), **members}


def _of_published(family: Family) -> dict[str, Any]:
    return {
        "weights": f"{family.title} ({family.field})",
        "paper": family.paper,
        "layout": family.layout,
        "note": family.note,
    }


def _of_preset(preset: Preset) -> Facts:
    member = preset.member
    return {
        **_of_published(preset.family),
        "backbone": " or ".join(member.backbones),
        "files": ", ".join(member.files),
        "images": ", ".join({said(way) for way in _ways(preset)})
        or "as the configuration beside the weights says",
        "without --weights": f"open_clip's {member.tag}" if member.tag else "refused",
    }


def _ways(preset: Preset) -> Iterator[Preprocess]:
    if preset.member.beside:
        return
    for name in preset.member.backbones:
        size = open_clip_configs()[name]()["vision_cfg"].get("image_size", 224)
        facts = presets.preprocess_facts(preset, open_clip_registry())
        yield entering.of_registry(facts, size, preset.name)


def facts_of_weights(weights: str) -> Facts:
    """What a file or folder of weights holds, and what lies beside it.

    Raises:
        UserError: it cannot be read, or holds something else than a CLIP.
    """
    path = Path(weights).expanduser()
    found = checkpoints.of_path(path)
    state = state_dicts.read(found.path)
    sizes, fitting = shapes.of_state(state), shapes.architectures_of(state)
    alike = [name for name in fitting if _activation(name) in (found.activation, None)]
    fitting = alike if found.activation else fitting
    (*ways,) = {said(backbones.preprocess_of(name, found)): name for name in fitting}
    return {
        "weights": found.label,
        "file": found.path.name,
        "sha256": found.sha256,
        "tensors": len(state),
        "sizes": str(sizes) if sizes else "not a ViT CLIP",
        "activation": found.activation or "not said by the file or what lies beside it",
        "backbone": ", ".join(fitting) or "none of open_clip's has these sizes",
        "images": "; ".join(ways) or None,
        "stated": "how images enter" if not found.is_silent else "nothing of how images enter",
        "called as": ", ".join(presets.called_as(found.path)),
    }


def _activation(name: str) -> str | None:
    config = open_clip_configs().get(name)
    return None if config is None else "QuickGELU" if config().get("quick_gelu") else "GELU"

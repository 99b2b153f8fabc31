"""Weights in their architecture: what is adapted, and messages that name both sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import fitting, shapes, state_dicts
from promptbench.support.compat import import_open_clip, open_clip_configs

State = dict[str, Tensor]
HERE = Path("w.pt")


@pytest.fixture(scope="module")
def tiny() -> State:
    return state_dicts.read(Path(demo_model.WEIGHTS))


def built(**changes: Any) -> Any:
    config = demo_model.config()
    for tower in ("vision_cfg", "text_cfg"):
        config[tower] |= changes.get(tower, {})
    return import_open_clip().model.CLIP(**config)


def test_another_size_is_named_on_both_sides_with_whose_it_is(tiny: State) -> None:
    with pytest.raises(UserError) as caught:
        fitting.load(built(vision_cfg={"width": 64, "head_width": 32}), tiny, "Wide", HERE)
    said = str(caught.value)
    assert "w.pt does not fit Wide: " in said and " more); the file is of a ViT with" in said
    ours, theirs = tiny["visual.class_embedding"].shape[0], 64
    assert f"has the shape [{ours}] in the file and [{theirs}] in Wide" in said
    assert said.endswith(f"its shapes are those of --backbone {demo_model.NAME}")


@pytest.mark.parametrize("layers", [11, 13])
def test_another_depth_is_told_by_the_sizes(layers: int, tiny: State) -> None:
    model = demo_model.build(layers)
    with pytest.raises(UserError, match=rf"the file is of a ViT .* 12 blocks .*{demo_model.NAME}$"):
        fitting.load(model, tiny, "Other", HERE)


def test_sizes_of_weights_are_those_of_their_architecture() -> None:
    """For every ViT that open_clip has; twins in activation have one size."""
    open_clip, seen = import_open_clip(), 0
    for name, config in open_clip_configs().items():
        if (sizes := shapes.of_config(config())) is None or sizes.width > 512:
            continue
        with torch.device("meta"):
            kind = "CustomTextCLIP" if config().get("custom_text") else "CLIP"
            facts = {k: v for k, v in config().items() if k != "custom_text"}
            state = getattr(open_clip.model, kind)(**facts).state_dict()
        assert shapes.of_state(state) == sizes, name
        assert name in shapes.architectures_of(state)
        seen += 1
    assert seen >= 8
    config = demo_model.config()
    config["vision_cfg"]["image_size"] = 30  # less than a patch is left over at the side
    state = built(vision_cfg=config["vision_cfg"]).state_dict()
    assert shapes.of_state(state) == shapes.of_config(config)
    assert shapes.of_state({}) is None and shapes.architectures_of({}) == []


def test_both_forms_of_a_text_tower_fit_both_models(tiny: State) -> None:
    """Open_clip's CustomTextCLIP has below "text." what its CLIP has beside "visual."."""
    model, open_clip = built(), import_open_clip()
    custom = open_clip.model.CustomTextCLIP(**demo_model.config())
    fitting.load(custom, tiny, "Custom", HERE)
    as_custom = custom.state_dict()
    assert any(name.startswith("text.") for name in as_custom)
    fitting.load(model, as_custom, "Plain", HERE)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in tiny.items())
    theirs = open_clip.model.convert_to_custom_text_state_dict(dict(tiny))
    assert theirs.keys() == fitting.adapted(tiny, as_custom).keys()


def test_a_text_tower_of_transformers_keeps_its_names(tiny: State) -> None:
    """BERT's blocks lie below `text.transformer.`, as a CLIP's own would if it were apart."""
    words = "text.transformer.embeddings.word_embeddings.weight"
    own = {**tiny, words: torch.zeros(8, 2)}
    assert words in fitting.adapted(own, own)


def test_a_bias_of_all_logits_is_dropped_or_zero(tiny: State) -> None:
    model = built()
    fitting.load(model, {**tiny, "logit_bias": torch.tensor([-10.0])}, "Tiny", HERE)
    config = demo_model.config() | {"init_logit_bias": -10}
    biased = import_open_clip().model.CLIP(**config)
    fitting.load(biased, tiny, "Biased", HERE)
    assert biased.logit_bias.item() == 0
    listed = {**tiny, "logit_bias": torch.tensor([-5.0]), "logit_scale": torch.tensor([3.0])}
    fitting.load(biased, listed, "Biased", HERE)
    assert biased.logit_bias.item() == -5 and biased.logit_scale.item() == 3


def test_what_is_missing_and_what_is_too_much_is_named(tiny: State) -> None:
    part = {name: value for name, value in tiny.items() if name != "ln_final.bias"}
    with pytest.raises(UserError, match=r"the file lacks ln_final\.bias; .* a whole one; fetch"):
        fitting.load(built(), part, "Tiny", HERE)
    with pytest.raises(UserError, match=r"Tiny has no tensor 'head\.weight'; save a file without"):
        fitting.load(built(), {**tiny, "head.weight": torch.ones(1)}, "Tiny", HERE)

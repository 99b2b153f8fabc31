"""Parity with the reference implementations of methods that change what blocks compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from promptbench.contract import TRAIN
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, Method, unit
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods import cliplora as module
from promptbench.methods.cliplora import CLIPLoRA
from promptbench.methods.mma import MMA
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edits
from promptbench.models.towers import Capture, tokens
from tests.golden_set import DEVICE, GRAD, LABELS, SALT, Case, cases, steps, tinyclip
from tests.methods.golden_adapters import View, Views, filled

TRACED = (1, 6, 9, 12)
STEP = 1e-3  # less noisy than the first set's
SIDES = {"both": ("text", "image"), "vision": ("image",), "text": ("text",)}
POSITIONS = {  # blocks from 1, of twelve
    **{"all": tuple(range(1, 13)), "half-bottom": tuple(range(1, 7)), "bottom": (1, 2, 3, 4)},
    **{"mid": (5, 6, 7, 8), "up": (9, 10, 11, 12), "half-up": tuple(range(7, 13))},
    **{"top1": (12,), "top2": (11, 12), "top3": (10, 11, 12)},
}
MAPS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "proj"}  # as the reference calls them
TOWERS = {"text": "", "image": "visual."}


def cliplora(case: Case) -> tuple[Method, Views]:
    c = case.config
    sides, blocks = SIDES[c["encoder"]], POSITIONS[c["position"]]
    maps = {"out" if name == "o" else name: MAPS[name] for name in c["params"]}
    method = CLIPLoRA(
        case.towers,
        case.classes,
        rank=c["r"],
        alpha=c["alpha"],
        dropout=c.get("dropout_rate", 0.0),
        maps=tuple(maps),  # type: ignore[arg-type]  # one of them each
        blocks=blocks,
        sides=sides,  # type: ignore[arg-type]
    )
    views = {}
    for side, low_rank in method.low_rank.items():
        own: Any = low_rank
        for block in blocks:
            for ours, theirs in maps.items():
                name = f"{TOWERS[side]}transformer.resblocks.{block - 1}.attn.{theirs}.w_lora"
                views[f"{name}_A"] = View(own.down[f"{block}_{ours}"])
                views[f"{name}_B"] = View(own.up[f"{block}_{ours}"])
    return method, views


def mma(case: Case) -> tuple[Method, Views]:
    c = case.config
    method = MMA(
        case.towers,
        case.classes,
        dim=c["ADAPTER_DIM"],
        scale=c["ADAPTER_SCALE"],
        first=c["ADAPTER_START"],
        last=c["ADAPTER_END"],
        prompt=c["TEXT_CTX_INIT"],
    )
    parts = {
        "text_adapter.{}.down.0": method.text_down,
        "text_adapter.{}.up": method.text_up,
        "visual_adapter.{}.down.0": method.image_down,
        "visual_adapter.{}.up": method.image_up,
        "shared_adapter.{}.0": method.shared,
    }
    views = {}
    for i, number in enumerate(method.numbers):
        for name, maps in parts.items():
            prefix = f"adapter_learner.{name.format(number)}"
            views[f"{prefix}.weight"] = View(maps.weight, i)
            views[f"{prefix}.bias"] = View(maps.bias, i)
    return method, views


DELTAS = {"cliplora": cliplora, "mma": mma}
CASES = cases(*DELTAS)


def build(case: Case, method: str) -> tuple[Any, Views]:
    """The method with the reference's parameter values, and views of them by reference name."""
    return filled(case, *DELTAS[method](case))


Masked = Callable[[Case, Views], None]


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> Masked:
    """Gives dropout the masks of a case that has them: one for each map, over whole sequences."""

    def use(case: Case, views: Views) -> None:
        if case.config.get("dropout") != "mask":
            return
        monkeypatch.setitem(
            tokens._GROUP_WORK, DEVICE.type, 1e18
        )  # texts lie as they are in a batch
        case.towers.forget()
        rate, threshold = case.config["dropout_rate"], case.config["threshold"]
        prompts = case.towers.text.tokens(list(case.classes.prompts))
        names = {id(view.parameter): name for name, view in views.items()}
        now = [""]
        thinned = module._thinned

        def naming(x: Tensor, function: Any, dropout: float) -> Tensor:
            now[0] = names[id(function.keywords["down"])].removesuffix(".w_lora_A")
            return thinned(x, function, dropout)

        def dropping(x: Tensor, p: float) -> Tensor:
            assert p == rate
            shape = (4, 5) if now[0].startswith("visual") else (6, 77)
            drawn = tinyclip.fill(SALT, f"dropout/{now[0]}", (*shape, x.shape[1]))
            mask = ((drawn > threshold) / (1 - rate)).to(x.device)
            own = mask[:, : prompts.embedded.shape[1]]
            if len(x) == len(own):  # queries of the last block, where features are read
                ends = torch.zeros(4, dtype=torch.long) if shape[0] == 4 else prompts.ends
                return x * own[torch.arange(len(own)), ends]
            return x * own.flatten(0, 1)

        monkeypatch.setattr(module, "_thinned", naming)
        monkeypatch.setattr(module.F, "dropout", dropping)

    return use


@pytest.mark.parametrize(("method", "name"), CASES)
def test_changed_blocks(method: str, name: str, masked: Masked) -> None:
    case = Case(method, name)
    built, views = build(case, method)
    built.eval()
    prepared = built.prepare(case.classes)
    case.check("text_features", prepared)
    case.check("image_features", built.image_features(case.images))
    case.check("logits", built.logits(case.images, prepared))
    case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))
    built.train()
    masked(case, views)
    trained = built.prepare(case.classes)
    if "logits_train" in case.tensors:
        case.check("logits_train", built.logits(case.images, trained))
    terms = built.losses(case.images, LABELS, trained)
    case.check("loss/ce", terms["ce"])
    case.check("loss/total", built.total(terms))


@pytest.mark.parametrize(("method", "name"), CASES)
def test_changed_blocks_traces(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(case, method)
    text, image = case.towers.text, case.towers.image
    changes: dict[str, tuple[Edits, Deltas]] = {"text": ({}, {}), "image": ({}, {})}

    def noting(edits: Edits, deltas: Deltas, side: str) -> Edits:
        changes[side] = (edits, deltas)
        return edits

    built.eval()
    with (
        text.observed(partial(noting, side="text")),
        image.observed(partial(noting, side="image")),
    ):
        built.logits(case.images, built.prepare(case.classes))
    prompts = text.tokens(list(case.classes.prompts))
    seen_text, seen_image = Capture(TRACED), Capture(TRACED)
    own, deltas = changes["text"]
    text.run(prompts, own, seen_text, deltas=deltas)
    own, deltas = changes["image"]
    image.run(image.tokens(case.images), own, seen_image, deltas=deltas)
    rows = torch.arange(len(prompts))
    eot = torch.stack([seen_text.outputs[b][rows, prompts.ends] for b in TRACED])
    case.check("trace/text_eot", eot)
    case.check("trace/visual_cls", torch.stack([seen_image.outputs[b][:, 0] for b in TRACED]))


@pytest.mark.parametrize(("method", "name"), CASES)
def test_gradients(method: str, name: str, masked: Masked) -> None:
    case = Case(method, name)
    built, views = build(case, method)
    masked(case, views)
    built.total(built.losses(case.images, LABELS, built.prepare(case.classes))).backward()
    for key, view in views.items():
        case.check(f"grad/{key}", view.grad, GRAD)


RECIPES: dict[str, tuple[Literal["adamw", "sgd"], dict[str, float]]] = {
    "cliplora": ("adamw", {"lr": 2e-4, "weight_decay": 1e-2}),
    "mma": ("sgd", {"lr": 1.5e-3, "weight_decay": 5e-4}),
}


@pytest.mark.parametrize(("method", "name"), CASES)
def test_optimiser_steps(method: str, name: str, masked: Masked) -> None:
    case = Case(method, name)
    built, views = build(case, method)
    masked(case, views)
    before = {key: view.value.clone() for key, view in views.items()}
    kind, settings = RECIPES[method]
    optimizer = Recipe(optimizer=kind, momentum=0.9, **settings).build_optimizer(built)
    case.check(f"opt_{kind}/losses", torch.stack([*steps(built, optimizer, case)]), STEP)
    logits = built.eval().logits(case.images, built.prepare(case.classes))
    case.check(f"opt_{kind}/logits_after", logits, STEP)
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check(f"opt_{kind}/param_change_l2", moved, STEP)


def test_what_they_learn_and_where_they_start() -> None:
    """On the widths of ViT-B/16; the numbers of both are those that their cards state."""
    sizes: Any = SimpleNamespace(
        text=SimpleNamespace(width=512), image=SimpleNamespace(width=768), embed_dim=512
    )
    torch.manual_seed(0)
    lora, adapters = CLIPLoRA(sizes, TRAIN), MMA(sizes, TRAIN)
    for method in (lora, adapters):
        learned = sum(p.numel() for p in method.parameters())
        assert learned == type(method).vit_b16_parameters
    image: Any = lora.low_rank["image"]
    assert lora.scale == pytest.approx(2**-0.5)  # alpha / sqrt(r)
    assert all(not up.any() for up in image.up.values())
    bound = 768**-0.5  # Kaiming-uniform with a = sqrt(5): sqrt(6 / ((1 + 5) fan_in))
    down = torch.stack(list(image.down.values()))
    assert 0.99 * bound < down.abs().max() <= bound
    assert float(down.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.02)
    for maps, fan_out in (
        (adapters.image_down, 32),
        (adapters.text_up, 512),
        (adapters.shared, 32),
    ):
        assert not maps.bias.any()
        assert float(maps.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_low_rank_maps_start_from_zero_shot_with_one_prompt_and_a_scale_of_100() -> None:
    clip = tiny_towers()
    clip.model.logit_scale.data.fill_(1.0)
    images = torch.randn(3, 3, 16, 16)
    classes = ClassSet(("red_fox", "cat"), "a sketch of a {}.")
    method = CLIPLoRA(clip, classes).train()  # dropout draws, and changes nothing
    text = clip.text.features(clip.text.tokens(["a photo of a red fox.", "a photo of a cat."]))
    expected = 100 * unit(clip.image.features(clip.image.tokens(images))) @ unit(text).T
    assert torch.allclose(method.logits(images, method.prepare(classes)), expected, atol=1e-4)


def test_adapters_without_a_block_are_refused() -> None:
    with pytest.raises(UserError, match="from block 7 to 3"):
        MMA(tiny_towers(), TRAIN, first=7, last=3)

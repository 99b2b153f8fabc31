"""Parity with the reference implementation of a method that uses class texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptbench.contract import TRAIN
from promptbench.core.method import ClassSet
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods._exchange import Mapper, Pooling
from promptbench.methods.hicropl import HiCroPL
from tests.golden_set import GRAD, LABELS, Case, cases, towers
from tests.methods.golden_adapters import View, Views, filled
from tests.methods.test_golden_deltas import STEP

TEXTS = ("hicropl",)
CASES = [name for _, name in cases(*TEXTS)]
RELEASED = [name for name in CASES if name.endswith("_released")]


def told(case: Case, names: Sequence[str]) -> ClassSet:
    texts = case.entry["llm_texts"]
    found = tuple(tuple(texts[name.replace("_", " ")]) for name in names)
    return ClassSet(tuple(names), case.entry["dataset_template"], found)


def attention(prefix: str, net: Any) -> dict[str, Any]:
    return {
        f"{prefix}.attn.in_proj_weight": net.attn.in_proj_weight,
        f"{prefix}.attn.in_proj_bias": net.attn.in_proj_bias,
        f"{prefix}.attn.out_proj.weight": net.attn.out_proj.weight,
        f"{prefix}.attn.out_proj.bias": net.attn.out_proj.bias,
        **{
            f"{prefix}.{ln}.{p}": getattr(getattr(net, ln), p)
            for ln in ("ln_1", "ln_2")
            for p in ("weight", "bias")
        },
    }


def theirs(method: HiCroPL) -> dict[str, tuple[Any, int | None]]:
    """Tensors of ours, or rows of them, by the reference's names."""
    whole: dict[str, Any] = {}
    built, text, image = method.exchange, method.exchange.text, method.exchange.image
    rows: dict[str, tuple[Any, int]] = {"ctx": (text, 0)}
    rows |= {f"cross_prompts_text.{i}": (text, i) for i in range(1, len(text))}
    rows |= {f"cross_prompts_visual.{i}": (image, i) for i in range(len(image))}
    pools: tuple[tuple[str, Pooling], ...] = (("text", built.of_text), ("visual", built.of_image))
    for side, pool in pools:
        for i, net in enumerate(pool.nets):
            whole |= attention(f"attn_pooling_{side}_nets.{i}", net)
            rows[f"{side}_proxy_token.{i}"] = (pool.queries, i)
    mappers: tuple[tuple[str, Mapper], ...] = (
        ("text2visual_net", built.to_image),
        ("visual2text_net", built.to_text),
    )
    for name, mapper in mappers:
        whole |= attention(name, mapper.net)
        linears = {"linear_q": mapper.linear_q, "linear_k": mapper.linear_k}
        linears |= {"linear_v": mapper.linear_v, "ffn.c_fc": mapper.up, "ffn.c_proj": mapper.down}
        for own, linear in linears.items():
            whole |= {f"{name}.{own}.{p}": getattr(linear, p) for p in ("weight", "bias")}
    found: dict[str, tuple[Any, int | None]] = {k: (v, None) for k, v in whole.items()}
    return {f"prompt_learner.{k}": v for k, v in {**found, **rows}.items()}


def build(name: str) -> tuple[Case, HiCroPL, Views]:
    case = Case("hicropl", name)
    names = case.entry.get("classnames") or case.classes.names
    new = case.entry.get("new_classnames") or case.new_classes.names
    case.classes, case.new_classes = told(case, names), told(case, new)
    c = case.config
    built = HiCroPL(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX"],
        depth=c["PROMPT_DEPTH"],
        cross_layer=c["CROSS_LAYER"],
        w_distance=c["LAMBD"],
        ctx_init=c["CTX_INIT"],
        as_released=not c["GRADIENT_FLOWS"],
    )
    built, _ = filled(case, built, {key: View(*place) for key, place in theirs(built).items()})
    # Looked up again: on the way to a GPU a module gets other buffers, where parameters stay.
    return case, built, {key: View(*place) for key, place in theirs(built).items()}


@pytest.fixture(autouse=True)
def scale(request: pytest.FixtureRequest) -> Any:
    """Cases may have a logit scale of their own; the towers are shared by all tests."""
    params = getattr(request.node, "callspec", SimpleNamespace(params={})).params
    entry = Case("hicropl", params["name"]).entry if "name" in params else {}
    model = towers(entry.get("arch", "tiny64")).model
    usual = model.logit_scale.data.clone()
    model.logit_scale.data.fill_(entry.get("logit_scale") or float(usual))
    yield
    model.logit_scale.data.copy_(usual)


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    case, built, _ = build(name)
    built.eval()
    own, classes, k = built.exchange, case.classes, built.exchange.cross_layer
    prepared = built.prepare(classes)
    fused, frozen = built.both_features(case.images, prepared)
    to_image, to_text = own.mapped()
    case.check("proxy_tokens_text", own.of_text(own.text[:k]))
    case.check("proxy_tokens_visual", own.of_image(own.image[k:]))
    case.check("mapped_visual_prompts", to_image)
    case.check("mapped_text_prompts", to_text)
    case.check("clip/text_features", prepared.frozen)
    case.check("clip/image_features", frozen)
    case.check("text_features_fused", prepared.text)
    case.check("image_features_fused", fused)
    case.check("logits", built.logits(case.images, prepared))
    case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))
    terms = built.losses(case.images, LABELS, prepared)
    for term in ("ce", "reg_text", "reg_image"):
        case.check(f"loss/{term}", terms[term])
    case.check("loss/total", built.total(terms))


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    case, built, views = build(name)
    built.total(built.losses(case.images, LABELS, built.prepare(case.classes))).backward()
    learned = {id(parameter) for parameter in built.parameters()}
    for key, view in views.items():
        about = case.entry["parameters"][key]
        if id(view.parameter) not in learned:
            assert "grad" in about and about["grad"] is None, key
        elif stride := about.get("grad_stride"):
            case.check(f"grad_part/{key}", view.grad.flatten()[::stride], GRAD)
            case.check(f"grad_norm/{key}", view.grad.norm(), GRAD)
        else:
            case.check(f"grad/{key}", view.grad, GRAD)


@pytest.mark.parametrize("name", CASES)
def test_optimiser_steps(name: str) -> None:
    case, built, views = build(name)
    before = {key: view.value.clone() for key, view in views.items()}
    optimizer = Recipe(optimizer="adam", lr=2.5e-3, eps=1e-3).build_optimizer(built)
    found = []
    for number in range(4):
        built.train(number < 3)  # in evaluation, a further pass of the released code writes nothing
        total = built.total(built.losses(case.images, LABELS, built.prepare(case.classes)))
        found.append(total.detach())
        if number < 3:
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    case.check("opt_adam/losses", torch.stack(found), STEP)
    logits = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_adam/logits_after", logits, STEP)
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check("opt_adam/param_change_l2", moved, STEP)


@pytest.mark.parametrize("name", RELEASED)
def test_released_code_writes_at_every_forward_pass(name: str) -> None:
    """What its evaluation does to the second and third batch; ours gives all the first's logits."""
    case, built, _ = build(name)
    built.eval()
    first = built.logits(case.images, built.prepare(case.classes))
    again = built.logits(case.images, built.prepare(case.classes))
    assert torch.equal(first, again)
    for number in (2, 3):
        built.exchange.write()
        logits = built.logits(case.images, built.prepare(case.classes))
        case.check(f"logits_forward{number}", logits)


def test_a_released_training_pass_moves_what_it_has_written() -> None:
    case, built, _ = build(RELEASED[0])
    built.train()
    own, k = built.exchange, built.exchange.cross_layer
    to_image, to_text = (each.detach() for each in own.mapped())
    built.prepare(case.classes)
    assert torch.equal(own.image[:k], to_image)
    assert torch.equal(own.text[k:], to_text)
    with torch.no_grad():  # whoever looks on in training mode changes nothing
        built.prepare(case.classes)
    assert torch.equal(own.image[:k], to_image)


def sizes(**settings: Any) -> tuple[HiCroPL, int, int]:
    """On the widths of ViT-B/16: all numbers of prompts, poolings and mappers, and the learned."""
    shape: Any = SimpleNamespace(
        text=SimpleNamespace(width=512, encode=str.split, embed=lambda words: torch.zeros(4, 512)),
        image=SimpleNamespace(width=768),
    )
    built = HiCroPL(shape, TRAIN, **settings)
    learned = sum(p.numel() for p in built.parameters())
    return built, learned + sum(b.numel() for b in built.buffers()), learned


def test_what_it_learns_and_where_it_starts() -> None:
    built, whole, learned = sizes()
    assert whole == learned == HiCroPL.vit_b16_parameters
    own = built.exchange
    parts = {"of_text": 6 * 1_052_672 + 3072, "of_image": 6 * 2_365_440 + 4608}
    parts |= {"to_image": 8_466_432, "to_text": 4_202_496}
    for name, count in parts.items():
        assert sum(p.numel() for p in getattr(own, name).parameters()) == count
    assert torch.equal(own.image[0], own.image[11])  # one draw
    assert not torch.equal(own.text[0], own.text[1])
    assert torch.equal(own.of_image.queries[0], own.of_image.queries[5])
    weights = [net.attn.in_proj_weight for net in own.of_text.nets]  # type: ignore[union-attr]
    assert torch.equal(weights[0], weights[5])  # copies of one
    across = {"n_ctx": 2, "depth": 6, "cross_layer": 5}
    assert sizes(**across)[1:] == (20_316_416, 20_316_416)
    assert sizes(as_released=True)[1:] == (33_431_040, 245_760)
    assert sizes(**across, as_released=True)[1:] == (20_316_416, 15_360)


def test_settings_that_leave_nothing_to_one_direction_are_refused() -> None:
    with pytest.raises(UserError, match="cross_layer = 12 must be below"):
        sizes(cross_layer=12)


def test_a_class_list_without_texts_is_refused() -> None:
    case, built, _ = build(CASES[0])
    with pytest.raises(UserError, match="add --class-texts FILE"):
        built.prepare(replace(case.classes, texts=()))

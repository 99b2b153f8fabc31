"""Parity with the reference implementations of more prompt learners."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor

from promptbench.core.averaging import gaussian_weights
from promptbench.core.method import unit
from promptbench.core.recipe import Recipe
from promptbench.methods.atprompt_coop import ATPromptCoOp
from promptbench.methods.atprompt_maple import ATPromptMaPLe
from promptbench.methods.dekg_kgcoop import DeKgKgCoOp
from promptbench.methods.dekg_tcp import DeKgTCP
from promptbench.methods.kgcoop import KgCoOp
from promptbench.methods.promptsrc import PromptSRC
from promptbench.methods.tcp import TCP, TCPNetwork
from promptbench.models.edits import Edits
from promptbench.models.towers import Capture, Tokens
from tests.golden_set import GRAD, LABELS, MANIFEST, Case, cases, steps
from tests.methods.golden_adapters import View, Views, coop, coupled_prompts, filled, ivlp, maple
from tests.short_form import first_of_each

TRACED = (1, 6, 9, 12)
STEP = 1e-4  # Adam's eps moves the losses by 6e-4 only; the reference's own noise is below 1e-5
SGD_NOTE, ADAM_NOTE = (MANIFEST["more"]["optim_prompt_methods"][kind] for kind in ("sgd", "adam"))


def kgcoop(case: Case) -> tuple[Any, Views]:
    return coop(case, KgCoOp, w_guide=case.config["W"])


def promptsrc(case: Case) -> tuple[Any, Views]:
    c = case.config
    weights = {"w_text": c["TEXT_LOSS_WEIGHT"], "w_image": c["IMAGE_LOSS_WEIGHT"]}
    return ivlp(case, PromptSRC, **weights)


def tcp(case: Case, cls: type[TCPNetwork] = TCP, **own: Any) -> tuple[Any, Views]:
    c = case.config
    method = cls(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX"],
        ctx_init=c["CTX_INIT"],
        block=c["INSERT_BEFORE_BLOCK"],
        prompt=case.entry["prompt_template"],
        w_guide=c["W"],
        **own,
    )
    views = {"prompt_learner.ctx": View(method.ctx)}
    for linear, theirs in ((method.down, "linear1"), (method.up, "linear2")):
        views[f"prompt_learner.meta_net.{theirs}.weight"] = View(linear.weight)
        views[f"prompt_learner.meta_net.{theirs}.bias"] = View(linear.bias)
    return method, views


def dekg_kgcoop(case: Case) -> tuple[Any, Views]:
    weights = {"w_guide": case.config["W"], "w_hsic": case.config["LOSS_WEIGHT"]}
    return coop(case, DeKgKgCoOp, **weights)


def dekg_tcp(case: Case) -> tuple[Any, Views]:
    return tcp(case, DeKgTCP, w_hsic=case.config["LOSS_WEIGHT"])


def attributes(case: Case) -> dict[str, Any]:
    """What both forms of ATPrompt are given; each word has as many soft tokens as the others."""
    c = case.config
    (n_att,) = set(c["N_ATT"])
    return {
        "n_ctx": c["N_CTX"],
        "n_att": n_att,
        "attributes": c["ATTRIBUTES"],
        "one_token": "as_released" in case.name,
    }


def soft_tokens(method: ATPromptCoOp | ATPromptMaPLe) -> Views:
    soft = method.attributes.soft
    return {f"prompt_learner.ctx_att{i + 1}": View(soft, i) for i in range(len(soft))}


def atprompt_coop(case: Case) -> tuple[Any, Views]:
    method = ATPromptCoOp(case.towers, case.classes, **attributes(case))
    return method, {"prompt_learner.ctx": View(method.ctx), **soft_tokens(method)}


def atprompt_maple(case: Case) -> tuple[Any, Views]:
    depth = case.config["PROMPT_DEPTH"]
    method = ATPromptMaPLe(case.towers, case.classes, depth=depth, **attributes(case))
    return method, {**coupled_prompts(method), **soft_tokens(method)}


class Kind(NamedTuple):
    """How a method of ours is compared: its adapter, and what our loss terms are recorded as."""

    build: Callable[[Case], tuple[Any, Views]]
    terms: Mapping[str, str] = {}


REGULARISED = {"reg_text": "reg_text", "reg_image": "reg_image", "reg_logits": "reg_logits"}
PROMPTS = {
    "kgcoop": Kind(kgcoop, {"guide": "reg_text"}),
    "promptsrc": Kind(promptsrc, REGULARISED),
    "tcp": Kind(tcp, {"guide": "reg_text"}),
    "dekg_kgcoop": Kind(dekg_kgcoop, {"guide": "reg_text", "hsic": "hsic"}),
    "dekg_tcp": Kind(dekg_tcp, {"guide": "reg_text", "hsic": "hsic"}),
    "atprompt_coop": Kind(atprompt_coop),
    "atprompt_maple": Kind(atprompt_maple),
    "maple_extra": Kind(maple),
    "ivlp_extra": Kind(ivlp),
}
CASES = cases(*PROMPTS)


def build(case: Case, method: str) -> tuple[Any, Views]:
    """The method with the reference's parameter values, and views of them by reference name."""
    return filled(case, *PROMPTS[method].build(case))


class Passes(NamedTuple):
    """What a method gives the towers: tokens and edits of its prompted passes."""

    text: tuple[Tokens, Edits]
    image: tuple[Tokens, Edits]


def passes(case: Case, built: Any, monkeypatch: pytest.MonkeyPatch) -> Passes:
    """The last passes of the towers of one evaluation; of the text tower, of those with edits."""
    seen: dict[str, tuple[Tokens, Edits]] = {}
    for side in ("text", "image"):
        tower: Any = getattr(case.towers, side)

        def noted(
            tokens: Tokens, edits: Edits | None = None, *rest: Any, own: Any = tower, to: str = side
        ) -> Tensor:
            if edits or to == "image":
                seen[to] = (tokens, edits or {})
            found: Tensor = type(own).features(own, tokens, edits, *rest)
            return found

        monkeypatch.setattr(tower, "features", noted)
    built.logits(case.images, built.prepare(case.classes))
    monkeypatch.undo()
    return Passes(**seen)


@pytest.mark.parametrize(("method", "name"), CASES)
def test_values_and_losses(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(case, method)
    prepared = built.prepare(case.classes)
    case.check("text_features", built.text_features(case.classes))
    case.check("image_features", built.image_features(case.images))
    image = case.towers.image
    raw = image.features(image.tokens(case.images), built.image_edits())
    case.check("image_features_raw", raw)
    case.check("logits", built.logits(case.images, prepared))
    if "new/logits" in case.tensors:
        case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))
    terms = built.losses(case.images, LABELS, prepared)
    recorded = {"ce": "ce", **PROMPTS[method].terms}
    assert terms.keys() == recorded.keys()
    for ours, theirs in recorded.items():
        case.check(f"loss/{theirs}", terms[ours])
    case.check("loss/total", built.total(terms))


@pytest.mark.parametrize(("method", "name"), CASES)
def test_prompts_and_traces(method: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(method, name)
    built, _ = build(case, method)
    (tokens, edits), (of_images, own) = passes(case, built, monkeypatch)
    assert tokens.ends is not None
    text, image = case.towers.text, case.towers.image
    case.check("text_features_raw", text.features(tokens, edits))
    ids = case.tensors["tokens"].long().to(case.towers.device)
    assert torch.equal(tokens.ends, ids.argmax(dim=-1).cpu())
    length = tokens.embedded.shape[1]
    assert torch.equal(tokens.embedded, case.towers.model.token_embedding(ids[:, :length]))
    if "prompts" in case.tensors:
        placed = edits[0](tokens.embedded)[2:4]
        case.check("prompts", placed[:, : case.tensors["prompts"].shape[1]])
    if "trace/text_eot" in case.tensors:
        seen_text, seen_image = Capture(TRACED), Capture(TRACED)
        text.run(tokens, edits, seen_text)
        image.run(of_images, own, seen_image)
        rows = torch.arange(len(tokens))
        eot = torch.stack([seen_text.outputs[b][rows, tokens.ends] for b in TRACED])
        case.check("trace/text_eot", eot)
        case.check("trace/visual_cls", torch.stack([seen_image.outputs[b][:, 0] for b in TRACED]))


@pytest.mark.parametrize(("method", "name"), CASES)
def test_gradients(method: str, name: str) -> None:
    case = Case(method, name)
    built, views = build(case, method)
    built.total(built.losses(case.images, LABELS, built.prepare(case.classes))).backward()
    for key, view in views.items():
        case.check(f"grad/{key}", view.grad, GRAD)


def optimiser(method: str) -> tuple[Literal["adam", "sgd"], Recipe]:
    """The optimiser of a method's recorded steps, as the manifest says."""
    found: tuple[tuple[Literal["adam", "sgd"], str, float], ...] = (
        ("adam", ADAM_NOTE, 1e-3),
        ("sgd", SGD_NOTE, 1e-8),
    )
    for kind, note, eps in found:
        rates = json.loads(re.findall(r"\{.*?\}", note)[0])
        if method in rates:
            return kind, Recipe(optimizer=kind, lr=rates[method], weight_decay=5e-4, eps=eps)
    raise AssertionError(f"no optimiser is recorded for {method}")


@pytest.mark.parametrize(("method", "name"), first_of_each(CASES))
def test_optimiser_steps(method: str, name: str) -> None:
    case = Case(method, name)
    built, views = build(case, method)
    before = {key: view.value.clone() for key, view in views.items()}
    kind, recipe = optimiser(method)
    optimizer = recipe.build_optimizer(built)
    case.check(f"opt_{kind}/losses", torch.stack([*steps(built, optimizer, case)]), STEP)
    logits = built.logits(case.images, built.prepare(case.classes))
    case.check(f"opt_{kind}/logits_after", logits, STEP)
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check(f"opt_{kind}/param_change_l2", moved, STEP)


@pytest.mark.parametrize(
    ("method", "name"), cases("kgcoop", "promptsrc", "tcp", "dekg_kgcoop", "dekg_tcp")
)
def test_frozen_targets(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(case, method)
    text = built.frozen_text(case.classes)
    case.check("clip/text_features", text)
    if method == "promptsrc":
        image = case.towers.image
        features = unit(image.features(image.tokens(case.images)))
        case.check("clip/image_features", features)
        case.check("clip/logits", built.cosine_logits(features, text))


@pytest.mark.parametrize(("method", "name"), cases("tcp", "dekg_tcp"))
def test_tokens_of_classes_come_from_frozen_features(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(case, method)
    case.check("class_tokens", built.class_tokens(built.frozen_text(case.classes)))


@pytest.mark.parametrize(("method", "name"), cases("atprompt_maple"))
def test_image_prompts_follow_the_context_only(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(case, method)
    coupled = built.image_prompts()
    case.check("shared_ctx_visual", coupled[0])
    case.check("deep_prompts_visual", coupled[1:])


@pytest.mark.parametrize(
    "name", [c for _, c in cases("promptsrc") if c in ("v4t4_d9", "v3t5_d7d4_wide")]
)
def test_promptsrc_averages_its_prompts_over_epochs(name: str) -> None:
    """Epochs of one step each, at a constant learning rate."""
    case = Case("promptsrc", name)
    built, views = build(case, "promptsrc")
    c = case.config
    _, recipe = optimiser("promptsrc")
    averaged = replace(recipe, epochs=c["MAX_EPOCH"], average=(c["GPA_MEAN"], c["GPA_STD"]))
    average, optimizer = averaged.epoch_average(), averaged.build_optimizer(built)
    losses = []
    for epoch in range(c["MAX_EPOCH"]):
        total = built.total(built.losses(case.images, LABELS, built.prepare(case.classes)))
        losses.append(total.detach())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        average.add(epoch, built)
    average.load_into(built)
    case.check("gpa/losses", torch.stack(losses), STEP)
    case.check(
        "gpa/weights", torch.tensor(gaussian_weights(c["MAX_EPOCH"], *averaged.average or ()))
    )
    for key, view in views.items():
        case.check(f"gpa/param/{key}", view.value, STEP)
    case.check("gpa/logits", built.logits(case.images, built.prepare(case.classes)), STEP)


def test_gaussian_weights_are_the_references() -> None:
    for name, recorded in MANIFEST["more"]["gpa_weights"].items():
        mean, std, epochs = map(int, re.findall(r"\d+", name))
        assert gaussian_weights(epochs, mean, std) == pytest.approx(recorded, rel=1e-6, abs=1e-40)

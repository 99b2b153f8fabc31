"""Parity with the reference implementations of methods on top of frozen features."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.core.method import unit
from promptbench.methods._cache import CacheMethod, accuracies
from promptbench.methods._feature_space import image_features
from promptbench.methods.clap import CLAP
from promptbench.methods.clipadapter import CLIPAdapter
from promptbench.methods.lpp import LPP
from promptbench.methods.taskres import TaskRes
from promptbench.methods.tipadapter import TipAdapter
from promptbench.methods.tipadapterf import TipAdapterF
from tests.golden_set import DEVICE, GRAD, LABELS, NAMES, SALT, STEP, Case, cases, steps, tinyclip

FEATURE_SPACE = ("taskres", "clipadapter", "tipadapter", "clap", "lpp")
CONSTRAINTS = {
    "none": "none",
    "l2": "l2",
    "l2-balanced": "balanced",
    "l2-corrected": "corrected",
    "l2-constant": "constant",
    "l2-adaptative": "adaptive",
}


def templates(case: Case) -> tuple[str, ...]:
    return tuple(case.entry.get("dataset_templates", ()))


def drawn(key: str, count: int) -> Tensor:
    """Images by the written rule."""
    found: Tensor = tinyclip.fill(SALT, key, (count, 3, 32, 32))
    return found.to(DEVICE)


def support(case: Case, views: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The support images of a case, as a method is shown them."""
    count = len(NAMES) * case.config["shots"]
    labels = torch.arange(count, device=DEVICE) % len(NAMES)
    for view in range(views):
        yield drawn(f"support/{count}/{view}", count), labels


def optimiser_steps(
    case: Case, optimizer: torch.optim.Optimizer, parameter: Tensor, loss: Any
) -> Tensor:
    """Losses before each of three steps and after the third."""
    found = []
    for number in range(4):
        total = loss()
        found.append(total.detach())
        if number < 3:
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    return torch.stack(found)


@pytest.mark.parametrize(("method", "name"), cases("taskres"))
def test_taskres(method: str, name: str) -> None:
    case = Case(method, name)
    raw = case.config["names"] == "as they are"
    scale = case.config["RESIDUAL_SCALE"]
    built = TaskRes(
        case.towers, case.classes, alpha=scale, templates=templates(case), raw_names=raw
    )
    built.to(DEVICE)
    base = built.frozen_text(case.classes)
    case.check("base_text_features", base)
    case.check("zero_step_logits", built.logits(case.images, built.prepare(case.classes)))
    (value,) = case.parameters().values()
    built.residuals.data.copy_(value)
    case.check("text_features_raw", base + scale * built.residuals)
    case.check("text_features", built.prepare(case.classes))
    case.check("image_features", built.image_features(case.images))
    case.check("logits", built.logits(case.images, built.prepare(case.classes)))
    terms = built.losses(case.images, LABELS, built.prepare(case.classes))
    case.check("loss/total", built.total(terms))
    built.total(terms).backward()
    case.check("grad/prompt_learner.text_feature_residuals", built.residuals.grad, GRAD)
    before = built.residuals.detach().clone()
    optimizer = torch.optim.Adam(built.parameters(), lr=case.config["lr"], weight_decay=5e-4)
    case.check("opt_adam/losses", torch.stack([*steps(built, optimizer, case)]), STEP)
    after = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_adam/logits_after", after, STEP)
    case.check("opt_adam/param_change_l2", (built.residuals - before).norm()[None], STEP)


@pytest.mark.parametrize(("method", "name"), cases("clipadapter"))
def test_clipadapter(method: str, name: str) -> None:
    case = Case(method, name)
    built = CLIPAdapter(
        case.towers,
        case.classes,
        ratio=case.config["ratio"],
        reduction=case.config["reduction"],
    ).to(DEVICE)
    learned = {"adapter.fc.0.weight": built.down.weight, "adapter.fc.2.weight": built.up.weight}
    for key, value in case.parameters().items():
        learned[key].data.copy_(value)
    frozen = image_features(built.towers, case.images)
    case.check("image_features_frozen_raw", frozen)
    case.check("adapter_output", built.up(built.down(frozen).relu()).relu())
    case.check("image_features", built.image_features(case.images))
    case.check("text_features", built.prepare(case.classes))
    case.check("logits", built.logits(case.images, built.prepare(case.classes)))
    case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))
    terms = built.losses(case.images, LABELS, built.prepare(case.classes))
    case.check("loss/total", built.total(terms))
    built.total(terms).backward()
    for key, parameter in learned.items():
        case.check(f"grad/{key}", parameter.grad, GRAD)
    before = {key: parameter.detach().clone() for key, parameter in learned.items()}
    optimizer = torch.optim.SGD(built.parameters(), lr=2e-3, momentum=0.9, weight_decay=5e-4)
    case.check("opt_sgd/losses", torch.stack([*steps(built, optimizer, case)]), STEP)
    after = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_sgd/logits_after", after, STEP)
    moved = torch.stack([(learned[key] - before[key]).norm() for key in sorted(learned)])
    case.check("opt_sgd/param_change_l2", moved, STEP)


def cache(cls: type[CacheMethod], case: Case) -> CacheMethod:
    """A cache filled with the support images of a case."""
    c = case.config
    built = cls(
        case.towers,
        case.classes,
        alpha=c["alpha"],
        beta=c["beta"],
        passes=c["augment_epoch"],
        templates=templates(case),
    )
    built.to(DEVICE)
    built.fill(support(case, c["augment_epoch"]))
    return built


@pytest.mark.parametrize(("method", "name"), cases("tipadapter"))
def test_tipadapter(method: str, name: str) -> None:
    case = Case(method, name)
    built = cache(TipAdapter, case)
    case.check("keys", built.keys)
    prepared = built.prepare(case.classes)
    case.check("text_features", prepared.text)
    case.check("values", prepared.values)
    features = unit(image_features(built.towers, case.images))
    case.check("affinity", built.affinity(features))
    case.check("logits", built.logits(case.images, prepared))
    count = 4 * len(NAMES)
    labels = (5 * torch.arange(count, device=DEVICE) + 1) % len(NAMES)
    validation = unit(image_features(built.towers, drawn(f"val/{count}", count)))
    c = case.config
    grid, best = accuracies(
        built.affinity(validation),
        prepared.values,
        100 * validation @ prepared.text.T,
        labels,
        tuple(c["search_scale"]),
        tuple(c["search_step"]),
    )
    case.check("search/accuracy", grid)
    case.check("search/best_beta_alpha", best)


@pytest.mark.parametrize(("method", "name"), cases("tipadapter"))
def test_tipadapterf(method: str, name: str) -> None:
    case = Case(method, name)
    built = cache(TipAdapterF, case)
    (value,) = case.parameters().values()
    if case.config["keys"] == "cache":
        error = (built.keys.detach().cpu() - value).abs().max()
        assert error <= 1e-5, "the keys do not start from the cache"
    built.keys.data.copy_(value)
    (images, labels) = next(support(case, 1))
    prepared = built.prepare(case.classes)
    case.check("F/logits", built.logits(case.images, prepared))
    case.check("F/logits_support", built.logits(images, prepared))

    def loss() -> Tensor:
        return built.total(built.losses(images, labels, built.prepare(case.classes)))

    case.check("loss/total", loss())
    loss().backward()
    case.check("grad/adapter.weight", built.keys.grad, GRAD)
    before = built.keys.detach().clone()
    optimizer = torch.optim.AdamW(built.parameters(), lr=1e-3, eps=1e-4, weight_decay=1e-2)
    case.check("opt_adamw/losses", optimiser_steps(case, optimizer, built.keys, loss), STEP)
    after = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_adamw/logits_after", after, STEP)
    case.check("opt_adamw/param_change_l2", (built.keys - before).norm()[None], STEP)


@pytest.mark.parametrize(("method", "name"), cases("clap"))
def test_clap(method: str, name: str) -> None:
    case = Case(method, name)
    build = functools.partial(
        CLAP,
        case.towers,
        case.classes,
        passes=case.config["views"],
        templates=templates(case),
        raw_names=case.config["names"] == "as they are",
    )
    built = build(constraint=CONSTRAINTS[case.config["CONSTRAINT"]]).to(DEVICE)
    shown = [*support(case, case.config["views"])]
    features = torch.cat([image_features(built.towers, images) for images, _ in shown])
    labels = torch.cat([labels for _, labels in shown])
    case.check("base_text_features", built.frozen_text(case.classes))
    case.check("support/features_raw", features)
    built.begin(features, labels)
    case.check("base_text_features", built.prototypes)
    zero_shot = built.cosine_logits(unit(features), unit(built.prototypes))
    case.check("support/logits_zeroshot", zero_shot)
    for theirs, ours in CONSTRAINTS.items():
        if f"multipliers/{theirs}" in case.tensors:
            weights = build(constraint=ours).weights(zero_shot, labels)
            case.check(f"multipliers/{theirs}", weights)
    (value,) = case.parameters().values()
    built.prototypes.data.copy_(value)
    case.check("logits", built.logits(case.images, built.prepare(case.classes)))

    def terms() -> dict[str, Tensor]:
        return built.terms(features, labels, built.prepare(case.classes))

    case.check("loss/ce", terms()["ce"])
    if "loss/constraint" in case.tensors:
        case.check("loss/constraint", terms()["constraint"])
    case.check("loss/total", built.total(terms()))
    built.total(terms()).backward()
    case.check("grad/adapter.prototypes", built.prototypes.grad, GRAD)
    if "outer/multipliers_1" in case.tensors:
        following(case, built)
        built.begin(features, labels)  # back to the multipliers of the start
        built.prototypes.data.copy_(value)
    before = built.prototypes.detach().clone()
    optimizer = torch.optim.SGD([built.prototypes], lr=0.1, momentum=0.9)
    losses = optimiser_steps(case, optimizer, built.prototypes, lambda: built.total(terms()))
    case.check("opt_sgd/losses", losses, STEP)
    after = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_sgd/logits_after", after, STEP)
    case.check("opt_sgd/param_change_l2", (built.prototypes - before).norm()[None], STEP)


def following(case: Case, built: CLAP) -> None:
    """Multipliers after outer steps from the recorded distances."""
    penalty = torch.zeros_like(built.multipliers)
    start = built.frozen_text(case.classes)
    for number in (1, 2, 3):
        recorded = case.tensors[f"outer/penalty_{number}"].to(DEVICE)
        built.prototypes.data.copy_(start)
        built.prototypes.data[:, 0] += recorded.sqrt()
        penalty = built.tighten(penalty)
        case.check(f"outer/penalty_{number}", penalty, GRAD)
        case.check(f"outer/multipliers_{number}", built.multipliers, GRAD)


@pytest.mark.parametrize(("method", "name"), cases("lpp"))
def test_lpp(method: str, name: str) -> None:
    case = Case(method, name)
    built = LPP(case.towers, case.classes, epochs=25, templates=templates(case)).to(DEVICE)
    images, labels = next(support(case, 1))
    features = unit(image_features(built.towers, images))
    case.check("support/features", features)
    case.check("text_features", built.frozen_text(case.classes))
    built.begin(features, labels)
    values = case.parameters()
    for key, parameter in (("classifier.weight", built.weight), ("alpha_vec", built.alpha[None])):
        error = float((parameter.detach().cpu() - values[key]).abs().max())
        assert error <= 1e-5 * float(values[key].abs().max()), key
    built.bias.data.copy_(values["classifier.bias"])
    size, size_alpha = built.steps(features)
    case.check("lr_w", torch.tensor(size))
    case.check("lr_alpha", torch.tensor(size_alpha))
    case.check("support/logits", built.prepare(case.classes).logits(features))
    case.check("logits", built.logits(case.images, built.prepare(case.classes)))
    loss = built.total(built.losses(images, labels, built.prepare(case.classes)))
    case.check("loss/total", loss)
    loss.backward()
    for key, parameter in (("weight", built.weight), ("bias", built.bias)):
        case.check(f"grad/classifier.{key}", parameter.grad, GRAD)
    assert built.alpha.grad is not None
    case.check("grad/alpha_vec", built.alpha.grad[None], GRAD)
    built.descend(features, labels)
    case.check("steps/weight_after", built.weight, STEP)
    case.check("steps/bias_after", built.bias, STEP)
    case.check("steps/alpha_vec", torch.stack([*alphas(case, values, features, labels)]), STEP)
    case.check("steps/logits_after", built.logits(case.images, built.prepare(case.classes)), STEP)


def alphas(
    case: Case, values: dict[str, Tensor], features: Tensor, labels: Tensor
) -> Iterator[Tensor]:
    """Alpha at the start, after epoch 10 and after epoch 20."""
    for epochs in (1, 10, 20):
        built = LPP(case.towers, case.classes, epochs=epochs, templates=templates(case)).to(DEVICE)
        built.begin(features, labels)
        built.bias.data.copy_(values["classifier.bias"])
        built.descend(features, labels)
        yield built.alpha.detach()

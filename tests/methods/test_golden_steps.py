"""Parity with the reference implementations of methods whose steps are not one loss's: ProGrad,
which makes a gradient of two, and 2SFS, which learns in two stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.contract import TRAIN
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, Method, unit
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods.prograd import ProGrad, projected
from promptbench.methods.twosfs import TwoSFS
from promptbench.running.lab.calling import losses_of
from promptbench.running.lab.compute import Compute
from promptbench.running.training.gradients import backward
from promptbench.running.training.step import Stepper
from tests.golden_set import DEVICE, GRAD, LABELS, Case, cases
from tests.golden_set import towers as clip
from tests.methods.golden_adapters import View, Views, filled

STEP = 1e-3  # less noisy than the first set's
STEPS = ("prograd", "twosfs")
COMPUTE = Compute(DEVICE, "fp32")


Opened = Callable[[str, str], Case]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A case, with class names of its own and, while the test runs, a logit scale of its own."""

    def of(method: str, name: str) -> Case:
        case = Case(method, name)
        template = case.classes.template
        case.classes = ClassSet(tuple(case.entry.get("classnames", case.classes.names)), template)
        new = case.entry.get("new_classnames", case.new_classes.names)
        case.new_classes = ClassSet(tuple(new), template)
        own = case.entry.get("logit_scale")
        if own is not None:
            scale = case.towers.model.logit_scale
            monkeypatch.setattr(scale, "data", torch.full_like(scale.data, own))
            case.towers.forget()
        return case

    return of


def prograd(case: Case) -> tuple[Any, Views]:
    c = case.config
    assert c["CTX_INIT"] in ("", case.classes.template.removesuffix(" {}."))
    method = ProGrad(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX"],
        template="",
        ctx_init=bool(c["CTX_INIT"]),
        csc=c["CSC"],
        class_token_position=c["CLASS_TOKEN_POSITION"],
        strength=c["LAMBDA"],
        temperature=c["T"],
    )
    return filled(case, method, {"prompt_learner.ctx": View(method.ctx)})


def twosfs(case: Case) -> tuple[Any, Views]:
    """In stage 1, with all that is tuned of the reference at its values."""
    c = case.config
    method = TwoSFS(
        case.towers,
        case.classes,
        sides=("text", "image") if c["ln_modality"] == "both" else ("image",),
        first_text=c["ln_text_start"] + 1,
        first_image=c["ln_vision_start"] + 1,
    )
    views = {}
    for side, prefix in (("text", ""), ("image", "visual.")):
        if side in method.norms:
            own: Any = method.norms[side]
            for key in own.weight:
                block, norm = key.split("_", 1)
                name = f"{prefix}transformer.resblocks.{int(block) - 1}.{norm}"
                views[f"{name}.weight"] = View(own.weight[key])
                views[f"{name}.bias"] = View(own.bias[key])
    with torch.no_grad():
        for name, view in views.items():
            view.value.copy_(case.tensors[f"param/{name}"])
    assert len(views) == sum(name.startswith("param/") for name in case.tensors)
    method.begin_stage(1)
    return method.to(case.towers.device), views


BUILDERS = {"prograd": prograd, "twosfs": twosfs}


def taken(method: Method, case: Case, recipe: Recipe, count: int = 3) -> Iterator[Tensor]:
    """Total loss before each of so many steps as a training takes them, and after the last."""
    stepper = Stepper(method, recipe, COMPUTE)
    for number in range(count + 1):
        terms, total = losses_of(method, case.classes, case.images, LABELS)
        yield total.detach()
        if number < count:
            stepper.step(total, terms)


def backward_of(method: Method, case: Case) -> None:
    terms, total = losses_of(method, case.classes, case.images, LABELS)
    backward(method, terms, total, COMPUTE.scaler())


def logits_of(method: Any, case: Case, classes: ClassSet) -> Tensor:
    found: Tensor = method.logits(case.images, method.prepare(classes))
    return found


@pytest.mark.parametrize(("method", "name"), cases(*STEPS))
def test_values(method: str, name: str, opened: Opened) -> None:
    case = opened(method, name)
    built, _ = BUILDERS[method](case)
    prepared = built.prepare(case.classes)
    case.check("text_features", prepared.text if method == "prograd" else prepared.rows)
    case.check("image_features", built.image_features(case.images))
    case.check("logits", built.logits(case.images, prepared))
    if "new/logits" in case.tensors:
        case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))
    terms = built.losses(case.images, LABELS, prepared)
    for term, value in terms.items():
        case.check(f"loss/{term}", value)
    case.check("loss/total", built.total(terms))
    if method == "prograd":
        case.check("clip/text_features", prepared.frozen)
        zero_shot = built.cosine_logits(built.image_features(case.images), prepared.frozen)
        case.check("clip/logits", zero_shot)


@pytest.mark.parametrize(("method", "name"), cases(*STEPS))
def test_gradients(method: str, name: str, opened: Opened) -> None:
    case = opened(method, name)
    built, views = BUILDERS[method](case)
    backward_of(built, case)
    for key, view in views.items():
        case.check(f"grad/{key}", view.grad, GRAD)


@pytest.mark.parametrize(("method", "name"), cases("prograd"))
def test_the_two_gradients_and_their_angle(method: str, name: str, opened: Opened) -> None:
    case = opened(method, name)
    built, _ = prograd(case)
    terms, _ = losses_of(built, case.classes, case.images, LABELS)
    parts = {}
    for term in ("ce", "distill"):
        (parts[term],) = torch.autograd.grad(terms[term], [built.ctx], retain_graph=True)
        case.check(f"grad_{term}/prompt_learner.ctx", parts[term], GRAD)
    cosine = torch.cosine_similarity(parts["ce"].flatten(), parts["distill"].flatten(), dim=0)
    case.check("grad_cosine", cosine, GRAD)


@pytest.mark.parametrize(("method", "name"), cases("prograd"))
def test_steps_down_the_gradient_that_is_made(method: str, name: str, opened: Opened) -> None:
    case = opened(method, name)
    built, views = prograd(case)
    before = {key: view.value.clone() for key, view in views.items()}
    recipe = Recipe(lr=2e-3, momentum=0.9, weight_decay=5e-4)
    case.check("opt_sgd/losses", torch.stack([*taken(built, case, recipe)]), STEP)
    logits = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_sgd/logits_after", logits, STEP)
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check("opt_sgd/param_change_l2", moved, STEP)


ADAMW = Recipe(optimizer="adamw", lr=2e-4, weight_decay=1e-2)


@pytest.mark.parametrize(("method", "name"), cases("twosfs"))
def test_two_stages_with_an_optimiser_each(method: str, name: str, opened: Opened) -> None:
    case = opened(method, name)
    built, views = twosfs(case)
    before = {key: view.value.clone() for key, view in views.items()}
    case.check("opt_adamw/losses", torch.stack([*taken(built, case, ADAMW)]), STEP)
    case.check(
        "opt_adamw/logits_after", built.logits(case.images, built.prepare(case.classes)), STEP
    )
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check("opt_adamw/param_change_l2", moved, STEP)
    built.begin_stage(2)
    case.check("stage2/classifier_init", built.classifier, STEP)
    case.check("stage2/logits_init", logits_of(built, case, case.classes), STEP)


@pytest.mark.parametrize(("method", "name"), cases("twosfs"))
def test_second_stage(method: str, name: str, opened: Opened) -> None:
    """From the reference's classifier, which stands on the norms after three steps."""
    case = opened(method, name)
    built, views = twosfs(case)
    list(taken(built, case, ADAMW))
    norms = {key: view.value.clone() for key, view in views.items()}
    built.begin_stage(2)
    with torch.no_grad():
        built.classifier.copy_(case.tensors["stage2/classifier"])
    case.check("stage2/logits", logits_of(built, case, case.classes), STEP)
    terms, _ = losses_of(built, case.classes, case.images, LABELS)
    case.check("stage2/loss/ce", terms["ce"], STEP)
    for parameter in built.parameters():
        parameter.grad = None
    backward_of(built, case)
    case.check("stage2/grad/classifier", built.classifier.grad, STEP)
    assert all(view.parameter.grad is None for view in views.values())
    before = built.classifier.detach().clone()
    case.check("stage2/opt_adamw/losses", torch.stack([*taken(built, case, ADAMW)]), STEP)
    case.check(
        "stage2/opt_adamw/logits_after",
        built.logits(case.images, built.prepare(case.classes)),
        STEP,
    )
    moved = (built.classifier.detach() - before).norm()[None]
    case.check("stage2/opt_adamw/param_change_l2", moved, STEP)
    assert all(torch.equal(view.value, norms[key]) for key, view in views.items())
    lists = {"class": case.classes.names, "new": case.new_classes.names}
    named = [entry.split() for entry in case.config["infer_mixed"]]  # "class 2", "new 1"
    mixed = ClassSet(tuple(lists[of][int(place)] for of, place in named), case.classes.template)
    for key, classes in (("base", case.classes), ("new", case.new_classes), ("mixed", mixed)):
        case.check(f"infer/{key}/logits", logits_of(built, case, classes), STEP)


def test_what_points_against_zero_shot_is_taken_out() -> None:
    g, general = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 3.0]])
    assert torch.equal(projected(g, general, 1.0), torch.tensor([[1.0, 0.0]]))
    assert torch.equal(projected(g, general, 0.25), torch.tensor([[1.0, -1.5]]))
    assert torch.equal(projected(-g, general, 1.0), -g)  # they agree
    assert torch.equal(projected(g, torch.zeros(1, 2), 1.0), g)  # nothing to compare with


def test_context_from_words_starts_with_zeros_and_leaves_tokens_beyond_the_words() -> None:
    towers = clip("tiny64")
    method = ProGrad(towers, TRAIN, n_ctx=16, template="a type of pet, a photo of a {}.")
    words = towers.text.embed("a type of pet, a photo of a")
    assert len(words) == 9  # the comma is one
    assert not method.ctx[:8].any() and torch.equal(method.ctx[8:], words[:8].float().cpu())
    assert method.ctx_init == "X X X X X X X X a type of pet, a photo of a"
    for wrong, said in (
        ({"template": "a photo of a {}, a type of pet."}, "does not end"),
        ({"n_ctx": 3}, "n_ctx = 3 is too few for the 4 words 'a photo of a'"),
        ({"csc": True}, "set it to False for csc"),
        ({"class_token_position": "middle"}, "set it to False for csc"),
        ({"template": "a photo"}, r"must have one \{\}"),
    ):
        with pytest.raises(UserError, match=said):
            ProGrad(towers, TRAIN, **wrong)  # type: ignore[arg-type]


def test_the_norms_start_where_the_towers_are_and_are_what_is_counted() -> None:
    towers = tiny_towers()
    method = TwoSFS(towers, TRAIN)
    images = torch.randn(2, 3, 16, 16)
    text = towers.text.features(towers.text.tokens([f"a photo of a {w}." for w in TRAIN.words]))
    assert torch.allclose(method.prepare(TRAIN).rows, unit(text), atol=1e-6)
    image = towers.image
    assert torch.allclose(
        method.image_features(images), unit(image.features(image.tokens(images))), atol=1e-6
    )
    widths = 2 * 2 * (towers.text.n_blocks * towers.text.width + image.n_blocks * image.width)
    assert sum(p.numel() for p in method.norms.parameters()) == widths
    assert TwoSFS.vit_b16_parameters == 2 * 2 * 12 * (512 + 768) + 1000 * 512
    with pytest.raises(UserError, match=r"first_text = 99; the text tower has 12 blocks"):
        TwoSFS(towers, TRAIN, first_text=99)

"""Methods without recorded vectors, against their equations."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.contract import OTHER, TRAIN
from promptbench.contract.towers import tiny_towers
from promptbench.core.averaging import EpochAverage, gaussian_weights
from promptbench.core.method import ClassSet, unit
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods.coop import CoOp
from promptbench.methods.ivlp import IVLP
from promptbench.methods.kgcoop import KgCoOp
from promptbench.methods.linear_probe import LinearProbe
from promptbench.methods.promptsrc import PromptSRC
from promptbench.models.towers import Towers, imagenet_templates

LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.fixture(scope="module")
def towers() -> Towers:
    return tiny_towers()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def frozen_text(towers: Towers, prompts: list[str]) -> Tensor:
    """open_clip's own text features, not normalised."""
    features: Tensor = towers.model.encode_text(towers.text.token_ids(prompts))
    return features


def test_kgcoop_is_coop_plus_the_distance_to_the_template(towers: Towers, images: Tensor) -> None:
    torch.manual_seed(1)
    kgcoop = KgCoOp(towers, TRAIN, w_guide=8.0)
    coop = CoOp(towers, TRAIN)
    coop.load_state_dict(kgcoop.state_dict())
    learned = coop.prepare(TRAIN)
    frozen = F.normalize(frozen_text(towers, list(TRAIN.prompts)), dim=-1)
    distance = 1 - F.cosine_similarity(learned, frozen).mean()
    terms = kgcoop.losses(images, LABELS, kgcoop.prepare(TRAIN))
    ce = coop.losses(images, LABELS, learned)["ce"]
    assert torch.allclose(terms["guide"], distance, atol=1e-6)
    assert torch.allclose(kgcoop.total(terms), ce + 8 * distance, rtol=1e-5)
    logits = kgcoop.logits(images, kgcoop.prepare(OTHER))
    assert torch.equal(logits, coop.logits(images, coop.prepare(OTHER)))


def test_kgcoop_is_guided_by_another_template_where_one_is_set(towers: Towers) -> None:
    sentence = "a photo of a {}, a type of texture."
    guided = KgCoOp(towers, TRAIN, guide=sentence).prepare(TRAIN)
    usual = KgCoOp(towers, TRAIN).prepare(TRAIN)
    frozen = F.normalize(frozen_text(towers, [sentence.format(w) for w in TRAIN.words]), dim=-1)
    assert torch.allclose(guided.frozen, frozen, atol=1e-6)
    assert not torch.allclose(usual.frozen, frozen, atol=1e-2)
    for wrong in ("a texture", "{} or {}", "a {name}", "{} {"):
        with pytest.raises(UserError, match=r"one \{\}, for the class name"):
            KgCoOp(towers, TRAIN, guide=wrong)


def test_promptsrc_is_ivlp_regulated_by_the_frozen_model(towers: Towers, images: Tensor) -> None:
    torch.manual_seed(2)
    prompts = {"n_ctx_image": 3, "n_ctx_text": 3, "depth_image": 4, "depth_text": 4}
    method = PromptSRC(towers, TRAIN, ctx_init="", **prompts)
    ivlp = IVLP(towers, TRAIN, ctx_init="", **prompts)
    ivlp.load_state_dict(method.state_dict())
    text, image = ivlp.text_features(TRAIN), ivlp.image_features(images)
    # The 60 templates, one after the other, through open_clip.
    means = torch.stack(
        [
            frozen_text(towers, [t.format(words) for words in TRAIN.words])
            for t in imagenet_templates()[:60]
        ]
    ).mean(dim=0)
    text0 = means / means.norm(dim=-1, keepdim=True)
    image0 = F.normalize(towers.model.encode_image(images), dim=-1)
    scale = math.exp(float(towers.model.logit_scale))
    p0, p = ((scale * a @ b.T).softmax(dim=-1) for a, b in ((image0, text0), (image, text)))
    expected = {
        "ce": F.cross_entropy(scale * image @ text.T, LABELS),
        "reg_text": (text - text0).abs().mean(),
        "reg_image": (image - image0).abs().mean(),
        "reg_logits": (p0 * (p0.log() - p.log())).sum() / p.numel(),
    }
    terms = method.losses(images, LABELS, method.prepare(TRAIN))
    for name, value in expected.items():
        assert torch.allclose(terms[name], value, rtol=1e-4, atol=1e-7), name
    weights = {"ce": 1.0, "reg_text": 25.0, "reg_image": 10.0, "reg_logits": 1.0}
    total = sum(weights[name] * value for name, value in expected.items())
    assert torch.allclose(method.total(terms), torch.as_tensor(total), rtol=1e-4)


def test_imagenet_templates_are_clips() -> None:
    templates = imagenet_templates()
    assert len(templates) == 80
    assert all(template.count("{}") == 1 for template in templates)
    assert templates[0] == "a bad photo of a {}."


@pytest.mark.parametrize("n_classes", [2, 4])
def test_linear_probe_is_at_the_minimum_of_its_objective(towers: Towers, n_classes: int) -> None:
    classes = ClassSet(TRAIN.names[:n_classes], TRAIN.template)
    stream = torch.Generator().manual_seed(5)
    images = torch.randn(16, 3, 16, 16, generator=stream)
    labels = torch.arange(16) % n_classes
    probe = LinearProbe(towers, classes, C=0.5, max_iter=10_000)
    probe.solve([(images[:10], labels[:10]), (images[10:], labels[10:])])
    x = towers.model.encode_image(images).double()
    w, b = (p.detach().double().requires_grad_() for p in (probe.weight, probe.bias))
    objective = w.square().sum() / 2 + 0.5 * F.cross_entropy(x @ w.T + b, labels, reduction="sum")
    gradients = torch.autograd.grad(objective, (w, b))
    scale = max(float(w.detach().abs().max()), 1.0)
    assert all(float(g.abs().max()) < 2e-3 * scale for g in gradients)
    order = [1, 0, *range(2, n_classes)]
    permuted = ClassSet(tuple(classes.names[i] for i in order), classes.template)
    logits = probe.logits(images, probe.prepare(classes))
    assert torch.equal(probe.logits(images, probe.prepare(permuted)), logits[:, order])


def test_linear_probe_refuses_classes_it_has_no_weights_for(towers: Towers) -> None:
    with pytest.raises(UserError, match="'annual crop', a class it was not trained on"):
        LinearProbe(towers, TRAIN).prepare(OTHER)


def test_a_linear_probe_needs_an_image_of_each_class(towers: Towers) -> None:
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    with pytest.raises(UserError, match="an image of each class, and 2 have none"):
        LinearProbe(towers, TRAIN).solve([(images, torch.tensor([0, 2]))])


def test_gaussian_weights_are_the_normalised_density() -> None:
    weights = gaussian_weights(20, 15.0, 1.0)
    density = [math.exp(-((e - 15) ** 2) / 2) for e in range(1, 21)]
    assert weights == pytest.approx([d / sum(density) for d in density])
    assert sum(gaussian_weights(5, 400.0, 1.0)) == pytest.approx(1)  # no underflow


def test_the_average_over_epochs_is_the_weighted_sum() -> None:
    method = nn.Linear(1, 1, bias=False)
    average = Recipe(epochs=3, average=(2.0, 1.0)).epoch_average()
    for epoch, value in enumerate((1.0, 10.0, 100.0)):
        nn.init.constant_(method.weight, value)
        average.add(epoch, method)
    average.load_into(method)
    weights = gaussian_weights(3, 2.0, 1.0)
    assert float(method.weight.detach()) == pytest.approx(
        weights[0] + 10 * weights[1] + 100 * weights[2]
    )


def test_without_weights_the_last_epoch_counts() -> None:
    method = nn.Linear(1, 1, bias=False)
    nn.init.constant_(method.weight, 7.0)
    average: EpochAverage = Recipe().epoch_average()
    average.add(0, method)
    average.load_into(method)
    assert float(method.weight.detach()) == 7.0


def test_features_are_normalised_in_float32() -> None:
    assert unit(torch.ones(2, 4, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("n_ctx", [-1, 0, 500])
def test_a_context_that_no_prompt_holds_is_refused(towers: Towers, n_ctx: int) -> None:
    with pytest.raises(UserError, match=rf"n_ctx = {n_ctx}: .* from 1 to \d+"):
        CoOp(towers, TRAIN, n_ctx=n_ctx, ctx_init="")


def test_a_prompt_that_is_too_long_is_shown_shortened(towers: Towers) -> None:
    with pytest.raises(UserError, match=r"prompt 'X X .* \.\.\.' has \d+ tokens") as found:
        IVLP(towers, TRAIN, ctx_init="", n_ctx_text=500).prepare(TRAIN)
    assert len(str(found.value)) < 300


def test_a_negative_number_of_tokens_is_refused(towers: Towers) -> None:
    with pytest.raises(UserError, match="-3"):
        IVLP(towers, TRAIN, ctx_init="", n_ctx_image=-3)

"""Parity with the reference implementations, for every recorded case."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from promptbench.core.method import ClassSet, unit
from promptbench.core.recipe import Recipe
from promptbench.methods._deep_prompts import image_prompt_edits, text_prompt_edits
from promptbench.methods.alignednorm import token_norm_gap
from promptbench.methods.zeroshot import ZeroShot
from promptbench.models import edits
from promptbench.models.edits import Edits
from promptbench.models.towers import Capture, Tokens
from tests.golden_set import FOLDER, GRAD, LABELS, MANIFEST, STEP, Case, cases, steps
from tests.methods.golden_adapters import ADAPTERS, build
from tests.methods.test_golden_deltas import DELTAS
from tests.methods.test_golden_feature_space import FEATURE_SPACE
from tests.methods.test_golden_prompts import PROMPTS
from tests.methods.test_golden_steps import STEPS
from tests.methods.test_golden_texts import TEXTS
from tests.methods.test_golden_views import VIEWS
from tests.short_form import first_of_each

TRACED = (1, 6, 9, 12)
FAMILY = ("mmrl", "mmrlpp", "alignednorm")
COUPLED_PROMPTS = ("vpt", "ivlp", "maple")
# The reference's learning rates of the recorded SGD steps.
SGD = {
    "coop": 2e-3,
    "coop_rn": 2e-3,
    "cocoop": 2e-3,
    "maple": 3.5e-3,
    "ivlp": 3.5e-3,
    "vpt": 2.5e-3,
}


@pytest.mark.parametrize(("method", "name"), cases("zeroshot", "zeroshot_rn"))
def test_zeroshot(method: str, name: str) -> None:
    case = Case(method, name)
    zeroshot, text, image = ZeroShot(case.towers, case.classes), case.towers.text, case.towers.image
    prompts = text.tokens(case.classes.prompts)
    case.check("text_features_raw", text.features(prompts))
    case.check("image_features_raw", image.features(image.tokens(case.images)))
    case.check("logits", zeroshot.logits(case.images, zeroshot.prepare(case.classes)))
    case.check("new/logits", zeroshot.logits(case.images, zeroshot.prepare(case.new_classes)))
    recorded = case.tensors["tokens"]
    assert torch.equal(text.token_ids(case.classes.prompts).to(recorded.dtype), recorded)


@pytest.mark.parametrize(("method", "name"), cases("coop", "coop_rn", "cocoop", *COUPLED_PROMPTS))
def test_prompt_learners(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    prepared = built.prepare(case.classes)
    case.check("logits", built.logits(case.images, prepared))
    terms = built.losses(case.images, LABELS, prepared)
    case.check("loss/ce", terms["ce"])
    case.check("loss/total", built.total(terms))
    if "new/logits" in case.tensors:
        case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))


@pytest.mark.parametrize(("method", "name"), cases("coop", "coop_rn", *COUPLED_PROMPTS))
def test_prompt_learners_features(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    case.check("text_features", built.text_features(case.classes))
    case.check("image_features", built.image_features(case.images))
    image = case.towers.image
    raw = image.features(image.tokens(case.images), built.image_edits())
    case.check("image_features_raw", raw)


@pytest.mark.parametrize(("method", "name"), cases("cocoop"))
def test_cocoop_encodes_the_classes_for_every_image(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    image = case.towers.image
    features = unit(image.features(image.tokens(case.images)))
    case.check("image_features", features)
    case.check("text_features", built.text_features(features, built.prepare(case.classes)))


@pytest.mark.parametrize(("method", "name"), cases("maple"))
def test_maple_couples_image_prompts_to_text_prompts(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    coupled = built.image_prompts()
    case.check("shared_ctx_visual", coupled[0])
    if "deep_prompts_visual" in case.tensors:
        case.check("deep_prompts_visual", coupled[1:])


def eot_and_cls(
    case: Case, prompts: Tokens, text: Edits | None, image: Edits | None, shift: Any
) -> tuple[Tensor, Tensor]:
    """EOT and CLS tokens after the traced blocks; `shift` is the EOT's move by block."""
    towers = case.towers
    seen_text, seen_image = Capture(TRACED), Capture(TRACED)
    towers.text.run(prompts, text, seen_text)
    towers.image.run(towers.image.tokens(case.images), image, seen_image)
    assert prompts.ends is not None
    rows = torch.arange(len(prompts))
    eot = [seen_text.outputs[b][rows, prompts.ends + shift(b)] for b in TRACED]
    return torch.stack(eot), torch.stack([seen_image.outputs[b][:, 0] for b in TRACED])


@pytest.mark.parametrize(("method", "name"), cases("ivlp", "maple"))
def test_deep_prompts_traces(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    own = built.text_prompts if method == "ivlp" else built.prompts
    prefix = built.ctx_init or " ".join(["X"] * own.shape[1])
    prompts = case.towers.text.tokens([f"{prefix} {name}." for name in case.classes.words])
    eot, cls = eot_and_cls(
        case, prompts, text_prompt_edits(own), built.image_edits(), lambda block: 0
    )
    case.check("trace/text_eot", eot)
    case.check("trace/visual_cls", cls)
    if method == "ivlp":
        case.check("prompts", edits.replace(prompts.embedded, own[0])[2:4])


@pytest.mark.parametrize(("method", "name"), cases("vpt"))
def test_vpt_trace(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    prompts = case.towers.text.tokens(case.classes.prompts)
    table = image_prompt_edits(built.prompts)
    _, cls = eot_and_cls(case, prompts, None, table, lambda block: 0)
    case.check("trace/visual_cls", cls)


@pytest.mark.parametrize(("method", "name"), cases(*FAMILY))
def test_representation_values(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    prepared, new = built.prepare(case.classes), built.prepare(case.new_classes)
    features = built.image_features(case.towers.image.tokens(case.images))
    of_class, of_rep = built._both_logits(features, prepared)
    eot, cls = eot_and_cls(
        case,
        case.towers.text.tokens(case.classes.prompts),
        built._edits(built.text_tokens()),
        built._edits(built.image_tokens()),
        lambda block: built.n_tokens if block >= built.layers[0] else 0,
    )
    produced = {
        "text_features": prepared.text,
        "clip/text_features": prepared.frozen,
        "image_features_raw": features.cls,
        "image_features_rep_raw": features.rep,
        "image_features": unit(features.cls),
        "image_features_rep": unit(features.rep),
        "rep_tokens_text": built.text_tokens(),
        "rep_tokens_visual": built.image_tokens(),
        "logits": of_class,
        "logits_rep": of_rep,
        "logits_fusion": built.logits(case.images, prepared),
        "new/logits_fusion": built.logits(case.images, new),
        "trace/text_eot": eot,
        "trace/visual_cls": cls,
    }
    if method == "alignednorm":
        produced["image_features_preproj"] = features.cls_normed
        produced["image_features_rep_preproj"] = features.rep_normed
    else:
        case.check("new/logits", built.logits_decoupled(case.images, new, "classes"))
    for key, value in produced.items():
        case.check(key, value)


@pytest.mark.parametrize(("method", "name"), cases(*FAMILY))
def test_representation_losses(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    terms = built.losses(case.images, LABELS, built.prepare(case.classes))
    recorded = {
        "ce_class": "ce_cls",
        "ce_rep": "ce_rep",
        "reg_image": "reg_image",
        "reg_text": "reg_text",
    }
    if method == "alignednorm":
        recorded |= {
            "token_norm": "norm_seq",
            "proj_norm": "norm_final",
            "attention_norm": "norm_att",
        }
    for ours, theirs in recorded.items():
        case.check(f"loss/{theirs}", terms[ours])
    case.check("loss/total", built.total(terms))


@pytest.mark.parametrize("name", [c for _, c in cases("alignednorm")])
def test_alignednorm_norms(name: str) -> None:
    case = Case("alignednorm", name)
    built, _ = build("alignednorm", case)
    capture = Capture(built.layers)
    features = built.image_features(case.towers.image.tokens(case.images), capture)
    for site, blocks in (("seq", capture.outputs), ("att", capture.attention)):
        seen = [blocks[b][:, : 1 + built.n_tokens] for b in built.layers]
        norms = torch.stack([x.norm(dim=-1).mean(dim=0) for x in seen])
        case.check(f"norms/{site}_cls", norms[:, :1])
        case.check(f"norms/{site}_rep", norms[:, 1 : 1 + built.n_tokens])
    case.check("norms/final_cls", features.cls.norm(dim=-1))
    case.check("norms/final_rep", features.rep.norm(dim=-1))
    assert token_norm_gap(list(capture.outputs.values()), built.n_tokens) > 0


@pytest.mark.parametrize(("method", "name"), cases(*ADAPTERS))
def test_gradients(method: str, name: str) -> None:
    case = Case(method, name)
    built, views = build(method, case)
    built.total(built.losses(case.images, LABELS, built.prepare(case.classes))).backward()
    for key, view in views.items():
        case.check(f"grad/{key}", view.grad, GRAD)


@pytest.mark.parametrize(
    ("method", "name", "kind"),
    [
        *first_of_each([(m, c, "adamw") for m, c in cases(*ADAPTERS)]),
        *first_of_each([(m, c, "sgd") for m, c in cases(*SGD)]),
    ],
)
def test_optimiser_steps(method: str, name: str, kind: Literal["sgd", "adamw"]) -> None:
    case = Case(method, name)
    built, views = build(method, case)
    before = {key: view.value.clone() for key, view in views.items()}
    lr = SGD[method] if kind == "sgd" else 1e-3
    recipe = Recipe(optimizer=kind, lr=lr, momentum=0.9, weight_decay=5e-4)
    optimizer = recipe.build_optimizer(built)
    case.check(f"opt_{kind}/losses", torch.stack([*steps(built, optimizer, case)]), STEP)
    case.check(
        f"opt_{kind}/logits_after", built.logits(case.images, built.prepare(case.classes)), STEP
    )
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check(f"opt_{kind}/param_change_l2", moved, STEP)


def test_every_recorded_method_is_compared() -> None:
    """The vectors that are kept here; the manifest describes more of them."""
    kept = {path.stem for path in FOLDER.glob("*.safetensors")}
    kinds = (*ADAPTERS, *DELTAS, *FEATURE_SPACE, *PROMPTS, *STEPS, *TEXTS, *VIEWS)
    assert kept == {"zeroshot", "zeroshot_rn", *kinds}
    assert kept <= set(MANIFEST["methods"])


def test_csc_context_refuses_other_classes() -> None:
    case = Case("coop", "end_ctx16_csc")
    built, _ = build("coop", case)
    with pytest.raises(Exception, match="class-specific context"):
        built.prepare(ClassSet(("tabby cat",), "a photo of a {}."))

"""Parity with the reference implementations, for every recorded case."""

from __future__ import annotations

import pytest
import torch
from promptbench.methods.alignednorm import AlignedNorm, token_norm_gap
from promptbench.methods.coop import CoOp
from promptbench.methods.mmrlpp import MMRLpp
from promptbench.methods.zeroshot import ZeroShot
from torch import Tensor

from promptbench.method import ClassSet, Method, unit
from promptbench.towers import Capture
from tests.golden_set import GRAD, LABELS, STEP, Case, cases, steps

TRACED = (1, 6, 9, 12)


def coop(case: Case) -> tuple[Method, dict[str, Tensor]]:
    c = case.config
    method = CoOp(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX"],
        ctx_init=c["CTX_INIT"],
        csc=c["CSC"],
        class_token_position=c["CLASS_TOKEN_POSITION"],
    )
    return method, {"prompt_learner.ctx": method.ctx}


def family(case: Case, cls: type[MMRLpp] | type[AlignedNorm]) -> tuple[Method, dict[str, Tensor]]:
    c = case.config
    norms = {"w_token": c["SEQ_NORM"], "w_proj": c["FINAL_NORM"]} if "SEQ_NORM" in c else {}
    method = cls(
        case.towers,
        case.classes,
        alpha=c["ALPHA"],
        beta=c["BETA"],
        reg_weight=c["REG_WEIGHT"],
        n_tokens=c["N_REP_TOKENS"],
        token_dim=c["REP_DIM"],
        layers=c["REP_LAYERS"],
        token_rank=c["RES_LORA_DIM"],
        proj_rank=c["PROJ_LORA_DIM"],
        **norms,
    )
    names = {
        "image_encoder.A": method.proj_A,
        "image_encoder.B": method.proj_Z,
        "representation_learner.compound_rep_tokens": method.bank,
    }
    for side, aligner in (("t", method.text_aligner), ("v", method.image_aligner)):
        prefix = f"representation_learner.srra_r2{side}proj"
        names[f"{prefix}.weight"] = aligner.shared
        for i in range(len(method.layers)):
            names[f"{prefix}.srra.{i}.A"] = aligner.A[i]
            names[f"{prefix}.srra.{i}.B"] = aligner.Z[i]
            names[f"{prefix}.srra.{i}.bias"] = aligner.bias[i]
    return method, names


def gradients(method: Method) -> dict[str, Tensor]:
    """Gradients under the reference's parameter names."""
    if isinstance(method, CoOp):
        assert method.ctx.grad is not None
        return {"prompt_learner.ctx": method.ctx.grad}
    assert isinstance(method, MMRLpp | AlignedNorm)
    grads = {name: p.grad for name, p in method.named_parameters()}
    out = {
        "image_encoder.A": grads["proj_A"],
        "image_encoder.B": grads["proj_Z"],
        "representation_learner.compound_rep_tokens": grads["bank"],
    }
    for side, aligner in (("t", "text_aligner"), ("v", "image_aligner")):
        prefix = f"representation_learner.srra_r2{side}proj"
        out[f"{prefix}.weight"] = grads[f"{aligner}.shared"]
        for i in range(len(method.layers)):
            for theirs, ours in (("A", "A"), ("B", "Z"), ("bias", "bias")):
                out[f"{prefix}.srra.{i}.{theirs}"] = grads[f"{aligner}.{ours}"][i]
    return out


def build(method: str, case: Case) -> tuple[Method, dict[str, Tensor]]:
    """The method with the reference's parameter values, and views of them by reference name."""
    if method == "coop":
        built, views = coop(case)
    else:
        built, views = family(case, MMRLpp if method == "mmrlpp" else AlignedNorm)
    values = case.parameters()
    assert values.keys() == views.keys()
    with torch.no_grad():
        for name, value in values.items():
            views[name].copy_(value)
    return built, views


@pytest.mark.parametrize(("method", "name"), cases("zeroshot"))
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


@pytest.mark.parametrize(("method", "name"), cases("coop"))
def test_coop_values(method: str, name: str) -> None:
    case = Case(method, name)
    coop, _ = build(method, case)
    prepared = coop.prepare(case.classes)
    case.check("text_features", prepared)
    case.check("logits", coop.logits(case.images, prepared))
    terms = coop.losses(case.images, LABELS, prepared)
    case.check("loss/ce", terms["ce"])
    case.check("loss/total", coop.total(terms))
    if "new/logits" in case.tensors:
        case.check("new/logits", coop.logits(case.images, coop.prepare(case.new_classes)))


def traces(method: MMRLpp | AlignedNorm, case: Case) -> dict[str, Tensor]:
    """CLS and EOT tokens after the traced blocks."""
    text, image = case.towers.text, case.towers.image
    seen_text, seen_image = Capture(TRACED), Capture(TRACED)
    prompts = text.tokens(case.classes.prompts)
    text.run(prompts, method._edits(method.text_tokens()), seen_text)
    image.run(image.tokens(case.images), method._edits(method.image_tokens()), seen_image)
    rows = torch.arange(len(prompts))
    assert prompts.ends is not None
    ends = [prompts.ends + (method.n_tokens if b >= method.layers[0] else 0) for b in TRACED]
    eot = [seen_text.outputs[b][rows, end] for b, end in zip(TRACED, ends, strict=True)]
    cls = [seen_image.outputs[b][:, 0] for b in TRACED]
    return {"trace/text_eot": torch.stack(eot), "trace/visual_cls": torch.stack(cls)}


@pytest.mark.parametrize(("method", "name"), cases("mmrlpp", "alignednorm"))
def test_representation_values(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    assert isinstance(built, MMRLpp | AlignedNorm)
    prepared = built.prepare(case.classes)
    features = built.image_features(case.towers.image.tokens(case.images))
    of_class, of_rep = built._both_logits(features, prepared)
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
        "new/logits_fusion": built.logits(case.images, built.prepare(case.new_classes)),
        **traces(built, case),
    }
    if method == "alignednorm":
        produced["image_features_preproj"] = features.cls_normed
        produced["image_features_rep_preproj"] = features.rep_normed
    for key, value in produced.items():
        case.check(key, value)


@pytest.mark.parametrize(("method", "name"), cases("mmrlpp", "alignednorm"))
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
    assert isinstance(built, AlignedNorm)
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


@pytest.mark.parametrize(("method", "name"), cases("coop", "mmrlpp", "alignednorm"))
def test_gradients(method: str, name: str) -> None:
    case = Case(method, name)
    built, _ = build(method, case)
    built.total(built.losses(case.images, LABELS, built.prepare(case.classes))).backward()
    for key, grad in gradients(built).items():
        case.check(f"grad/{key}", grad, GRAD)


@pytest.mark.parametrize(
    ("method", "name", "kind"),
    [(m, c, "adamw") for m, c in cases("coop", "mmrlpp", "alignednorm")]
    + [(m, c, "sgd") for m, c in cases("coop")],
)
def test_optimiser_steps(method: str, name: str, kind: str) -> None:
    case = Case(method, name)
    built, views = build(method, case)
    before = {key: view.detach().clone() for key, view in views.items()}
    if kind == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            built.parameters(), lr=1e-3, weight_decay=5e-4
        )
    else:
        optimizer = torch.optim.SGD(built.parameters(), lr=2e-3, momentum=0.9, weight_decay=5e-4)
    case.check(f"opt_{kind}/losses", torch.stack([*steps(built, optimizer, case)]), STEP)
    case.check(
        f"opt_{kind}/logits_after", built.logits(case.images, built.prepare(case.classes)), STEP
    )
    moved = torch.stack([(views[key].detach() - before[key]).norm() for key in sorted(views)])
    case.check(f"opt_{kind}/param_change_l2", moved, STEP)


def test_csc_context_refuses_other_classes() -> None:
    case = Case("coop", "end_ctx16_csc")
    built, _ = build("coop", case)
    with pytest.raises(Exception, match="class-specific context"):
        built.prepare(ClassSet(("tabby cat",), "a photo of a {}."))

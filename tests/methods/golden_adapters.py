"""The methods under a golden case's settings, their parameters by the reference's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from promptbench.core.method import Method
from promptbench.methods.alignednorm import AlignedNorm
from promptbench.methods.cocoop import CoCoOp
from promptbench.methods.coop import CoOp, CoOpNetwork
from promptbench.methods.ivlp import IVLP, IVLPNetwork
from promptbench.methods.maple import MaPLe
from promptbench.methods.mmrl import MMRL
from promptbench.methods.mmrlpp import MMRLpp
from promptbench.methods.vpt import VPT
from tests.golden_set import Case


@dataclass(frozen=True)
class View:
    """A parameter of ours, or one slice along its first dimension."""

    parameter: nn.Parameter
    index: int | None = None

    def _of(self, tensor: Tensor) -> Tensor:
        return tensor if self.index is None else tensor[self.index]

    @property
    def value(self) -> Tensor:
        return self._of(self.parameter.data)

    @property
    def grad(self) -> Tensor:
        assert self.parameter.grad is not None
        return self._of(self.parameter.grad)


Views = dict[str, View]


def coop(case: Case, cls: type[CoOpNetwork] = CoOp, **own: Any) -> tuple[Any, Views]:
    c = case.config
    method = cls(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX"],
        ctx_init=c["CTX_INIT"],
        csc=c.get("CSC", False),
        class_token_position=c.get("CLASS_TOKEN_POSITION", "end"),
        **own,
    )
    return method, {"prompt_learner.ctx": View(method.ctx)}


def cocoop(case: Case) -> tuple[Method, Views]:
    c = case.config
    method = CoCoOp(case.towers, case.classes, n_ctx=c["N_CTX"], ctx_init=c["CTX_INIT"])
    views = {"prompt_learner.ctx": View(method.ctx)}
    for ours, theirs in ((0, "linear1"), (2, "linear2")):
        linear: Any = method.meta_net[ours]
        views[f"prompt_learner.meta_net.{theirs}.weight"] = View(linear.weight)
        views[f"prompt_learner.meta_net.{theirs}.bias"] = View(linear.bias)
    return method, views


def image_prompts(prompts: nn.Parameter) -> Views:
    deeper = range(1, len(prompts))
    name = "image_encoder.transformer.resblocks.{}.VPT_shallow"
    return {"image_encoder.VPT": View(prompts, 0)} | {
        name.format(i): View(prompts, i) for i in deeper
    }


def vpt(case: Case) -> tuple[Method, Views]:
    c = case.config
    method = VPT(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX_VISION"],
        depth=c["PROMPT_DEPTH_VISION"],
        prompt=c["CTX_INIT"],
    )
    return method, image_prompts(method.prompts)


def ivlp(case: Case, cls: type[IVLPNetwork] = IVLP, **own: Any) -> tuple[Any, Views]:
    c = case.config
    method = cls(
        case.towers,
        case.classes,
        n_ctx_image=c["N_CTX_VISION"],
        n_ctx_text=c["N_CTX_TEXT"],
        depth_image=c["PROMPT_DEPTH_VISION"],
        depth_text=c["PROMPT_DEPTH_TEXT"],
        ctx_init=c["CTX_INIT"],
        **own,
    )
    views = image_prompts(method.image_prompts) | {
        "prompt_learner.ctx": View(method.text_prompts, 0)
    }
    for i in range(1, len(method.text_prompts)):
        name = f"text_encoder.transformer.resblocks.{i}.VPT_shallow"
        views[name] = View(method.text_prompts, i)
    return method, views


def maple(case: Case) -> tuple[Method, Views]:
    c = case.config
    method = MaPLe(
        case.towers,
        case.classes,
        n_ctx=c["N_CTX"],
        depth=c["PROMPT_DEPTH"],
        ctx_init=c["CTX_INIT"],
    )
    return method, coupled_prompts(method)


def coupled_prompts(method: MaPLe) -> Views:
    """What MaPLe learns: prompts of the text tower, and their maps to those of the image tower."""
    views = {
        "prompt_learner.ctx": View(method.prompts, 0),
        "prompt_learner.proj.weight": View(method.weight, 0),
        "prompt_learner.proj.bias": View(method.bias, 0),
    }
    for i in range(1, len(method.prompts)):
        maps = f"prompt_learner.compound_prompt_projections.{i - 1}"
        views[f"prompt_learner.compound_prompts_text.{i - 1}"] = View(method.prompts, i)
        views[f"{maps}.weight"] = View(method.weight, i)
        views[f"{maps}.bias"] = View(method.bias, i)
    return views


def representation_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Our arguments of the MMRL family from a case's configuration."""
    names = {
        "ALPHA": "alpha",
        "BETA": "beta",
        "REG_WEIGHT": "reg_weight",
        "N_REP_TOKENS": "n_tokens",
        "REP_DIM": "token_dim",
        "REP_LAYERS": "layers",
        "RES_LORA_DIM": "token_rank",
        "PROJ_LORA_DIM": "proj_rank",
        "SEQ_NORM": "w_token",
        "FINAL_NORM": "w_proj",
    }
    return {ours: config[theirs] for theirs, ours in names.items() if theirs in config}


def mmrl(case: Case) -> tuple[Method, Views]:
    method = MMRL(case.towers, case.classes, **representation_settings(case.config))
    views = {
        "image_encoder.proj_rep": View(method.projection),
        "representation_learner.compound_rep_tokens": View(method.bank),
    }
    for side, maps in (("t", method.text_maps), ("v", method.image_maps)):
        for i in range(len(method.layers)):
            name = f"representation_learner.compound_rep_tokens_r2{side}proj.{i}"
            views[f"{name}.weight"] = View(maps.weight, i)
            views[f"{name}.bias"] = View(maps.bias, i)
    return method, views


def aligned(cls: type[MMRLpp] | type[AlignedNorm]) -> Callable[[Case], tuple[Method, Views]]:
    def build(case: Case) -> tuple[Method, Views]:
        method = cls(case.towers, case.classes, **representation_settings(case.config))
        views = {
            "image_encoder.A": View(method.proj_A),
            "image_encoder.B": View(method.proj_Z),
            "representation_learner.compound_rep_tokens": View(method.bank),
        }
        for side, aligner in (("t", method.text_aligner), ("v", method.image_aligner)):
            prefix = f"representation_learner.srra_r2{side}proj"
            views[f"{prefix}.weight"] = View(aligner.shared)
            for i in range(len(method.layers)):
                views[f"{prefix}.srra.{i}.A"] = View(aligner.A, i)
                views[f"{prefix}.srra.{i}.B"] = View(aligner.Z, i)
                views[f"{prefix}.srra.{i}.bias"] = View(aligner.bias, i)
        return method, views

    return build


ADAPTERS: dict[str, Callable[[Case], tuple[Method, Views]]] = {
    "coop": coop,
    "coop_rn": coop,
    "cocoop": cocoop,
    "vpt": vpt,
    "ivlp": ivlp,
    "maple": maple,
    "mmrl": mmrl,
    "mmrlpp": aligned(MMRLpp),
    "alignednorm": aligned(AlignedNorm),
}


def build(method: str, case: Case) -> tuple[Any, Views]:
    """The method with the reference's parameter values, and views of them by reference name."""
    return filled(case, *ADAPTERS[method](case))


def filled(case: Case, built: Any, views: Views) -> tuple[Any, Views]:
    """A method with the reference's parameter values."""
    values = case.parameters()
    kept = {"prompt_learner.ctx"} if case.entry.get("keep_ctx") else set()
    assert values.keys() - kept == views.keys() - kept
    with torch.no_grad():
        for name, value in values.items():
            if name in kept:
                error = (views[name].value.cpu() - value).abs().max()
                assert error <= 1e-6 * value.abs().max(), "context does not start from its words"
            views[name].value.copy_(value)
    return built.to(case.towers.device), views

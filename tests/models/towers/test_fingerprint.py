"""Whatever changes the towers is noticed and named; what runs do with them is not a change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from promptbench.contract import OTHER, TRAIN, tiny_towers
from promptbench.methods.maple import MaPLe
from promptbench.models import deltas, edits
from promptbench.models.towers import Towers, block, memory, passes
from promptbench.models.towers.fingerprint import code_or_numbers, difference, fingerprint
from promptbench.models.towers.image import VisionTower

Spoil = Callable[[Towers], object]


def _swap_rows(towers: Towers) -> None:
    weight = towers.model.token_embedding.weight
    weight.data[:2] = weight.data[:2].flip(0).clone()


def _swap_columns_of_one_row(towers: Towers) -> None:
    weight = towers.model.visual.proj.data
    weight[3, :2] = weight[3, :2].flip(0).clone()


def _write(towers: Towers) -> None:
    with torch.no_grad():
        towers.model.ln_final.bias.add_(1e-3)


def _merge(towers: Towers) -> None:
    """As LoRA does in evaluation, in place."""
    weight = _first(towers).attn.in_proj_weight
    weight.data += 0.1 * torch.ones(len(weight), 2) @ torch.ones(2, weight.shape[1])


def _write_and_take_back(towers: Towers) -> None:
    """torch has counted it."""
    with torch.no_grad():
        bias = towers.model.ln_final.bias
        kept = bias.clone()
        bias.add_(1.0)
        bias.copy_(kept)


def _scaled(self: Any, x: Any) -> Any:
    return nn.LayerNorm.forward(self, x) * 2


def _first(towers: Towers) -> Any:
    return towers.model.visual.transformer.resblocks[0]


SPOILS: dict[str, tuple[Spoil, str]] = {
    "written": (_write, "ln_final.bias holds other numbers"),
    "written and taken back": (_write_and_take_back, "ln_final.bias was changed"),
    "written through data": (
        lambda t: t.model.visual.proj.data.view(-1)[5].mul_(1.0000002),
        "visual.proj holds",
    ),
    "rows": (_swap_rows, "token_embedding.weight holds"),
    "columns": (_swap_columns_of_one_row, "visual.proj holds"),
    "scale": (lambda t: t.model.logit_scale.data.fill_(1.0), "logit_scale holds"),
    "buffer": (lambda t: t.model.attn_mask.data.zero_(), "attn_mask holds"),
    "another buffer": (lambda t: t.model.register_buffer("b", torch.ones(1)), "b was added"),
    "replaced": (
        lambda t: setattr(
            t.model.visual, "proj", nn.Parameter(t.model.visual.proj.detach(), False)
        ),
        "visual.proj was changed",
    ),
    "dtype": (lambda t: t.cast(torch.bfloat16), "holds other numbers"),
    "gradient": (lambda t: t.model.visual.proj.requires_grad_(True), "visual.proj was changed"),
    "mode": (lambda t: t.model.train(), "model.training was changed"),
    "mode of one": (lambda t: _first(t).ln_2.train(), "resblocks.0.ln_2.training was changed"),
    "hook": (
        lambda t: t.model.visual.ln_post.register_forward_hook(lambda *_: None),
        "model.visual.ln_post._forward_hooks was changed",
    ),
    "hook before": (
        lambda t: _first(t).attn.out_proj.register_forward_pre_hook(lambda *_: None),
        "out_proj._forward_pre_hooks was changed",
    ),
    "hook everywhere": (
        lambda t: nn.modules.module.register_module_forward_hook(lambda *_: None),
        "_global_forward_hooks was replaced",
    ),
    "submodule": (
        lambda t: setattr(t.model.visual, "ln_post", nn.Identity()),
        "ln_post.weight is gone",
    ),
    "equal submodule": (
        lambda t: setattr(t.model.visual, "ln_post", copy.deepcopy(t.model.visual.ln_post)),
        "visual._modules was changed",
    ),
    "forward": (
        lambda t: setattr(t.model.visual.ln_post, "forward", lambda x: x),
        "ln_post.forward was added",
    ),
    "forward of a class": (
        lambda t: setattr(type(t.model.visual.ln_post), "forward", _scaled),
        "LayerNorm.forward was",
    ),
    "epsilon": (lambda t: setattr(_first(t).ln_1, "eps", 1.0), "ln_1.eps was changed"),
    "heads": (lambda t: setattr(_first(t).attn, "num_heads", 1), "attn.num_heads was changed"),
    "order of blocks": (lambda t: t.image._blocks.reverse(), "towers.image._blocks was changed"),
    "a tower's method": (
        lambda t: setattr(t.image, "features", lambda *_: None),
        "towers.image.features was added",
    ),
    "the towers' method": (
        lambda t: setattr(VisionTower, "_project", lambda *_: None),
        "VisionTower._project was replaced",
    ),
    "the towers' scale": (
        lambda t: setattr(Towers, "logit_scale", 1.0),
        "Towers.logit_scale",
    ),
    "a tower's code": (
        lambda t: setattr(t.image, "_run", lambda *_: block.run(*_)),
        "towers.image._run was changed",
    ),
    "a low-rank map merged into a weight": (_merge, "attn.in_proj_weight holds other numbers"),
    "an edit's code": (lambda t: setattr(edits, "insert", edits.append), "edits.insert was"),
    "a delta's code": (lambda t: setattr(deltas, "plus", min), "deltas.plus was replaced"),
    "an inherited method": (lambda t: setattr(VisionTower, "run", min), "VisionTower.run was"),
    "a block's code": (lambda t: setattr(block, "run", block.read), "block.run was replaced"),
    "the code of passes": (lambda t: setattr(passes, "_together", min), "passes._together was"),
    "the code that decides on chunks": (
        lambda t: setattr(memory, "chunk", min),
        "memory.chunk was",
    ),
    "a number of it": (lambda t: setattr(passes, "_COMPILED_GROUPS", 1), "_COMPILED_GROUPS was"),
    "torch's code": (lambda t: setattr(F, "layer_norm", F.silu), "layer_norm was replaced"),
    "tokenizer": (
        lambda t: t.text._tokenizer._ids.update({"a": 5}),
        "the tokenizer was replaced",
    ),
    "another tokenizer": (
        lambda t: setattr(t.text, "_tokenizer", copy.copy(t.text._tokenizer)),
        "towers.text._tokenizer was changed",
    ),
}


@pytest.fixture(autouse=True)
def code_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back what a test changes of classes and modules."""
    kept: list[tuple[Any, str]] = [
        (nn.LayerNorm, "forward"), (VisionTower, "_project"), (Towers, "logit_scale"),
        (block, "run"), (F, "layer_norm"), (edits, "insert"), (deltas, "plus"),
        (passes, "_together"), (passes, "_COMPILED_GROUPS"), (memory, "chunk"),
    ]  # fmt: skip
    kind = type(tiny_towers().model.visual.ln_post)
    kept += [(kind, "forward")] if kind is not nn.LayerNorm else []
    for owner, name in kept:
        monkeypatch.setattr(owner, name, vars(owner)[name])
    monkeypatch.setattr(VisionTower, "run", VisionTower.run)
    yield
    nn.modules.module._global_forward_hooks.clear()


@pytest.mark.parametrize("name", SPOILS)
def test_a_change_is_noticed_and_named(name: str) -> None:
    spoil, said = SPOILS[name]
    towers = tiny_towers()
    before = fingerprint(towers)
    assert difference(before, fingerprint(towers)) is None
    spoil(towers)
    assert said in str(difference(before, fingerprint(towers)))


def _trained(towers: Towers) -> None:
    """A step with prompts in both towers, as a run does it, and evaluation afterwards."""
    method = MaPLe(towers, TRAIN).train()
    images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        method.total(method.losses(images, labels, method.prepare(TRAIN))).backward()
    optimizer.step()
    method.eval()
    with torch.inference_mode():
        method.logits(images, method.prepare(OTHER))
        towers.image.features(towers.image.tokens(images))


def _observed(towers: Towers) -> None:
    with towers.image.observed(lambda edits, deltas: edits), towers.uncompiled():
        _trained(towers)


def _compiled(towers: Towers) -> None:
    for each in (towers.text, towers.image):
        each.compile(pytest.fail, {"backend": "eager"})
    _trained(towers)
    towers.uncompile()


INNOCENT: dict[str, Spoil] = {
    "training": _trained,
    "observed": _observed,
    "compiled": _compiled,
    "chunks": lambda t: setattr(t, "class_chunk", 1),
    "forgotten": lambda t: t.forget(),
    "copied": lambda t: copy.deepcopy(MaPLe(t, TRAIN)),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_what_runs_do_is_not_a_change(name: str) -> None:
    towers = tiny_towers()
    before = fingerprint(towers)
    INNOCENT[name](towers)
    assert difference(before, fingerprint(towers)) is None


def test_towers_loaded_again_are_others_with_the_same_numbers() -> None:
    first, again, another = (fingerprint(tiny_towers(seed)) for seed in (0, 0, 1))
    assert code_or_numbers(first, again) is None
    assert difference(first, again) is not None
    assert "holds other numbers" in str(code_or_numbers(first, another))

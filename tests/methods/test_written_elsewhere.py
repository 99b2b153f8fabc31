"""Methods that strangers wrote by docs/extending/ and promptbench.api, in at most 60 lines: they
keep the contract, run as files, and compute what the shelf's own do."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import promptbench
from promptbench.contract import TRAIN
from promptbench.contract.bench import FULL
from promptbench.contract.checkup import checkup
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import Method
from promptbench.core.registry import METHODS
from promptbench.methods.cliplora import CLIPLoRA
from promptbench.methods.prograd import ProGrad
from promptbench.methods.tipadapterf import TipAdapterF
from promptbench.running.lab.calling import losses_of
from promptbench.running.training.gradients import backward
from tests.short_form import first

HERE = Path(__file__).with_name("strangers")
FILES = sorted(HERE.glob("*.py"))
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def loaded(path: Path) -> Any:
    return METHODS.load(METHODS.add_file(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_are_short_and_know_the_interface_only(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    nodes = list(ast.walk(ast.parse(text)))
    modules = {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
    modules |= {name.name for n in nodes if isinstance(n, ast.Import) for name in n.names}
    assert {m for m in modules if m and m.startswith("promptbench")} == {"promptbench.api"}


# That of many maps takes long, and the shelf's own is tested.
@pytest.mark.parametrize("path", first(1, FILES[1:]), ids=lambda path: path.stem)
def test_they_keep_the_contract(path: Path) -> None:
    broken = [(v.point, v.detail) for v in checkup(loaded(path)) if not v.held]
    assert not broken


def test_they_run_as_files(tmp_path: Path) -> None:
    names = [METHODS.add_file(path) for path in FILES]
    made = promptbench.run(
        names, "few_shot", plugin=[str(path) for path in FILES], datasets=["counts"], shots=2,
        seeds=[1], limit=20, baseline=False, quiet=True, out=tmp_path,
    )  # fmt: skip
    assert {record.method.name for record in made} == set(names)
    steps = {record.method.name: record.training.steps for record in made}
    assert steps["my_clip_lora"] == 4  # two steps a shot


def agrees(own: Method, theirs: Method, labels: Tensor = LABELS) -> None:
    """One has the logits and the gradients of the other."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for method in (own, theirs):
        method.eval()
        terms, total = losses_of(method, TRAIN, IMAGES, labels)
        backward(method, terms, total, FULL.scaler())
        grads = [
            p.grad.flatten() for _, p in sorted(method.named_parameters()) if p.grad is not None
        ]
        found.append((total, method.logits(IMAGES, method.prepare(TRAIN)), torch.cat(grads)))
    for ours, others in zip(*found, strict=True):
        assert (ours.sort().values - others.sort().values).abs().max() <= 1e-4 * others.abs().max()


def test_prograd_is_the_shelfs() -> None:
    towers = tiny_towers()
    torch.manual_seed(1)
    mine = loaded(HERE / "my_prograd.py").cls(towers, TRAIN, n_ctx=4)
    shelf = ProGrad(towers, TRAIN, n_ctx=4, ctx_init=False, template="")
    with torch.no_grad():
        shelf.ctx.copy_(mine.ctx)
    labels = shelf.logits(IMAGES, shelf.prepare(TRAIN)).argmax(dim=-1)  # to be surer of them
    terms, _ = losses_of(shelf, TRAIN, IMAGES, labels)
    ce, general = (
        torch.autograd.grad(terms[name], [shelf.ctx], retain_graph=True)[0]
        for name in ("ce", "distill")
    )
    assert (ce * general).sum() < 0  # something is taken out
    agrees(mine, shelf, labels)


def test_tip_adapter_f_is_the_shelfs() -> None:
    towers = tiny_towers()
    mine = loaded(HERE / "my_tip_adapter_f.py").cls(towers, TRAIN, passes=2)
    shelf = TipAdapterF(towers, TRAIN, passes=2)
    for method in (mine, shelf):
        method.start_from([(IMAGES, LABELS), (IMAGES.flip(3), LABELS)])
    agrees(mine, shelf)


def test_clip_lora_is_the_shelfs() -> None:
    towers = tiny_towers()
    torch.manual_seed(1)
    mine = loaded(HERE / "my_clip_lora.py").cls(towers, TRAIN)
    shelf = CLIPLoRA(towers, TRAIN)
    with torch.no_grad():
        for side in ("text", "image"):
            own: Any = shelf.low_rank[side]
            for key in own.down:
                own.down[key].copy_(mine.down[side + key.replace("_", "")])
                mine.up[side + key.replace("_", "")].normal_(std=0.1)
                own.up[key].copy_(mine.up[side + key.replace("_", "")])
    agrees(mine, shelf)

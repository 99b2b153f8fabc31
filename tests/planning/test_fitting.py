"""Methods that a backbone cannot carry are refused, or left out of all, before weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.backbones import saved
from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.planning import plan
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request

NOT_THERE = "not-there.pt"


def planned(methods: list[str], backbone: str, tmp_path: Path, **options: Any) -> Plan:
    options = {"weights": NOT_THERE, "datasets": "counts", **options}
    request = Request(methods, "base_to_new", suite="demo", backbone=backbone, **options)
    return plan.build(request, "fp32", tmp_path)


@pytest.mark.parametrize(
    ("method", "backbone", "lacking", "elsewhere"),
    [
        ("maple", "RN50", "image_blocks", "ViT-B-16-SigLIP"),
        ("mmrl", "EVA02-B-16", "image_blocks .*and image_cls", "ViT-L-14-336-quickgelu"),
        ("alignednorm", "ViT-B-16-SigLIP", "image_cls", "ViT-B-16-quickgelu"),
        ("ivlp", "BiomedCLIP", "text_blocks", "ViT-B-16-quickgelu"),
        ("coop", "coca_ViT-B-32", "text_embeddings", "RN50-quickgelu"),
    ],
)
def test_a_refusal_names_what_is_missing_and_backbones_that_have_it(
    method: str, backbone: str, lacking: str, elsewhere: str, tmp_path: Path
) -> None:
    message = (
        rf"{method} cannot run on {backbone}: it needs {lacking} \(.*\), which {backbone} does "
        rf"not offer; backbones that do: .*{elsewhere}"
    )
    with pytest.raises(UserError, match=message):
        planned([method], backbone, tmp_path)


@pytest.mark.parametrize(
    ("method", "backbone"),
    [("coop", "RN50"), ("vpt", "ViT-B-16-SigLIP"), ("vpt", "BiomedCLIP"), ("maple", "ViT-B-32")],
)
def test_what_fits_is_asked_for_its_weights(method: str, backbone: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the weights file {NOT_THERE} does not exist"):
        planned([method], backbone, tmp_path)


def test_needs_follow_the_settings(tmp_path: Path) -> None:
    """Low-rank maps in the text tower only need no image blocks."""
    with pytest.raises(UserError, match="cliplora cannot run on RN50: it needs image_blocks"):
        planned(["cliplora"], "RN50", tmp_path)
    with pytest.raises(UserError, match=NOT_THERE):
        planned(["cliplora"], "RN50", tmp_path, set=["CLIPLoRA.sides=('text',)"])


def test_all_takes_what_runs_on_the_backbone_and_names_the_others(tmp_path: Path) -> None:
    name = saved("RN50", tmp_path)
    made = planned(["all"], name, tmp_path, weights=str(tmp_path))
    taken = {cell.method.name for cell in made.cells}
    lacking = {n for n in METHODS.names() if backbones.lacking_in(name, METHODS.load(n).cls.needs)}
    assert {"zeroshot", "coop", "cocoop", "kgcoop"} <= taken
    assert {"maple", "vpt", "mmrlpp", "alignednorm"} <= lacking and not taken & lacking
    reasons = dict(each.split(" (", 1) for each in made.left_out)
    assert reasons["vpt"] == f"it needs image_blocks, which {name} does not offer)"
    assert lacking <= set(reasons)


def test_every_builtin_method_says_what_it_needs() -> None:
    from promptbench.core.method import Method

    silent = [n for n in METHODS.names() if METHODS.load(n).cls.needs is Method.needs]
    assert not silent


def test_a_need_that_has_no_meaning_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METHODS.load("coop").cls, "needs", ("text_embedings",))
    with pytest.raises(UserError, match=r"needs 'text_embedings'; .* image_blocks, image_cls"):
        planned(["coop"], "RN50", tmp_path)

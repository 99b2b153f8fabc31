"""A run on a backbone that is not CLIP's vision transformer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.backbones import SETTINGS, saved
from promptbench import run
from promptbench.errors import UserError
from tests.short_form import first

SHORT = {"shots": 1, "seeds": 1, "datasets": "counts", "limit": 24, "device": "cpu", "quiet": True}


@pytest.mark.parametrize("family", first(1, ["RN50", "EVA02-B-16"]))
def test_text_methods_run_and_share_frozen_features(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "64")
    weights = tmp_path / "weights"
    weights.mkdir()
    name = saved(family, weights)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))  # other tests fill theirs
    records = run(
        ["zeroshot", "coop", "cocoop"],
        "base_to_new",
        backbone=name,
        weights=str(weights),
        set=list(SETTINGS),
        out=tmp_path / "out",
        **SHORT,
    )
    assert [record.method.name for record in records] == ["zeroshot", "coop", "cocoop"]
    assert {record.backbone.name for record in records} == {name}
    kept = list((tmp_path / "cache").rglob("features/*.safetensors"))
    assert len(kept) == 2  # base and new, for all of them


def test_what_edits_images_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    name = saved("RN50", weights)
    with pytest.raises(UserError, match=f"vpt cannot run on {name}: it needs image_blocks"):
        run(
            ["coop", "vpt"],
            "base_to_new",
            backbone=name,
            weights=str(weights),
            out=tmp_path / "out",
            **SHORT,
        )
    assert not list(tmp_path.glob("out/**/record.json"))

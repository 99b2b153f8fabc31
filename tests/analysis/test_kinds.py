"""What analyses keep apart, and which seeds count in their averages."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import promptbench
from promptbench.analysis import results
from promptbench.analysis.kinds import complete, kinds
from promptbench.analysis.runs import Run, _known, _same_data, _same_weights, open_runs
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.tracking import Listener


def run(out: Path, **options: Any) -> None:
    usual: dict[str, Any] = {"datasets": ["counts"], "shots": 1, "seeds": [1], "quiet": True}
    promptbench.run("zeroshot", "base_to_new", out=out, **usual | options)


def opened(folder: Path) -> list[Run]:
    return open_runs([folder], Machine(), Listener())


def geometry(folder: Path, out: Path, *arguments: str) -> Result:
    asked = ["analyze", "geometry", str(folder), "--images", "20", "--out", str(out), *arguments]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one dataset, of which each differs from the first in one respect."""
    out = tmp_path_factory.mktemp("mixed")
    run(out, limit=20)
    run(out, limit=20, precision="bf16")
    run(out, limit=10)
    return out


def test_precision_and_limit_are_kinds_of_their_own(mixed: Path) -> None:
    found = {kind.marks: len(kind.runs) for kind in kinds(opened(mixed))}
    assert found == {
        ("bf16", "first 20 images"): 1,
        ("fp32", "first 10 images"): 1,
        ("fp32", "first 20 images"): 1,
    }


def test_kinds_do_not_overwrite_each_other_and_say_what_they_are(
    mixed: Path, tmp_path: Path
) -> None:
    done = geometry(mixed, tmp_path, "--compare")
    folders = sorted(path.name for path in (tmp_path / "demo" / "base_to_new").iterdir())
    assert folders == [
        "compared-bf16-first-20-images",
        "compared-fp32-first-10-images",
        "compared-fp32-first-20-images",
    ]
    said = " ".join(done.output.split())
    assert "demo, base_to_new, 1 shot, bf16, first 20 images" in said
    alone = tmp_path / "alone"
    geometry(next(mixed.glob("**/record.json")), alone, "--compare")
    assert (alone / "demo" / "base_to_new" / "compared" / "geometry.json").is_file()


def test_versions_of_a_protocol_and_weights_are_kinds_of_their_own(mixed: Path) -> None:
    first, *_ = opened(mixed)
    record = first.record
    newer = record.model_copy(
        update={"protocol": record.protocol.model_copy(update={"version": 99})}
    )
    other = record.model_copy(
        update={"backbone": record.backbone.model_copy(update={"sha256": "f" * 64})}
    )
    squashed = record.backbone.model_copy(update={"resize_mode": "squash"})
    another = record.model_copy(update={"backbone": squashed})
    changed = (newer, other, another)
    runs = [first, *(Run(first.folder, r, first.cell, first.lab) for r in changed)]
    found = kinds(runs)
    assert [len(kind.runs) for kind in found] == [1, 1, 1, 1]
    assert {kind.marks[1] for kind in found if kind.marks[0].endswith("99")} == {
        f"weights {record.backbone.sha256[:8]}"
    }
    assert any(kind.marks[1] == "weights ffffffff" for kind in found)
    assert [kind.marks[2] for kind in found].count("resize squash") == 1


def test_runs_are_opened_with_the_preprocessing_of_their_records(mixed: Path) -> None:
    first, *_ = opened(mixed)
    squashed = first.record.backbone.model_copy(update={"resize_mode": "squash"})
    another = first.record.model_copy(update={"backbone": squashed})
    _same_weights(first.lab, [first.record])
    with pytest.raises(UserError, match=r"enter the weights demo in another way .* \(as usual\)"):
        _same_weights(first.lab, [first.record, another])


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, of which the second has one of two datasets."""
    out = tmp_path_factory.mktemp("lacking")
    run(out, datasets=["counts", "fills"], seeds=[1], limit=20)
    run(out, datasets=["counts"], seeds=[2], limit=20)
    return out


def test_a_seed_without_all_data_sets_is_in_no_average_over_them(
    lacking: Path, tmp_path: Path
) -> None:
    runs = opened(lacking)
    assert {r.record.seed for r in complete(runs, lambda r: r.title)} == {1}
    assert complete(runs, lambda r: r.record.source.dataset) == runs
    done = geometry(lacking, tmp_path / "all", "--compare")
    text = " ".join(done.output.split())
    assert "CLIP (zero-shot) (first 20 images): seed 2 left out of averages" in text
    for path in lacking.glob("**/record.json"):
        if "seed2" in path.parent.name:
            path.rename(path.with_suffix(".away"))
    try:
        whole = geometry(lacking, tmp_path / "whole", "--compare")
    finally:
        for path in lacking.glob("**/record.away"):
            path.rename(path.with_suffix(".json"))
    assert "left out" not in whole.output
    one, other = (
        tmp_path / name / "demo" / "base_to_new" / "compared" for name in ("all", "whole")
    )
    assert (one / "geometry.svg").read_bytes() == (other / "geometry.svg").read_bytes()
    assert table(done.output) == table(whole.output)
    with (one / "geometry.csv").open(encoding="utf-8") as file:
        assert {row["seed"] for row in csv.DictReader(file)} == {"1", "2"}


def table(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(("CLIP", "(zero", "(first"))]


def test_without_a_complete_seed_numbers_are_kept_and_nothing_is_averaged(tmp_path: Path) -> None:
    run(tmp_path / "runs", datasets=["counts"], seeds=[1], limit=20)
    run(tmp_path / "runs", datasets=["fills"], seeds=[2], limit=20)
    done = geometry(tmp_path / "runs", tmp_path / "out", "--compare")
    assert "seeds 1, 2 left out of averages" in " ".join(done.output.split())
    found = results.read(tmp_path / "out" / "demo" / "base_to_new" / "compared" / "geometry.json")
    assert found.figures == [] and {row["seed"] for row in found.rows} == {1, 2}


def test_other_images_than_those_of_the_record_are_refused(mixed: Path) -> None:
    first, *_ = opened(mixed)
    info = first.record.data["counts"].model_copy(update={"shards_sha256": "f" * 64})
    other = first.record.model_copy(update={"data": {"counts": info}})
    _same_data(first.lab, first.record, first.folder)
    with pytest.raises(UserError, match=r"counts has other images here \(\w{6}\) .* \(ffffff\)"):
        _same_data(first.lab, other, first.folder)


def test_runs_that_were_not_computed_alike_are_named(mixed: Path) -> None:
    first, *_ = opened(mixed)
    there = first.record.environment.model_copy(update={"threads": 99})
    other = first.record.model_copy(update={"environment": there, "seed": 2})
    (kind,) = kinds([first, replace(first, record=other)])
    (text,) = kind.mixed
    assert text.startswith(f"{first.title}: threads ") and text.endswith(", 99 (seed 2)")


def test_other_code_than_that_of_the_record_is_refused(mixed: Path) -> None:
    first, *_ = opened(mixed)
    method = first.record.method.model_copy(update={"provider": f"file {'f' * 12}"})
    other = first.record.model_copy(update={"method": method})
    _known(first.record, first.folder)
    with pytest.raises(UserError, match=r"has other code here \(promptbench\) .* \(file ffffff\)"):
        _known(other, first.folder)

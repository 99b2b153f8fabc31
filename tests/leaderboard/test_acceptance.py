"""What is said of records before a run starts, and of rows that a submission leaves incomplete."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from promptbench.leaderboard.checking import acceptance, checks
from promptbench.leaderboard.checking.acceptance import Row
from promptbench.planning import plan
from promptbench.planning.request import Request
from promptbench.statistics import ENOUGH_SEEDS
from tests.made_records import record

SOURCES = ("shapes", "shapes_neon", "color_shape")  # of base_to_new in the demo


def notes(tmp_path: Path, **options: Any) -> list[str]:
    asked = {"methods": ["coop"], "protocol": "base_to_new", "suite": "demo", "seeds": (1, 2, 3)}
    made = plan.build(Request(**(asked | options)), "fp32", tmp_path)
    return acceptance.notes_of([made])


def test_nothing_is_said_of_a_whole_run(tmp_path: Path) -> None:
    assert notes(tmp_path) == []


REFUSED = [
    ("a limit", {"limit": 3}, "only the first 3 images"),
    (
        "a target that is missing",
        {"protocol": "cross_dataset", "datasets": ["shapes", "color_shape"]},
        "missing: a record of cross_dataset scores",
    ),
]


@pytest.mark.parametrize(("what", "options", "told"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_run_is_told_what_the_leaderboard_refuses(
    what: str, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (note,) = notes(tmp_path, **options)
    assert "the leaderboard would refuse" in note
    assert told in note, what


LACKING = [
    ("datasets", {"datasets": ["shapes"]}, "2 of 3 datasets missing: "),
    ("seeds", {"seeds": (1, 2)}, f"2 seeds; a rank takes {ENOUGH_SEEDS}"),
    ("settings", {"set": ["Recipe.epochs=1"]}, "changed settings (Recipe.epochs = 1)"),
]


@pytest.mark.parametrize(("what", "options", "told"), LACKING, ids=[r[0] for r in LACKING])
def test_a_run_is_told_what_its_rows_lack(
    what: str, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (note,) = notes(tmp_path, **options)
    assert "refuse" not in note
    assert told in note, what


BRIEFS = [
    ({}, []),
    ({"seeds": (1, 2)}, ["incomplete for the leaderboard: 2 seeds of 3 ("]),
    (
        {"datasets": ["shapes"], "seeds": (1,), "set": ["Recipe.epochs=2"]},
        ["2 of 3 datasets missing, 1 seed of 3, changed settings (`promptbench plan`"],
    ),
    ({"limit": 3}, ["the leaderboard would refuse records of this run: only the first 3 images"]),
]


@pytest.mark.parametrize(("options", "told"), BRIEFS)
def test_a_run_says_it_in_a_line(options: dict[str, Any], told: list[str], tmp_path: Path) -> None:
    asked = {"methods": ["coop"], "protocol": "base_to_new", "suite": "demo", "seeds": (1, 2, 3)}
    made = plan.build(Request(**(asked | options)), "fp32", tmp_path)
    lines = acceptance.brief_of([made])
    assert len(lines) == len(told)
    for line, part in zip(lines, told, strict=True):
        assert part in line and "promptbench plan" in line
        assert "\n" not in line


def test_what_learns_nothing_needs_one_seed(tmp_path: Path) -> None:
    assert notes(tmp_path, methods=["zeroshot"], seeds=(1,)) == []


def test_a_refusal_before_the_run_is_that_of_the_record(tmp_path: Path) -> None:
    (said,) = checks.scope("base_to_new", 1, "last epoch", 3)
    (note,) = notes(tmp_path, limit=3)
    assert note.endswith(said)


def row(**sources: tuple[str, ...]) -> Row:
    by_seed = {int(seed[1:]): set(own) for seed, own in sources.items()}
    return Row("CoOp", "base_to_new", "demo", 16, by_seed)


def test_a_row_lacks_datasets_seeds_and_datasets_of_a_seed() -> None:
    assert acceptance.lacking(row(s1=SOURCES, s2=SOURCES, s3=SOURCES)) == {}
    (without,) = acceptance.lacking(row(s1=SOURCES[:2], s2=SOURCES[:2], s3=SOURCES[:2]))
    assert "1 of 3 datasets missing: color_shape" in without
    (ragged,) = acceptance.lacking(row(s1=SOURCES, s2=SOURCES[1:], s3=SOURCES))
    assert "seed 2 lacks shapes" in ragged
    (few,) = acceptance.lacking(row(s1=SOURCES))
    assert "1 seed; a rank" in few
    strange = dataclasses.replace(row(s1=SOURCES), protocol="unheard_of")
    assert acceptance.lacking(strange) == {}


def test_a_submission_is_told_of_rows_that_stay_incomplete() -> None:
    submitted = [record(seed, method="coop") for seed in (1, 2)]
    (warning,) = acceptance.warnings_of(submitted, [])
    assert "incomplete: CoOp (cross_dataset, clip, 16 shots): " in warning
    assert "2 seeds; a rank takes 3" in warning
    third = record(3, method="coop")
    assert acceptance.warnings_of(submitted, [third]) == []  # beside what stands it is whole
    other = record(3, method="coop", overrides=["Recipe.epochs = 2"])
    assert len(acceptance.warnings_of(submitted, [other])) == 1  # another row stands apart

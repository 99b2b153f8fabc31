"""Checkpoints in tables: told apart where they share a name, and beside papers only where due."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from promptbench import mixing
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.report import assemble, mistakes
from promptbench.report.comparing.comparison import compare
from promptbench.report.costs import efficiency
from promptbench.report.format import render
from tests.made_records import record


def on(name: str, sha256: str, correct: int = 60, method: str = "coop", **facts: Any) -> Record:
    """A record with weights of this name and hash, under suite clip."""
    own = record().backbone.model_copy(update={"weights": name, "sha256": sha256 * 64, **facts})
    return record(correct=correct, method=method).model_copy(update={"backbone": own})


def titles(*found: Record) -> list[str]:
    return [table.title.split("suite clip, ")[1] for table in assemble.of_records(found)]


def test_two_files_of_one_name_are_two_rows_everywhere() -> None:
    found = [on("w.pt", "a", 60), on("w.pt", "b", 70)]
    first, second = titles(*found)
    assert first.startswith("ViT-B-16-quickgelu (w.pt aaaaaaaa, fp32)")
    assert second.startswith("ViT-B-16-quickgelu (w.pt bbbbbbbb, fp32)")
    rows = list(csv.DictReader(io.StringIO(render("csv", assemble.of_records(found)))))
    keys = [(r["table"], r["method"], r["group"], r["column"], r["shots"]) for r in rows]
    assert len(set(keys)) == len(keys)


def test_names_that_tell_files_apart_need_no_hash() -> None:
    assert titles(on("v.pt", "a"), on("w.pt", "b"), on("w.pt", "b", method="zeroshot")) == [
        "ViT-B-16-quickgelu (v.pt, fp32), 16 shots, accuracy in %",
        "ViT-B-16-quickgelu (w.pt, fp32), 16 shots, accuracy in %",
    ]


def test_costs_and_errors_of_two_files_of_one_name_are_told_apart() -> None:
    found = [on("w.pt", "a", 60), on("w.pt", "b", 70)]
    for number, made in enumerate(efficiency.costs(found)):
        assert f"(w.pt {'ab'[number] * 8}, fp32)" in made.title
    own = mistakes.errors(found, {})
    ends = {each.whose.rpartition(", ")[2] for each in own}
    assert ends == {f"ViT-B-16-quickgelu (w.pt {letter * 8})" for letter in "ab"}
    assert len({each.whose for each in own}) == len(own)
    assert all(each.backbone.partition("(")[2].rstrip(")") in each.table for each in own)
    (alone, *_) = mistakes.errors(found[:1], {})
    assert "w.pt" not in alone.whose


def test_another_preprocessing_is_another_table_and_said() -> None:
    usual = on("w.pt", "a")
    kept = on("w.pt", "a", interpolation="bicubic", resize_mode="shortest", method="zeroshot")
    squashed = on("w.pt", "a", resize_mode="squash", mean=(0.5, 0.5, 0.5))
    assert len(mixing.tables([usual, kept])) == 1  # records from before it was kept
    first, second = titles(usual, kept, squashed)
    assert "(w.pt, fp32)" in first and "(w.pt, mean 0.5 0.5 0.5, resize squash, fp32)" in second


def test_comparisons_of_two_files_of_one_name_are_two() -> None:
    sides = [[on("w.pt", h, method=m) for h in "ab"] for m in ("coop", "zeroshot")]
    found = compare(*sides)
    assert [c.title.split("suite ")[1] for c in found] == [
        "clip, ViT-B-16-quickgelu (w.pt aaaaaaaa)",
        "clip, ViT-B-16-quickgelu (w.pt bbbbbbbb)",
    ]
    (one,) = compare(*[side[:1] for side in sides])
    assert one.title.endswith("suite clip")
    with pytest.raises(UserError, match="nothing to compare"):
        compare(sides[0][:1], sides[1][1:])


@pytest.mark.parametrize(
    ("backbone", "beside"),
    [({"weights": "openai"}, True), ({"weights": "w.pt"}, False), ({"name": "ViT-B-16"}, False)],
)
def test_published_numbers_stand_beside_the_suites_own_weights_only(
    backbone: dict[str, str], beside: bool
) -> None:
    own = record().backbone.model_copy(update=backbone)
    found = record(method="coop").model_copy(update={"backbone": own})
    for printed in ((), ("coop", "mmrlpp")):
        (table,) = assemble.of_records([found], printed)
        assert any(row.kind == "published" for row in table.rows) is beside
        assert bool(table.banner) is not beside
    assert bool(compare([found], [found])[0].banner) is not beside

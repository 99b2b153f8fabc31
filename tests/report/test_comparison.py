"""Comparisons: what is paired, which test, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from promptbench import records
from promptbench.errors import UserError
from promptbench.records import Record, scores
from promptbench.report import assemble, outcomes
from promptbench.report.comparing import comparison_terminal
from promptbench.report.comparing.comparison import compare
from promptbench.report.comparing.sides import select
from promptbench.statistics import signed_rank_test, t_test
from tests.made_records import record

COOP, CLIP = (70, 72, 77), (60, 61, 62)


def runs(method: str, correct: tuple[int, ...]) -> list[Record]:
    return [record(seed, count, method) for seed, count in enumerate(correct, 1)]


def test_differences_are_paired_by_seed() -> None:
    (found,) = compare(runs("coop", COOP), runs("zeroshot", CLIP))
    source = found.differences[0]
    assert (source.a, source.b) == (73, 61)
    assert source.difference.mean == pytest.approx(12) and source.difference.n == 3
    expected = stats.ttest_rel(COOP, CLIP).pvalue
    assert source.over_seeds.p == pytest.approx(expected) and source.over_seeds.n == 3
    assert source.across is None


def test_the_average_is_tested_over_data_sets_too() -> None:
    (found,) = compare(runs("coop", COOP), runs("zeroshot", CLIP))
    average = found.differences[-1]
    assert average.across is not None and average.across.n == 2
    assert average.across.p == pytest.approx(0.5)  # two differences of one sign can give no less


def test_only_shared_seeds_count() -> None:
    (found,) = compare(runs("coop", COOP), runs("zeroshot", CLIP[:2]))
    assert found.seeds == (1, 2) and found.differences[0].difference.n == 2


def test_a_test_that_does_not_exist_says_why() -> None:
    assert t_test([1.0]).p is None and "at least 2 seeds" in t_test([1.0]).why
    assert t_test([1.0, 1.0]).p is None and "equal" in t_test([1.0, 1.0]).why
    assert signed_rank_test([0.0, 2.0]).p is None
    differences = [1.0, 2.0, -0.5, 3.0, 4.0, 0.7]
    assert signed_rank_test(differences).p == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_records_that_saw_other_images_are_no_pairs() -> None:
    other = record(method="zeroshot", source={**record().source.model_dump(), "keys": ["x"]})
    with pytest.raises(UserError, match="cannot be paired"):
        compare([record(method="coop")], [other])


def test_the_same_method_from_two_folders_can_be_compared() -> None:
    (found,) = compare(runs("coop", COOP), runs("coop", CLIP))
    assert found.a == found.b == "CoOp" and found.differences[0].difference.mean == 12


def test_nothing_in_common_is_told() -> None:
    with pytest.raises(UserError, match=r"nothing to compare: A has .* seed 1; B has .* seed 2"):
        compare([record(1, method="coop")], [record(2, method="zeroshot")])


def test_a_method_is_its_row_without_changed_settings(tmp_path: Path) -> None:
    changed = (record(overrides=["MMRLpp.beta = 0.1"]), record(limit=50))
    for number, made in enumerate((record(), *changed)):
        records.write(made, tmp_path / str(number) / "record.json")
    (found,) = select("mmrlpp", [tmp_path]).values()
    assert not found.overrides and found.limit is None
    (found,) = select(str(tmp_path / "1"), []).values()
    assert found.overrides == ["MMRLpp.beta = 0.1"]
    (tmp_path / "0" / "record.json").unlink()
    with pytest.raises(UserError, match="several rows"):
        select("mmrlpp", [tmp_path])


def test_records_that_other_options_would_find_are_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        made = record(seed, preset="tuned-3")
        records.write(made, tmp_path / str(seed) / "record.json")
    with pytest.raises(UserError) as caught:
        select("mmrlpp", [tmp_path])
    said = str(caught.value)
    assert "there are some of" in said and said.count("preset tuned-3") == 1
    assert len(select("mmrlpp", [tmp_path], preset="tuned-3")) == 2


def test_sides_are_methods_or_folders(tmp_path: Path) -> None:
    for number, made in enumerate((record(), record(inference="decoupled"), record(2))):
        records.write(made, tmp_path / str(number) / "record.json")
    assert len(select("mmrlpp", [tmp_path])) == 2
    assert len(select("mmrlpp:decoupled", [tmp_path])) == 1
    assert len(select(str(tmp_path / "1"), [tmp_path])) == 1
    with pytest.raises(UserError, match="several rows"):
        select(str(tmp_path), [tmp_path])
    with pytest.raises(UserError, match="no records of 'coop'"):
        select("coop", [tmp_path])


def test_what_is_shown_says_what_was_tested() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    for found in compare(runs("coop", COOP), runs("zeroshot", CLIP)):
        comparison_terminal.show(found, console)
    text = " ".join(console.export_text().split())
    for words in ("paired t-test", "Wilcoxon", "adjusted for the 4 rows", "+12.00", "below 0.5"):
        assert words in text


def base_to_new(method: str, *seeds: tuple[int, int]) -> list[Record]:
    """Records of one dataset with 90 base and 90 new images, so many of them correct."""
    target = record().targets[0].model_dump() | {"dataset": "dtd", "total": [90]}
    changes: dict[str, Any] = {
        "protocol": {"name": "base_to_new", "version": 1, "selection": "last epoch"},
        "source": {"dataset": "dtd", "classes": "base", "shots": 16, "keys": []},
    }
    return [
        record(
            seed,
            method=method,
            targets=[
                target | {"classes": half, "correct": [right]}
                for half, right in zip(("base", "new"), pair, strict=True)
            ],
            **changes,
        )
        for seed, pair in enumerate(seeds, 1)
    ]


def test_an_hm_is_that_of_a_table_and_its_test_is_of_the_difference_shown() -> None:
    a = base_to_new("coop", (88, 30), (80, 70), (60, 81))
    b = base_to_new("zeroshot", (60, 50), (60, 50), (60, 50))
    (found,) = compare(a, b)
    (table,) = assemble.of_records([*a, *b])
    own, clip = (next(r.entries[2] for r in table.rows if r.n and r.title == name)
                 for name in ("CoOp", "CLIP (zero-shot)"))  # fmt: skip
    hm = found.differences[2]
    assert own is not None and clip is not None
    assert (hm.title, hm.a, hm.b) == ("HM", own.mean, clip.mean)
    assert hm.difference.mean == pytest.approx(own.mean - clip.mean)
    assert hm.a == pytest.approx(2 * 228 * 181 / (228 + 181) * 100 / 270)
    seeds = [200 / 90 * x * y / (x + y) for x, y in ((88, 30), (80, 70), (60, 81))]
    t = hm.difference.mean / (statistics.stdev(seeds) / math.sqrt(3))
    assert hm.over_seeds.p == pytest.approx(2 * stats.t.sf(t, 2))


def test_p_values_are_adjusted_for_all_rows_that_have_one() -> None:
    (found,) = compare(runs("coop", COOP), runs("zeroshot", CLIP))
    p = [d.over_seeds.p for d in found.differences]
    assert len(p) == 4 and [d.holm for d in found.differences] == pytest.approx([4 * p[0]] * 4)
    assert [d.across_holm for d in found.differences] == [None, None, None, 0.5]


def test_equal_differences_have_no_p_but_for_rounding() -> None:
    a = base_to_new("coop", (61, 40), (72, 51), (83, 60))
    b = base_to_new("zeroshot", (60, 40), (71, 51), (82, 60))
    (found,) = compare(a, b)
    base, new = found.differences[:2]
    assert base.over_seeds.p is None and base.holm is None and "equal" in base.over_seeds.why
    assert new.over_seeds.p is None


def with_predictions(made: Record, folder: Path) -> Record:
    """The record, in `folder` with predictions that give its counts."""
    targets = []
    for target in made.targets:
        rows = ["key,label,predicted"]
        for label, (right, total) in enumerate(zip(target.correct, target.total, strict=True)):
            for i in range(total):
                rows.append(f"{label}-{i},{label},{label if i < right else 1 - label}")
        data = gzip.compress("\n".join([*rows, ""]).encode(), mtime=0)
        (folder / target.predictions).parent.mkdir(parents=True, exist_ok=True)
        (folder / target.predictions).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        targets.append(target.model_copy(update={"predictions_sha256": digest}))
    found = made.model_copy(update={"targets": targets})
    records.write(found, folder / "record.json")
    return found


def test_the_interval_over_seeds_and_images_needs_predictions_of_both(tmp_path: Path) -> None:
    a, b = (
        [with_predictions(r, tmp_path / name / str(r.seed)) for r in runs(name, counts)]
        for name, counts in (("coop", COOP), ("zeroshot", CLIP))
    )
    (found,) = compare(a, b, scores.folders([tmp_path]))
    first, average = found.differences[0], found.differences[-1]
    for d in (first, average):
        assert not isinstance(d.images, str)
        seeds = d.difference.interval
        assert seeds is not None
        assert d.images[0] < seeds[0] < d.difference.mean < seeds[1] < d.images[1]
    (again,) = compare(a, b, scores.folders([tmp_path]))
    assert again == found
    (tmp_path / "zeroshot" / "2" / "predictions" / "dtd-all.csv.gz").unlink()
    (tmp_path / "coop" / "3" / "predictions" / "eurosat-all.csv.gz").unlink()
    (found,) = compare(a, b, scores.folders([tmp_path]))
    why = [d.images if isinstance(d.images, str) else "" for d in found.differences]
    missing = "predictions of CLIP (zero-shot) are missing: dtd/all, seed 2"
    other = "predictions of CoOp are missing: eurosat/all, seed 3"
    assert why == ["", missing, other, missing]
    console = Console(width=80, record=True, file=io.StringIO())
    comparison_terminal.show(found, console)
    assert f"— under seeds + images: {missing}" in " ".join(console.export_text().split())


def test_other_images_are_not_paired(tmp_path: Path) -> None:
    (a,) = (with_predictions(r, tmp_path / "a") for r in runs("coop", (70,)))
    b = record(1, 60, "zeroshot", limit=99)
    cut = [t.model_copy(update={"total": [90, 9]}) for t in b.targets]
    (b,) = (with_predictions(b.model_copy(update={"targets": cut}), tmp_path / "b"),)
    with pytest.raises(UserError, match=r"images of imagenet/all: 100 \(A\), 99 \(B\)"):
        compare([a], [b], scores.folders([tmp_path]))
    paired = outcomes.paired([a], [b], ["A", "B"], scores.folders([tmp_path]), scores.load())
    assert set(paired.values()) == {"A and B have not scored the same images"}


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_nothing_is_cut(width: int, seeds: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    for found in compare(runs("coop", COOP[:seeds]), runs("zeroshot", CLIP[:seeds])):
        comparison_terminal.show(found, console)
    text = console.export_text()
    assert "…" not in text and "Holm" in text and "imagenet" in text
    assert all(len(line) <= width for line in text.splitlines() if line.startswith(" "))

"""Comparisons: what is paired, which test, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

from promptbench import records
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.report import comparison_terminal
from promptbench.report.comparison import compare, select
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
    with pytest.raises(UserError, match="nothing to compare"):
        compare([record(1, method="coop")], [record(2, method="zeroshot")])


def test_a_method_is_its_row_without_changed_settings(tmp_path: Path) -> None:
    changed = (record(overrides=["MMRLpp.beta = 0.1"]), record(limit=50))
    for number, made in enumerate((record(), *changed)):
        records.write(made, tmp_path / str(number) / "record.json")
    (found,) = select("mmrlpp", [tmp_path])
    assert not found.overrides and found.limit is None
    assert select(str(tmp_path / "1"), [])[0].overrides == ["MMRLpp.beta = 0.1"]
    (tmp_path / "0" / "record.json").unlink()
    with pytest.raises(UserError, match="several rows"):
        select("mmrlpp", [tmp_path])


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

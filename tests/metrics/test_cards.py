"""What `promptbench info`, `ls metrics` and docs/metrics.md say of each metric is what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.catalogue import metric_card
from promptbench.cli import main
from promptbench.core.metric import NEEDS, Answers, Metric
from promptbench.core.registry import METRICS
from promptbench.records import scores

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def call(*arguments: str, columns: int = 80) -> str:
    result = CliRunner().invoke(main, list(arguments), env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", METRICS.names())
def test_the_page_has_a_line_for_each_metric(name: str) -> None:
    metric = scores.load(name)
    (line,) = [x for x in DOCS.read_text().splitlines() if x.startswith(f"| `{name}` |")]
    unit, better, needs, both = (cell.strip() for cell in line.strip("|").split("|")[-4:])
    assert (unit, better, needs) == (metric.unit, metric.better, metric.needs)
    assert both == ("one value" if metric.pooled else "HM" if metric.harmonic else "two values")


def test_the_page_has_no_other_metric_and_explains_all_needs() -> None:
    text = DOCS.read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(METRICS.names())
    assert set(NEEDS) <= set(re.findall(r"^\| (\w+) \|", text, re.MULTILINE))


@pytest.mark.parametrize("columns", [40, 80])
def test_info_says_unit_direction_needs_and_aggregation(columns: int) -> None:
    said = " ".join(call("info", "auroc_base_new", columns=columns).split())
    for part in ("unit %", "better higher", "values from 0 to 100", "needs mass: ", "one value"):
        assert part in said, part
    assert "over datasets the arithmetic mean" in said
    assert "base and new HM, the harmonic mean" in " ".join(call("info", "top5").split())
    said = " ".join(call("info", "nll").split())
    assert "values from 0 on" in said and "two values, no harmonic mean" in said


def test_the_list_says_what_needs_are_and_cuts_nothing() -> None:
    said = call("ls", "metrics")
    assert "…" not in said and all(len(line) <= 80 for line in said.splitlines())
    words = " ".join(said.split())
    for name, text in NEEDS.items():
        assert name == "counts" or f"{name}, {text}" in words


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.0, float("inf")), "from 0 on"),
        ((-1.0, 1.0), "from -1 to 1"),
        ((float("-inf"), 2.5), "up to 2.5"),
        ((float("-inf"), float("inf")), "any"),
    ],
)
def test_bounds_in_words(bounds: tuple[float, float], text: str) -> None:
    class Own(Metric):
        def value(self, answers: Answers) -> float | None:
            return None

    Own.bounds = bounds
    assert metric_card.facts(Own())["values"] == text


@pytest.mark.parametrize("bounds", [None, 3, (1.0, 0.0), ("a", 1), (1, 2, 3)])
def test_bounds_that_are_none_are_named(bounds: Any) -> None:
    class Own(Metric):
        title, short = "Own", "own"

        def value(self, answers: Answers) -> float | None:
            return None

    Own.bounds = bounds
    assert str(Own().mistake()).endswith("are not the lower and the higher end")

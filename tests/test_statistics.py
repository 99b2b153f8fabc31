"""What is said of a mean: an interval from three seeds on, the range of two, nothing beyond what
the quantity can be."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from promptbench.core.registry import FORMATS
from promptbench.metrics.accuracy import Accuracy
from promptbench.records import Record
from promptbench.report import assemble, plot
from promptbench.report.comparing import comparison, comparison_terminal
from promptbench.report.format import TERMINAL, render
from promptbench.report.text import bars_note, figure, spread, spread_notes
from promptbench.statistics import Estimate, estimate
from tests.made_records import record

PERCENT = Accuracy.bounds
percents = st.floats(*PERCENT)


def runs(method: str, *correct: int) -> list[Record]:
    """One record per seed with that many of 90 images correct, and other parameters each."""
    found = []
    for seed, count in enumerate(correct, 1):
        made = record(seed, count, method)
        learned = None if method == "zeroshot" else f"{seed:064d}"
        training = made.training.model_copy(update={"parameters_sha256": learned})
        found.append(made.model_copy(update={"training": training}))
    return found


def test_three_seeds_have_an_interval_two_their_range_one_nothing() -> None:
    three = estimate(2.0, [1.0, 2.0, 3.0])
    assert three.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert three.interval == pytest.approx((2 - 2.4841377, 2 + 2.4841377))
    two = estimate(2.5, [3.0, 2.0])
    assert (two.half_width, two.interval, two.span) == (None, None, (2.0, 3.0))
    one = estimate(2.0, [2.0])
    assert (one.half_width, one.interval, one.spread) == (None, None, None)
    assert [figure(e) for e in (three, two, one)] == ["2.00 ±2.48", "2.50 (2.00–3.00)†", "2.00†"]


@given(st.lists(percents, min_size=1, max_size=6), st.booleans())
def test_nothing_is_shown_or_drawn_beyond_the_possible_range(
    samples: list[float], drawn: bool
) -> None:
    found = estimate(sum(samples) / len(samples), samples, PERCENT, drawn)
    shown = [float(number) for number in re.findall(r"-?\d+\.\d+", spread(found))]
    if found.is_cut or found.half_width is None:
        assert all(0 <= number <= 100 for number in shown)
    else:
        assert shown and found.mean - shown[0] + 0.01 >= 0 and found.mean + shown[0] <= 100.01
    below, above = found.bars
    assert math.isnan(below) or (0 <= below <= found.mean + 1e-9)
    assert math.isnan(above) or (0 <= above <= 100 - found.mean + 1e-9)


def test_an_interval_that_would_pass_a_bound_is_shown_by_its_ends() -> None:
    high = estimate(98.0, [95.0, 99.0, 100.0], PERCENT)
    assert figure(high) == "98.00 [91.43, 100.00]" and high.interval == (high.interval or ())[:2]
    assert figure(estimate(1.0, [0.0, 0.0, 3.0], PERCENT)) == "1.00 [0.00, 5.30]"
    assert figure(estimate(100.0, [100.0] * 3, PERCENT)) == "100.00 ±0.00"


def test_what_is_not_drawn_has_no_spread() -> None:
    same = estimate(50.0, [50.0, 50.0, 50.0], PERCENT, drawn=False)
    assert same.fixed and figure(same) == "50.00" and same.interval == (50.0, 50.0)
    assert figure(estimate(50.0, [50.0, 50.0], PERCENT, drawn=False)) == "50.00"
    assert figure(estimate(50.0, [50.0], PERCENT, drawn=False)) == "50.00†"  # who knows
    varied = estimate(50.0, [49.0, 50.0, 51.0], PERCENT, drawn=False)  # so something is
    assert not varied.fixed and figure(varied) == "50.00 ±2.48"


def test_every_kind_of_spread_among_the_numbers_is_explained_once() -> None:
    kinds = [
        estimate(50.0, [49.0, 50.0, 51.0], PERCENT),
        estimate(99.0, [97.0, 100.0, 100.0], PERCENT),
        estimate(50.0, [49.0, 51.0], PERCENT),
        estimate(50.0, [50.0, 50.0], PERCENT, drawn=False),
    ]
    starts = [note.split(" ")[0] for note in spread_notes([*kinds, *kinds], "accuracies")]
    assert starts == ["±", "[a,", "(a–b):", "without"]
    for kind, start in zip(kinds, starts, strict=True):
        assert [note.split(" ")[0] for note in spread_notes([kind], "accuracies")] == [start]
    assert bars_note(kinds[:2]) == "bars: 95% interval over seeds"
    assert bars_note(kinds[2:]) == "bars: the values of two seeds"
    assert "of only two seeds" in bars_note(kinds) and bars_note(kinds[3:]) == ""


def few(coop: tuple[int, ...]) -> list[Record]:
    return [*runs("coop", *coop), *runs("zeroshot", *(60,) * len(coop))]


@pytest.mark.parametrize("form", [name for name in FORMATS.names() if name != TERMINAL])
def test_two_seeds_and_rows_without_seeds_in_every_format(form: str) -> None:
    text = render(form, assemble.of_records(few((70, 88))))
    numbers = re.sub(r"(?m)^.*test images.*$", "", text)  # the line of their sampling error
    assert "±" not in numbers.replace("without ±", "") and "12.7" not in text
    if form not in ("csv", "json"):
        dash = "--" if form == "latex" else "–"
        assert f"79.00 (70.00{dash}88.00)" in text
        assert "60.00 (" not in text and "pm" not in numbers.replace(r"without $\pm$", "")


def test_the_csv_says_what_its_ends_are() -> None:
    def cells(*found: Record) -> pandas.DataFrame:
        text = render("csv", assemble.of_records(found))
        frame = pandas.read_csv(io.StringIO(text)).query("kind == 'ours' and column == 'imagenet'")
        return frame.set_index("method")[["mean", "half_width", "low", "high", "spread", "n"]]

    two = cells(*few((70, 88)))
    assert two.loc["CoOp"].tolist()[2:] == [70.0, 88.0, "range", 2]
    assert pandas.isna(two.loc["CoOp", "half_width"])
    fixed = two.loc["CLIP (zero-shot)"]
    assert fixed["spread"] == "fixed" and pandas.isna(fixed["low"]) and fixed["mean"] == 60
    three = cells(*few((86, 88, 87)))
    assert three.loc["CoOp", "spread"] == "interval"
    assert three.loc["CoOp", "half_width"] == pytest.approx(2.4841377)
    assert three.loc["CoOp", "high"] == pytest.approx(87 + 2.4841377)


def test_what_is_fixed_competes_and_is_separated_and_two_seeds_separate_nothing() -> None:
    (found,) = assemble.of_records(few((80, 81, 82)))
    assert {row.title for row in found.rows if 0 in row.best} == {"CoOp"}
    assert {row.title for row in found.rows if 0 in row.separated} == {"CLIP (zero-shot)"}
    (found,) = assemble.of_records(few((80, 81)))
    assert {row.title for row in found.rows if 0 in row.best} == {"CoOp"}
    assert not any(row.separated for row in found.rows)


def test_a_comparison_of_two_seeds_shows_both_differences() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    for found in comparison.compare(runs("coop", 70, 77), runs("zeroshot", 60, 60)):
        comparison_terminal.show(found, console)
    text = console.export_text()
    assert "+13.50" in text and "±" not in text and "…" not in text  # nothing is cut
    assert "(+10.00 to +17.00)" in " ".join(re.findall(r"\(\+10.00|to \+17.00\)", text)[:2])
    assert "the values of two seeds" in text
    same = comparison.compare(runs("zeroshot", 60, 60, 60), runs("zeroshot", 60, 60, 60))
    assert same[0].differences[0].difference.fixed


def test_bars_of_the_shots_plot_stay_within_the_axis(tmp_path: Path) -> None:
    protocol = {"name": "few_shot", "version": 1, "selection": "last epoch"}
    found = []
    for shots in (1, 2, 4):
        source = {"dataset": "imagenet", "classes": "all", "shots": shots, "keys": []}
        for made in runs("coop", 60, 88, 88) if shots > 1 else runs("coop", 60, 88):
            changes = {"protocol": protocol, "source": source}
            update = record(**changes)
            parts = {name: getattr(update, name) for name in changes}
            found.append(made.model_copy(update={**parts, "targets": made.targets[:1]}))
    (table,) = assemble.of_records(found)
    _, svg = plot.shots_plot(table, tmp_path / "shots")
    assert "of only two seeds, their values" in svg.read_text()  # in a comment beside its outline
    for entry in (entry for row in table.rows for entry in row.entries if entry and entry.n):
        below, above = entry.bars
        assert 0 <= entry.mean - below <= entry.mean + above <= 100


def test_an_estimate_without_bounds_is_not_cut() -> None:
    assert not Estimate(99.0, 5.0, 3).is_cut and Estimate(99.0, 5.0, 3).interval == (94.0, 104.0)

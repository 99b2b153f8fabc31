"""What plots draw: a colour hangs on a name, intervals on the seeds, and both are plain data."""

from __future__ import annotations

from collections import Counter

import pytest

from promptbench.figures import looks
from promptbench.leaderboard.boards import building, plots
from promptbench.report import published, series
from promptbench.statistics import estimate


def test_a_colour_hangs_on_the_name_and_is_that_of_figures() -> None:
    found = [plots.plots_of(each)["data"]["colours"] for each in building.boards([])]
    assert len(found) > 3 and all(found)
    together: dict[str, str] = {}
    for own in found:
        assert all(together.get(name, place) == place for name, place in own.items())
        together |= own
    place = int(together["coop"].removeprefix("--m"))
    assert looks.COLOURS[place] == looks.colour_of("coop")


def test_a_colour_and_a_marker_tell_methods_apart_as_in_figures() -> None:
    found = plots.look([*published.methods(), "coop"])
    looked = {name: (found["colours"][name], found["markers"][name]) for name in found["colours"]}
    for colour, same in Counter(found["colours"].values()).items():
        own = {look for look in looked.values() if look[0] == colour}
        assert len(own) >= min(same, len(looks.MARKERS) - 1)
    drawn = plots.plots_of(building.boards([])[0])["data"]
    assert all(looked[name][1] == marker for name, marker in drawn["markers"].items())
    assert looked["coop"][1] == series.looks_of(["coop"])["coop"].marker


def test_a_plot_of_datasets_is_called_by_what_it_shows() -> None:
    titles = {
        each.protocol: plot["title"]
        for each in building.boards([])
        for plot in plots.plots_of(each)["plots"]
        if plot["kind"] == "datasets"
    }
    assert titles["base_to_new"] == "HM per dataset"
    assert titles["cross_dataset"] == titles["few_shot"] == "Accuracy per dataset"


def test_the_palette_has_each_colour_on_white_and_on_dark_pages() -> None:
    text = plots.palette()
    for number, (light, dark) in enumerate(zip(looks.COLOURS, looks.DARK_COLOURS, strict=True)):
        assert text.count(f"--m{number}: {light};") == 1
        assert text.count(f"--m{number}: {dark};") == 2  # chosen, and as the system says


def test_only_an_interval_is_a_bar_and_it_stays_where_values_can_be() -> None:
    bounds = (0.0, 100.0)
    three = plots.value(estimate(99.0, (97.0, 100.0, 100.0), bounds), 2)
    assert three[0] == 99.0 and three[1][1] == 100.0 and three[1][0] < 97.0
    two = plots.value(estimate(50.0, (40.0, 60.0), bounds), 2)
    assert two[1] is None and two[2] == "(40.00–60.00)"
    assert plots.value(estimate(50.0, (50.0,), bounds), 2)[1:] == [None, ""]


@pytest.mark.parametrize(
    ("seeds", "words"), [((1.0, 2.0, 4.0), "95% interval"), ((1.0, 2.0), "both values")]
)
def test_it_is_said_what_bars_are_and_what_has_none(seeds: tuple[float, ...], words: str) -> None:
    note = plots.bars_note([estimate(2.0, seeds)])
    assert words in note and ("Bars" in note) == (len(seeds) > 2)
    assert plots.bars_note([estimate(2.0, (2.0,))]) == ""


def test_zero_shot_rows_are_references_and_others_are_not() -> None:
    (found,) = [each for each in building.boards([]) if each.protocol == "base_to_new"]
    rows = plots.plots_of(found)["data"]["rows"]
    references = {row["method"] for row in rows if row["reference"]}
    assert "zeroshot" in references and "coop" not in references
    assert references == {row.method for row in found.rows if row.paradigm == "zero-shot"}

"""Published numbers: origins, sources, and their arithmetic recomputed."""

from __future__ import annotations

import statistics
from collections import defaultdict

import pytest

from promptbench.core.registry import METHODS
from promptbench.report import published

PRINTED = ("base_to_new", "cross_dataset", "domain_generalization", "few_shot")
ROUNDING = 0.0106  # numbers are printed with two decimals, and so are those they follow from

Key = tuple[str, str, str, str]  # method, inference, shots, start of the source


def by_row(protocol: str) -> dict[Key, dict[tuple[str, str], float]]:
    found: dict[Key, dict[tuple[str, str], float]] = defaultdict(dict)
    for line in published.lines(protocol):
        key = (line["method"], line["inference"], line["shots"], line["source"])
        assert (line["dataset"], line["split"]) not in found[key], "the same cell twice"
        found[key][line["dataset"], line["split"]] = float(line["value"])
    return found


def test_every_number_has_a_source_and_an_origin() -> None:
    count = 0
    for protocol in PRINTED:
        for line in published.lines(protocol):
            count += 1
            assert line["source"] and line["origin"] in ("original", "re-run", "unknown")
            assert line["method"] in published.methods()
            assert 0 < float(line["value"]) < 100
    assert count == 937


def test_the_same_cell_may_have_several_sources() -> None:
    cells = [
        line["origin"]
        for line in published.lines("base_to_new")
        if (line["method"], line["dataset"], line["split"]) == ("maple", "dtd", "new")
    ]
    assert sorted(cells) == ["original", "re-run"]


def test_harmonic_means_follow_from_base_and_new() -> None:
    """All but the known slips: (method, dataset, printed, recomputed)."""
    slips = []
    for (method, _, _, _), row in by_row("base_to_new").items():
        for dataset in {dataset for dataset, _ in row}:
            base, new, hm = (row[dataset, split] for split in ("base", "new", "hm"))
            again = 2 * base * new / (base + new)
            if abs(hm - again) > ROUNDING:
                slips.append((method, dataset, hm, round(again, 2)))
    assert slips == [("mmrl", "dtd", 73.82, 73.92)]


@pytest.mark.parametrize("protocol", PRINTED)
def test_averages_follow_from_their_columns(protocol: str) -> None:
    """All but the known slips: (method, shots, printed, recomputed)."""
    slips = []
    for (method, _, shots, _), row in by_row(protocol).items():
        for split in sorted({split for _, split in row} - {"hm"}):
            values = [
                value
                for (dataset, of), value in row.items()
                if of == split
                and dataset != "Average"
                and (protocol in ("base_to_new", "few_shot") or dataset != "imagenet")
            ]
            if not values or ("Average", split) not in row:
                continue  # some sources print the average alone, or no average
            again = statistics.fmean(values)
            if abs(row["Average", split] - again) > ROUNDING:
                slips.append((method, shots, row["Average", split], round(again, 2)))
    known = {"few_shot": [("cocoop", "16", 74.9, 74.89), ("maple", "4", 75.37, 75.75)]}
    assert slips == known.get(protocol, [])


def test_methods_are_called_as_their_plugins() -> None:
    for name in METHODS.names():
        if name in published.methods():
            cls, info = METHODS.load(name).cls, published.methods()[name]
            assert (info.title, info.paradigm) == (cls.title, cls.paradigm)


def test_betas_chosen_per_target_carry_a_note() -> None:
    for protocol in PRINTED:
        for line in published.lines(protocol):
            tuned = protocol in ("cross_dataset", "domain_generalization")
            family = line["method"] in ("mmrlpp", "alignednorm")
            assert bool(line["note"]) == (tuned and family)

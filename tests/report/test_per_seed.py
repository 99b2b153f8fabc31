"""The values of every seed in lines of their own."""

from __future__ import annotations

import csv
import io

import pytest

from promptbench.records import scores
from promptbench.report import assemble, per_seed
from promptbench.report.format import render_grids
from tests.made_records import record


def lines() -> list[dict[str, str]]:
    records = [record(seed, correct) for seed, correct in ((1, 60), (2, 64), (3, 71))]
    records.append(record(1, 50, overrides=["Recipe.epochs = 2"]))
    (scorer,) = scores.scorers([scores.load()], dict)
    text = render_grids("csv", per_seed.of_seeds(records, scorer))
    return list(csv.DictReader(io.StringIO(text)))


def test_each_seed_has_a_line_with_what_distinguishes_its_row() -> None:
    found = lines()
    facts = {"suite": "clip", "backbone": "ViT-B-16-quickgelu", "preset": "paper"}
    for line in found:
        assert facts.items() <= line.items()
        assert line["selection"] == "last epoch"
        assert line["protocol"] == "cross_dataset"
    usual = [line for line in found if not line["overrides"] and line["column"] == "dtd"]
    values = [(line["seed"], float(line["value"])) for line in usual]
    assert values == [("1", 61.0), ("2", 65.0), ("3", 72.0)]
    changed = [line for line in found if line["overrides"] == "Recipe.epochs = 2"]
    assert {line["seed"] for line in changed} == {"1"}


def test_their_mean_is_the_number_of_the_table() -> None:
    records = [record(seed, correct) for seed, correct in ((1, 60), (2, 64), (3, 71))]
    (table,) = assemble.of_records(records)
    (row,) = [row for row in table.rows if row.n]
    for heading, entry in zip(table.headings, row.entries, strict=True):
        place = (heading.group, heading.title)
        own = [line for line in lines() if (line["group"], line["column"]) == place]
        own = [line for line in own if not line["overrides"]]
        assert entry is not None
        assert sum(float(line["value"]) for line in own) / len(own) == pytest.approx(entry.mean)

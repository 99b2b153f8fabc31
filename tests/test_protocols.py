"""Protocols: which classes are learnt and scored, and how tables follow from scores."""

from __future__ import annotations

import pytest

from promptbench.errors import UserError
from promptbench.plan import known_names, load_protocol
from promptbench.protocol import Protocol
from promptbench.registry import PROTOCOLS


def protocol(name: str, suite: str = "demo") -> Protocol:
    return load_protocol(name, suite, known_names([PROTOCOLS.load(name)]))


def test_base_to_new_of_the_field_has_eleven_data_sets() -> None:
    legs = protocol("base_to_new", "clip").legs(16)
    assert len(legs) == 11
    for leg in legs:
        assert leg.source.classes == "base" and leg.source.shots == 16
        assert [(t.classes, t.shift) for t in leg.targets] == [("base", "none"), ("new", "classes")]


def test_cross_dataset_of_the_field() -> None:
    (leg,) = protocol("cross_dataset", "clip").legs(16)
    assert leg.source.dataset == "imagenet" and leg.source.classes == "all"
    assert [t.shift for t in leg.targets] == ["none"] + ["dataset"] * 10


def test_harmonic_mean_is_taken_from_the_means() -> None:
    p = protocol("base_to_new")
    legs = p.legs(16, ["shapes", "colors"])
    scores = {
        ("shapes", "shapes/base"): 80.0,
        ("shapes", "shapes/new"): 40.0,
        ("colors", "colors/base"): 60.0,
        ("colors", "colors/new"): 60.0,
    }
    values = {(c.group, c.title): c.value(scores) for c in p.columns(legs)}
    assert values["shapes", "HM"] == pytest.approx(2 * 80 * 40 / 120)
    assert values["Average", "base"] == 70 and values["Average", "new"] == 50
    assert values["Average", "HM"] == pytest.approx(2 * 70 * 50 / 120)


def test_incomplete_rows_have_no_average() -> None:
    p = protocol("cross_dataset")
    legs = p.legs(16)
    scores = {("shapes", "shapes/all"): 50.0, ("shapes", "colors/all"): 90.0}
    columns = p.columns(legs)
    assert columns[-1].title == "Average" and columns[-1].value(scores) is None


def test_average_of_cross_dataset_leaves_the_source_out() -> None:
    p = protocol("cross_dataset")
    legs = p.legs(16, ["colors", "fills"])
    scores = {
        ("shapes", "shapes/all"): 10.0,
        ("shapes", "colors/all"): 90.0,
        ("shapes", "fills/all"): 40.0,
    }
    assert p.columns(legs)[-1].value(scores) == 65


def test_cross_dataset_without_targets_is_refused() -> None:
    with pytest.raises(UserError, match="no target left"):
        protocol("cross_dataset").legs(16, ["shapes"])

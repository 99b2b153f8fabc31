"""Protocols: which classes are learned and scored, and how tables follow from scores."""

from __future__ import annotations

import pytest

from promptbench.core.protocol import Column, Leg, Protocol, mean_of, without_harmonic_means
from promptbench.core.registry import PROTOCOLS
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.planning.settings import known_names, load_protocol


def protocol(name: str, suite: str = "demo") -> Protocol:
    return load_protocol(name, suite, known_names([PROTOCOLS.load(name)]))


def test_base_to_new_of_the_field_has_eleven_datasets() -> None:
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
        ("shapes/base", 16, "shapes/base"): 80.0,
        ("shapes/base", 16, "shapes/new"): 40.0,
        ("colors/base", 16, "colors/base"): 60.0,
        ("colors/base", 16, "colors/new"): 60.0,
    }
    values = {(c.group, c.title): c.value(scores) for c in p.columns(legs)}
    assert values["shapes", "HM"] == pytest.approx(2 * 80 * 40 / 120)
    average = "Average of 2"  # the suite has other datasets
    assert values[average, "base"] == 70 and values[average, "new"] == 50
    assert values[average, "HM"] == pytest.approx(2 * 70 * 50 / 120)


def test_a_metric_without_harmonic_means_has_none_wherever_one_is_a_part() -> None:
    p = protocol("base_to_new")
    legs = p.legs(16, ["shapes", "colors"])
    plain = p.columns(legs)
    of_hms = mean_of([column for column in plain if column.title == "HM"])
    columns = without_harmonic_means([*plain, Column("", "mean HM", of_hms, 16)], legs)
    scores = {("shapes/base", 16, f"shapes/{half}"): 80.0 for half in ("base", "new")}
    values = {(c.group, c.title): c.value(scores) for c in columns}
    assert values["shapes", "base"] == 80 and values["shapes", "HM"] is None
    assert {c.title for c in columns if not c.defined} == {"HM", "mean HM"}
    average = next(c for c in columns if c.members)
    assert all(any(member is c for c in columns) for member in average.members)
    # What a table has no target of is incomplete, which is something else.
    only_base = [Leg(leg.source, leg.targets[:1]) for leg in legs]
    assert all(c.defined for c in without_harmonic_means(plain, only_base))


def test_incomplete_rows_have_no_average() -> None:
    p = protocol("cross_dataset")
    legs = p.legs(16)
    scores = {("shapes/all", 16, "shapes/all"): 50.0, ("shapes/all", 16, "colors/all"): 90.0}
    columns = p.columns(legs)
    assert columns[-1].title == "Average" and columns[-1].value(scores) is None


def test_average_of_cross_dataset_leaves_the_source_out() -> None:
    p = protocol("cross_dataset")
    legs = p.legs(16, ["colors", "fills"])
    scores = {
        ("shapes/all", 16, "shapes/all"): 10.0,
        ("shapes/all", 16, "colors/all"): 90.0,
        ("shapes/all", 16, "fills/all"): 40.0,
    }
    assert p.columns(legs)[-1].value(scores) == 65


def test_cross_dataset_without_targets_is_refused() -> None:
    with pytest.raises(UserError, match="no target left"):
        protocol("cross_dataset").legs(16, ["shapes"])


def test_domain_generalization_of_the_field_shares_the_training_of_cross_dataset() -> None:
    p = protocol("domain_generalization", "clip")
    (leg,) = p.legs(16)
    assert leg.source == protocol("cross_dataset", "clip").legs(16)[0].source
    assert [t.dataset for t in leg.targets] == [
        "imagenet",
        "imagenetv2",
        "imagenet_sketch",
        "imagenet_a",
        "imagenet_r",
    ]
    assert [t.shift for t in leg.targets] == ["none"] + ["domain"] * 4
    assert p.trains_as == "cross_dataset"


def test_few_shot_of_the_field_has_55_legs() -> None:
    p = protocol("few_shot", "clip")
    legs = [leg for shots in p.shot_counts(16) for leg in p.legs(shots)]
    assert len(legs) == 5 * 11
    assert {(leg.source.classes, t.classes, t.shift) for leg in legs for t in leg.targets} == {
        ("all", "all", "none")
    }
    averages = [(c.group, c.shots) for c in p.columns(legs) if c.members]
    assert averages == [
        ("1 shot", 1),
        ("2 shots", 2),
        ("4 shots", 4),
        ("8 shots", 8),
        ("16 shots", 16),
    ]


def test_few_shot_numbers_of_different_shots_do_not_mix() -> None:
    p = protocol("few_shot")
    legs = [leg for shots in (1, 2) for leg in p.legs(shots)]
    scores = {
        ("fills/all", 1, "fills/all"): 50.0,
        ("color_shape/all", 1, "color_shape/all"): 70.0,
    }
    values = {(c.group, c.title): c.value(scores) for c in p.columns(legs)}
    assert values["1 shot", "Average"] == 60
    assert values["2 shots", "fills"] is None and values["2 shots", "Average"] is None


def test_generalized_base_to_new_scores_both_halves_over_all_names() -> None:
    p = protocol("generalized_base_to_new", "clip")
    legs, plain = p.legs(16), protocol("base_to_new", "clip").legs(16)
    assert [leg.source for leg in legs] == [leg.source for leg in plain]
    base, new = legs[0].targets
    assert (base.classes, new.classes) == ("base", "new")
    assert base.scored_over == new.scored_over == "all"
    assert new.key == "imagenet/new-of-all"
    assert p.trains_as == "base_to_new" and not p.split_known


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_protocol_has_demo_datasets(name: str) -> None:
    p = protocol(name)
    legs = [leg for shots in p.shot_counts(16) for leg in p.legs(shots)]
    named = {leg.source.dataset for leg in legs} | {t.dataset for g in legs for t in g.targets}
    assert named <= set(cards.names())
    assert p.columns(legs)[-1].members and p.columns(legs)[-1].published

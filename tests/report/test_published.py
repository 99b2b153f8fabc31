"""Published numbers: origins, sources, tracks, and their arithmetic recomputed."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict

import pytest

from promptbench.core.registry import METHODS
from promptbench.report import averages, published
from promptbench.report.tracks import TRACKS

PRINTED = {"base_to_new": 11, "cross_dataset": 10, "domain_generalization": 4, "few_shot": 11}
SOURCE = {"cross_dataset": "imagenet", "domain_generalization": "imagenet"}  # in no average

Row = dict[tuple[str, str], dict[str, str]]  # by dataset and split


def by_row(protocol: str) -> list[Row]:
    """The lines of each source's row."""
    found: dict[tuple[str, ...], Row] = defaultdict(dict)
    for line in published.lines(protocol):
        names = ("method", "inference", "shots", "backbone", "source", "origin")
        key = (*(line[name] for name in names), published.clauses(line["note"])[0])
        assert (line["dataset"], line["split"]) not in found[key], "the same cell twice"
        found[key][line["dataset"], line["split"]] = line
    return list(found.values())


def value(line: dict[str, str]) -> float:
    return float(line["value"])


def slip(line: dict[str, str]) -> str:
    return published.clauses(line["note"])[1]


def test_every_number_has_a_source_and_an_origin() -> None:
    counts = Counter({protocol: len(published.lines(protocol)) for protocol in PRINTED})
    assert counts == {
        "base_to_new": 468 + 1887,
        "cross_dataset": 132 + 325,
        "domain_generalization": 66 + 128,
        "few_shot": 271 + 41,
    }
    for protocol in PRINTED:
        for line in published.lines(protocol):
            assert line["source"] and line["origin"] in ("original", "re-run", "unknown")
            assert line["method"] in published.methods()
            assert line["backbone"] in ("ViT-B/16", "ViT-B/32")
            assert 0 < value(line) < 100


def test_the_same_cell_may_have_several_sources() -> None:
    cells = [
        line["origin"]
        for line in published.lines("base_to_new")
        if (line["method"], line["dataset"], line["split"]) == ("maple", "dtd", "new")
    ]
    assert sorted(cells) == ["original", "re-run", "re-run", "re-run"]


@pytest.mark.parametrize(
    ("method", "values"),
    [("hicropl", {80.60, 81.75}), ("coprompt", {78.93, 80.48}), ("promptsrc", {78.87, 79.97})],
)
def test_originals_and_re_runs_stand_side_by_side(method: str, values: set[float]) -> None:
    means = {
        value(line)
        for line in published.lines("base_to_new")
        if (line["method"], line["dataset"], line["split"]) == (method, "Average", "hm")
    }
    assert means >= values


@pytest.mark.parametrize("protocol", PRINTED)
def test_harmonic_means_follow_from_base_and_new_or_are_marked(protocol: str) -> None:
    checked = 0
    for row in by_row(protocol):
        allowed = averages.tolerance([line["value"] for line in row.values()])
        for dataset in {dataset for dataset, split in row if split == "hm"}:
            base, new, hm = (row[dataset, split] for split in ("base", "new", "hm"))
            again = 2 * value(base) * value(new) / (value(base) + value(new))
            follows = abs(value(hm) - again) <= allowed
            assert follows is (not slip(hm)), (hm, again)
            checked += 1
    assert checked == (785 if protocol == "base_to_new" else 0)


@pytest.mark.parametrize("protocol", PRINTED)
def test_averages_follow_from_their_datasets_or_are_marked(protocol: str) -> None:
    """All but those of rows whose source does not print all datasets."""
    checked = 0
    for row in by_row(protocol):
        allowed = averages.tolerance([line["value"] for line in row.values()])
        for split in sorted({split for _, split in row} - {"hm"}):
            values = [
                value(line)
                for (dataset, of), line in row.items()
                if of == split and dataset not in ("Average", SOURCE.get(protocol))
            ]
            if len(values) < PRINTED[protocol] or ("Average", split) not in row:
                continue
            average, again = row["Average", split], statistics.fmean(values)
            follows = abs(value(average) - again) <= allowed
            assert follows is (not slip(average)), (average, again)
            checked += 1
    assert checked == AVERAGES[protocol]


AVERAGES = {"base_to_new": 112, "cross_dataset": 37, "domain_generalization": 24, "few_shot": 23}


def test_the_slips_of_the_sources_are_these() -> None:
    """(protocol, method, dataset, split, printed): a number that is added or corrected moves it."""
    found = [
        (protocol, line["method"], line["dataset"], line["split"], line["value"])
        for protocol in PRINTED
        for line in published.lines(protocol)
        if slip(line)
    ]
    assert len(found) == len(set(found)) == 35
    assert ("base_to_new", "mmrl", "dtd", "hm", "73.82") in found
    assert ("cross_dataset", "cocoop+atprompt", "Average", "test", "66.59") in found
    assert ("few_shot", "maple", "Average", "test", "75.37") in found


def test_numbers_that_slips_name_are_those_that_follow() -> None:
    """`(69.99)` or `of the 10 targets it is 66.12`."""
    named = 0
    for protocol in PRINTED:
        for row in by_row(protocol):
            for (dataset, split), line in row.items():
                for text in re.findall(r"\d+\.\d\d", slip(line)):
                    members = [
                        value(other)
                        for (name, of), other in row.items()
                        if of == split and name not in (dataset, SOURCE.get(protocol))
                    ]
                    assert abs(statistics.fmean(members) - float(text)) < 0.006
                    named += 1
    assert named == 11


def test_methods_are_called_as_their_plugins() -> None:
    for name in METHODS.names():
        if name in published.methods():
            cls, info = METHODS.load(name).cls, published.methods()[name]
            assert (info.title, info.paradigm) == (cls.title, cls.paradigm)
            assert info.paper == cls.paper


def test_a_plugin_has_the_rows_that_papers_print_under_another_name() -> None:
    own = [method for method in published.methods().values() if method.name != method.printed]
    assert {method.name for method in own} <= set(METHODS.names())
    assert len(own) == 2
    for method in own:
        assert published.called(method.printed) == method.name == published.called(method.name)
        assert method.printed not in published.methods()
    found = published.methods()["atprompt_maple"]
    assert (found.parts, found.track) == (("maple", "atprompt"), "LLM text")
    lines = [x for x in published.lines("base_to_new") if x["method"] == "atprompt_maple"]
    assert len(lines) == 36


def test_built_in_methods_that_learn_from_more_are_of_another_track() -> None:
    for name in METHODS.names():
        if METHODS.load(name).cls.extra_data != "none":
            assert published.methods()[name].track != "inductive", name


def test_every_method_has_a_paper_and_a_track() -> None:
    found = published.methods()
    assert len(found) == 73
    for method in found.values():
        assert method.title and method.paper and method.paradigm
        assert method.track in set(TRACKS) - {"other data"}
        arxiv = re.fullmatch(r"arXiv (\d\d)\d\d\.\d{4,5}", method.paper)
        assert method.year in ("", *map(str, range(2021, 2027)))
        if arxiv:
            assert method.year == f"20{arxiv[1]}"
    years = [int(method.year) for method in found.values() if method.year]
    assert years == sorted(years)


def test_notes_agree_with_tracks() -> None:
    """What a note says of unlabelled images, teachers and LLM text is in the method's track."""
    words = {"transductive": "transductive", "a teacher": "teacher", "LLM": "LLM text"}
    for protocol in PRINTED:
        for line in published.lines(protocol):
            track = published.methods()[line["method"]].track
            expected = next((own for word, own in words.items() if word in line["note"]), track)
            assert track == expected, line


def test_no_number_of_decoupled_inference_goes_as_unified() -> None:
    """Where the two differ, each line of such a method says by which rule it was scored."""
    for protocol in ("base_to_new", "cross_dataset", "domain_generalization"):
        for line in published.lines(protocol):
            decoupled = published.methods()[line["method"]].paradigm == "decoupled"
            assert not (decoupled and line["inference"] == "n/a"), line


def test_a_name_with_a_modifier_has_two_parts_that_are_known() -> None:
    combined = [method for method in published.methods().values() if method.parts]
    assert len(combined) == 25
    for method in combined:
        assert len(method.parts) == 2
        titles = [published.methods()[part].title.split("-deep")[0] for part in method.parts]
        assert method.title == "+".join(titles)


def test_betas_chosen_per_target_carry_a_note() -> None:
    for protocol in PRINTED:
        for line in published.lines(protocol):
            tuned = protocol in ("cross_dataset", "domain_generalization")
            family = line["method"] in ("mmrlpp", "alignednorm")
            assert ("knowledge of the target" in line["note"]) == (tuned and family)

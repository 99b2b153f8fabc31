"""Tables: intervals, marks, published rows, what may share a table."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from promptbench import mixing
from promptbench.config import suites
from promptbench.core.protocol import Leg
from promptbench.records import Record
from promptbench.report import assemble, gather, published
from promptbench.report.build import build
from promptbench.report.table import Row, Table
from promptbench.report.titles import row_title
from promptbench.statistics import estimate
from promptbench.support.safe_text import printable
from tests.made_records import record


def table(found: list[Record], printed: tuple[str, ...] = ()) -> Table:
    suite = suites.load(found[0].suite)
    protocol, usual = assemble.usual("cross_dataset", suite, 16)
    return build(found, "cross_dataset", protocol, gather.legs_of(found, usual), suite, printed)


def ours(found: Table) -> list[Row]:
    return [row for row in found.rows if row.kind == "ours" and row.n]


def runs(method: str, *correct: int, **changes: Any) -> list[Record]:
    """One record per seed with that many correct images."""
    return [record(seed, count, method, **changes) for seed, count in enumerate(correct, 1)]


def test_interval_is_students_t() -> None:
    found = estimate(2.0, [1.0, 2.0, 3.0])
    assert found.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert estimate(2.0, [2.0]).half_width is None


def test_rows_are_means_over_seeds() -> None:
    (row,) = ours(table(runs("mmrlpp", 61, 62, 63)))
    assert row.n == 3
    assert row.entries[0] is not None and row.entries[0].mean == pytest.approx(62.0)
    average = row.entries[-1]
    assert average is not None and average.mean == pytest.approx(63.5)
    assert average.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))


def test_published_rows_stand_under_ours_with_source_origin_and_difference() -> None:
    found = table(runs("coop", 70, 70, 70))
    index = next(i for i, row in enumerate(found.rows) if row.kind == "published")
    published, own = found.rows[index], found.rows[index - 1]
    assert own.title == published.title == "CoOp"
    assert published.origin == "original" and "CoCoOp" in published.source
    assert published.entries[0] is not None and published.entries[0].mean == 71.51
    assert published.differences[0] == pytest.approx(70 - 71.51)


def test_decoupled_and_unified_rows_get_the_published_numbers_of_their_own_rule() -> None:
    found = table([record(), record(inference="decoupled")])
    printed = {row.uses_split: row for row in found.rows if row.kind == "published"}
    assert printed[True].origin == "unknown" and "w/o decoupling" in printed[False].source
    assert printed[True].note and "beta per target" in printed[True].note


def test_suites_that_stand_for_themselves_get_no_published_row() -> None:
    found = table([record(suite="demo", comparable=False)], printed=("coop",))
    assert not [row for row in found.rows if row.source]
    assert "not comparable" in found.banner


def test_a_target_missing_in_one_seed_leaves_the_average_out() -> None:
    whole, part = record(1), record(2)
    part = part.model_copy(update={"targets": part.targets[:2]})
    (row,) = ours(table([whole, part]))
    assert row.entries[-1] is None
    assert [entry.n for entry in row.entries if entry is not None] == [2, 2, 1]


def test_a_record_without_one_half_has_no_number_for_it() -> None:
    half = {
        "dataset": "dtd", "classes": "base", "split": "test", "shift": "none",
        "correct": [50], "total": [100], "predictions": "predictions/dtd-base.csv.gz",
        "predictions_sha256": "0" * 64, "seconds": 1.0,
    }  # fmt: skip
    protocol = {"name": "base_to_new", "version": 1, "selection": "last epoch"}
    source = {"dataset": "dtd", "classes": "base", "shots": 16, "keys": []}
    for only in ("base", "new"):
        targets = [half | {"classes": only}]
        (found,) = assemble.of_records([record(protocol=protocol, source=source, targets=targets)])
        means = [entry and entry.mean for entry in ours(found)[0].entries]
        assert means == [50.0 if heading.title == only else None for heading in found.headings]


def test_an_average_over_a_part_is_named_and_has_no_published_number() -> None:
    found = table([record()])
    assert found.headings[-1].title == "Average of 2"
    assert all(row.entries[-1] is None for row in found.rows if row.kind == "published")


def test_variants_are_marked_and_never_merged() -> None:
    changed = record(overrides=["MMRLpp.beta = 0.5"])
    found = table([record(), record(inference="decoupled"), record(preset="unified"), changed])
    assert [row.title for row in ours(found)] == [
        "MMRL++ (decoupled inference)",
        "MMRL++ w/o decoupling",
        "MMRL++ w/o decoupling (beta = 0.5)",
        "MMRL++ w/o decoupling (preset unified)",
    ]


def test_where_nothing_shifts_both_rules_are_one_and_no_row_lacks_decoupling() -> None:
    few = {"name": "few_shot", "version": 1, "selection": "last epoch"}
    targets = record().model_dump()["targets"][:1]
    (found,) = assemble.of_records([record(protocol=few, targets=targets)])
    assert [row.title for row in ours(found)] == ["MMRL++"]


def test_rows_are_grouped_by_paradigm() -> None:
    found = table([record(), record(method="coop"), record(method="zeroshot")])
    assert [name for name, _ in found.sections()] == ["zero-shot", "end-to-end", "decoupled"]


@pytest.mark.parametrize(
    ("coop", "zeroshot", "separated"),
    [
        ((82, 81, 81), (60, 61, 62), True),
        ((70, 66, 72), (66, 67, 68), False),
        ((70, 71, 72), (60,), False),  # one seed does not keep another row from being best
        ((70,), (60, 61, 62), False),
    ],
)
def test_the_best_is_bold_the_second_underlined_and_a_test_separates_them(
    coop: tuple[int, ...], zeroshot: tuple[int, ...], separated: bool
) -> None:
    found = {
        row.title: row for row in ours(table([*runs("coop", *coop), *runs("zeroshot", *zeroshot)]))
    }
    first, second = found["CoOp"], found["CLIP (zero-shot)"]
    assert 0 in first.best and 0 not in first.second and 0 not in first.separated
    assert 0 in second.second and 0 not in second.best
    assert (0 in second.separated) == separated


def test_rows_that_score_a_part_of_the_images_neither_lead_nor_stop_another() -> None:
    part = runs("mmrlpp", 85, 86, 87, limit=50)
    found = ours(table([*part, *runs("coop", 70, 71, 72), *runs("zeroshot", 60, 61, 62)]))
    assert [row.title for row in found if 0 in row.best] == ["CoOp"]


def test_a_second_preset_of_the_best_method_blocks_nothing() -> None:
    rows = [*runs("coop", 82, 81, 81), *runs("zeroshot", 60, 61, 62)]
    found = ours(table([*rows, *runs("coop", 80, 83, 80, preset="unified")]))
    best = [row.title for row in found if 0 in row.best]
    assert best == ["CoOp", "CoOp (preset unified)"]  # each of its own track of settings
    assert [row.title for row in found if 0 in row.separated] == ["CLIP (zero-shot)"]


def test_the_notes_say_what_bold_does_not_prove() -> None:
    separated = table([*runs("coop", 82, 81, 81), *runs("zeroshot", 60, 61, 62)])
    assert any(note.startswith("‡ separated from the best") for note in separated.notes)
    (note,) = [n for n in table([*runs("coop", 70), *runs("zeroshot", 60)]).notes if "chance:" in n]
    assert (
        note == "bold may be chance: paired t-tests over seeds need 3 seeds in common that differ"
    )
    close = table([*runs("coop", 70, 66, 72), *runs("zeroshot", 66, 67, 68)])
    assert any("separate no row from the best (Holm over the 4 pairs" in n for n in close.notes)


def test_an_hm_stands_only_where_it_follows_from_what_is_printed() -> None:
    def half(seed: int, only: str, right: int) -> dict[str, Any]:
        target = record().targets[0].model_dump() | {"dataset": "dtd", "classes": only}
        return target | {"correct": [right], "total": [100]}

    protocol = {"name": "base_to_new", "version": 1, "selection": "last epoch"}
    source = {"dataset": "dtd", "classes": "base", "shots": 16, "keys": []}
    numbers = {1: {"base": 60, "new": 40}, 2: {"base": 80, "new": 60}, 3: {"base": 85}}
    records = [
        record(
            seed,
            method="coop",
            protocol=protocol,
            source=source,
            targets=[half(seed, *pair) for pair in of_seed.items()],
        )
        for seed, of_seed in numbers.items()
    ]
    (found,) = assemble.of_records(records)
    assert [e and round(e.mean, 6) for e in ours(found)[0].entries[:3]] == [75.0, 50.0, None]
    assert any("no HM where base and new have other seeds" in note for note in found.notes)
    (found,) = assemble.of_records(records[:2])
    hm = ours(found)[0].entries[2]
    assert hm is not None and hm.mean == pytest.approx(2 * 70 * 50 / 120)  # not 60.26, of seeds' HM


def test_rows_that_use_split_knowledge_neither_lead_nor_stop_another() -> None:
    decoupled = runs("mmrlpp", 80, 81, 82, inference="decoupled")
    found = ours(table([*decoupled, *runs("coop", 70, 71, 72), *runs("zeroshot", 60, 61, 62)]))
    assert [row.title for row in found if 0 in row.best] == ["CoOp"]


def test_methods_without_a_run_are_shown_with_a_dash() -> None:
    found = table(runs("coop", 70, 71, 72), printed=("alignednorm",))
    (row,) = [r for r in found.rows if r.kind == "ours" and not r.n]
    assert row.title == "AlignedNorm" and set(row.entries) == {None}


def test_numbers_of_another_backbone_are_not_shown() -> None:
    large = record().backbone.model_copy(update={"name": "ViT-L-14-quickgelu"})
    found = table([record().model_copy(update={"backbone": large})], printed=("coop", "mmrlpp"))
    assert [(row.title, row.kind) for row in found.rows] == [("MMRL++ w/o decoupling", "ours")]


def test_the_real_suite_without_a_run_shows_what_is_published() -> None:
    found = assemble.without_records("base_to_new", "clip", assemble.printed_methods(None))
    printed = [row for row in found.rows if row.kind == "published"]
    lines = [x for x in published.lines("base_to_new") if x["backbone"] == "ViT-B/16"]
    assert {r.variant.method for r in printed if r.variant} == {x["method"] for x in lines}
    assert {row.title for row in printed} >= {
        "CLIP (zero-shot)",
        "CoOp",
        "CoCoOp",
        "MaPLe",
        "PromptSRC",
        "MMRL (decoupled inference)",
        "MMRL w/o decoupling",
        "MMRL++ (decoupled inference)",
        "MMRL++ w/o decoupling",
        "AlignedNorm",
        "CoOp+DePT (decoupled inference)",
        "HiCroPL",
    }
    assert all(entry is None for r in found.rows if r.kind == "ours" for entry in r.entries)
    assert len(found.headings) == 3 * 12 and found.headings[-1].summary


def test_groups_keep_incomparable_records_apart() -> None:
    other = record().model_copy(
        update={"backbone": record().backbone.model_copy(update={"sha256": "1" * 64})}
    )
    assert len(mixing.tables([record(), other])) == 2
    few = {"name": "few_shot", "version": 1, "selection": "last epoch"}
    sources = [{"dataset": "dtd", "classes": "all", "shots": k, "keys": []} for k in (1, 16)]
    assert len(mixing.tables(record(source=source) for source in sources)) == 2
    together = mixing.tables(record(source=source, protocol=few) for source in sources)
    assert len(together) == 1


def test_newer_records_replace_older_ones_but_not_what_they_have_not_scored() -> None:
    newer = record(created="2026-02-01T00:00:00+00:00")
    assert mixing.latest([newer, record()]) == [newer]
    part = newer.model_copy(update={"targets": newer.targets[:1]})
    assert mixing.latest([part, record()]) == [record(), part]


def test_legs_follow_the_suites_order() -> None:
    suite = suites.load("clip")
    _, usual = assemble.usual("cross_dataset", suite, 16)
    targets = record().targets
    (leg,) = gather.legs_of([record(targets=[t.model_dump() for t in targets[::-1]])], usual)
    assert isinstance(leg, Leg)
    assert [target.dataset for target in leg.targets] == ["imagenet", "dtd", "eurosat"]


def test_names_from_records_cannot_command_a_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc d"
    assert printable(" a  b ") == "a b" and printable("a\tb") == "a b" and printable("") == ""
    info = record().method.model_copy(update={"title": "X\x1b]0;t\x07"})
    (row,) = ours(table([record().model_copy(update={"method": info})]))
    assert "\x1b" not in row.title and "\x07" not in row.title


def test_unknown_halves_are_refused() -> None:
    source = {"dataset": "dtd", "classes": "third", "shots": 1, "keys": []}
    with pytest.raises(ValidationError):
        record(source=source)


def test_a_badge_is_not_said_again_by_its_setting() -> None:
    made = record(
        method="zeroshot",
        overrides=["ZeroShot.class_texts = True", "ZeroShot.templates = ('a {}.',)"],
    )
    told = made.model_copy(
        update={"method": made.method.model_copy(update={"extra_data": "class texts"})}
    )
    assert row_title(told, []) == (
        "CLIP (zero-shot) (+ class texts; ZeroShot.templates = ('a {}.',))"
    )
    assert "class_texts = True" in row_title(made, [])  # no badge: it is said

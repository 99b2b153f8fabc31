"""What goes wrong: counts equal those of plain loops, and what is not known is said."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptbench.core.answers import Answers
from promptbench.core.calibration import BINS, binned
from promptbench.core.registry import FORMATS
from promptbench.data.cards import cards
from promptbench.records import Record
from promptbench.records.scores import folders, load
from promptbench.report import mistakes
from promptbench.report.format import render_grids
from promptbench.report.mistakes import Confusions, Errors
from promptbench.report.mistakes.grids import FACTS
from tests.calling import call
from tests.report.mistaken import answers, target_of, written

CLASSES = 36  # of the demo's shapes


def found(place: Path, *records: Record, datasets: list[str] | None = None) -> list[Errors]:
    return mistakes.errors(records, folders([place]), datasets)


def of_labels(label: list[int], predicted: list[int], classes: int) -> Confusions:
    return Confusions.of_answers(Answers.of_predictions(label, predicted, classes))


def images(n: int, classes: int, seed: int = 0) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, n)
    predicted = np.where(rng.random(n) < 0.4, label, rng.integers(0, classes, n))
    return label.tolist(), predicted.tolist()


def test_confusions_and_worst_classes_are_those_of_a_loop() -> None:
    label, predicted = images(500, 7)
    own = of_labels(label, predicted, 7)
    counts = Counter((a, b) for a, b in zip(label, predicted, strict=True) if a != b)
    pairs = list(zip(*(part.tolist() for part in own.pairs), strict=True))
    assert pairs == [(*p, n) for p, n in sorted(counts.items(), key=lambda i: (-i[1], i[0]))]
    share = {c: sum(a == b == c for a, b in zip(label, predicted, strict=True)) / label.count(c)
             for c in set(label)}  # fmt: skip
    assert [share[c] for c in own.worst] == sorted(share.values())
    first = own.worst[0]
    taken = Counter(b for a, b in zip(label, predicted, strict=True) if a == first != b)
    assert own.taken_for(first) == sorted(taken.items(), key=lambda i: (-i[1], i[0]))
    assert own.wrong == sum(counts.values()) and own.images == 500
    crossed = sum(n for (a, b), n in counts.items() if (a < 3) != (b < 3))
    assert own.crossed([0, 1, 2]) == crossed


def test_a_small_matrix_is_whole() -> None:
    label, predicted = images(300, 6)
    block = of_labels(label, predicted, 6).block(6)
    for row, a in enumerate(block.rows):
        for column, b in enumerate(block.columns):
            both = sum((x, y) == (a, b) for x, y in zip(label, predicted, strict=True))
            assert block.counts[row, column] == both
    assert not block.cut and not block.others.any()


def test_a_large_matrix_shows_the_most_confused_and_counts_the_rest() -> None:
    label, predicted = images(20_000, 1000)
    label += [17] * 90 + [903] * 40
    predicted += [903] * 90 + [17] * 40
    own = of_labels(label, predicted, 1000)
    block = own.block(10)
    assert len(block.columns) == 10 and {17, 903} <= set(block.columns) and block.cut
    row, column = block.rows.index(17), block.columns.index(903)
    pairs = list(zip(label, predicted, strict=True))
    assert block.counts[row, column] == pairs.count((17, 903))
    assert (block.counts.sum(axis=1) + block.others).tolist() == [
        label.count(each) for each in block.rows
    ]
    assert block.occurring == len({*label, *predicted})


def test_classes_without_images_have_a_column_only() -> None:
    block = of_labels([0, 0, 1], [2, 0, 1], 4).block(10)
    assert (block.rows, block.columns) == ((0, 1), (0, 1, 2))
    assert block.counts.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_bins_are_those_of_the_metric() -> None:
    rng = np.random.default_rng(3)
    label, logits = rng.integers(0, 5, 400), rng.normal(size=(400, 5)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p[0] = [0.2, 0.2, 0.2, 0.2, 0.2]  # an edge: 3 / 15
    own = Answers.of_probabilities(label, p)
    bins = binned(own)
    assert own.confidence is not None and own.label is not None
    for m in range(BINS):
        inside = [i for i, c in enumerate(own.confidence) if m / BINS <= c < (m + 1) / BINS]
        assert bins.images[m] == len(inside)
        assert bins.right[m] == sum(own.label[i] == own.predicted[i] for i in inside)  # type: ignore[index]
        assert bins.confidence[m] == pytest.approx(sum(own.confidence[i] for i in inside))
    assert bins.images.sum() == 400 and bins.error == load("ece").value(own)


def test_seeds_are_put_together_and_the_error_is_the_mean_of_each(tmp_path: Path) -> None:
    given = {seed: answers(seed, CLASSES, 4) for seed in (1, 2)}
    made = [
        written(tmp_path / str(s), [target_of(tmp_path / str(s), own)], s)
        for s, own in given.items()
    ]
    (own,) = found(tmp_path, *made)
    label = np.concatenate([label for label, _ in given.values()])
    predicted = np.concatenate([logits.argmax(1).numpy() for _, logits in given.values()])
    alone = of_labels(label.tolist(), predicted.tolist(), CLASSES)
    assert (own.confusions.right == alone.right).all() and own.files == 2
    assert all((a == b).all() for a, b in zip(own.confusions.pairs, alone.pairs, strict=True))
    (table,) = [call("report", tmp_path, "--metric", "ece", "--format", "csv")]
    mean = float(next(csv.DictReader(io.StringIO(table.stdout)))["mean"])
    assert own.mean_calibration == pytest.approx(mean, abs=1e-9)
    assert own.bins is not None and own.bins.images.sum() == 2 * 4 * CLASSES
    assert own.names == tuple(cards.load("shapes").classes)
    assert any("seeds 1, 2 together" in note for note in own.notes)


def test_mistakes_are_ordered_by_their_surest_seed(tmp_path: Path) -> None:
    given = {seed: answers(seed, CLASSES, 3) for seed in (1, 2, 3)}
    made = [
        written(tmp_path / str(s), [target_of(tmp_path / str(s), own)], s)
        for s, own in given.items()
    ]
    (own,) = found(tmp_path, *made)
    wrong: dict[str, list[tuple[float, int, int]]] = {}
    for seed, (label, logits) in given.items():
        p = logits.softmax(1)
        for i, (a, b) in enumerate(zip(label, p.argmax(1).tolist(), strict=True)):
            if a != b:
                wrong.setdefault(f"all{i:05d}", []).append((round(float(p[i].max()), 4), b, seed))
    assert own.mistakes is not None and {m.key for m in own.mistakes} == set(wrong)
    for mistake in own.mistakes:
        each = wrong[mistake.key]
        assert mistake.seeds == tuple(seed for *_, seed in each)
        assert mistake.confidence == max(confidence for confidence, *_ in each)
        assert (mistake.confidence, mistake.predicted) in {(c, b) for c, b, _ in each}
    sure = [m.confidence for m in own.mistakes]
    assert sure == sorted(sure, reverse=True)


@pytest.mark.parametrize("most", [1, 3, 10**6])
def test_of_the_surest_mistakes_none_is_missing(most: int, tmp_path: Path) -> None:
    label, logits = answers(1, CLASSES, 4)
    logits = logits.round()  # so that some are equally sure
    made = written(tmp_path / "1", [target_of(tmp_path / "1", (label, logits))], 1)
    (every,) = mistakes.of_record(made, folders([tmp_path]))
    (some,) = mistakes.of_record(made, folders([tmp_path]), most=most)
    assert every.mistakes is not None and some.mistakes is not None
    assert some.mistakes == every.mistakes[: len(some.mistakes)]
    assert min(most, len(every.mistakes)) <= len(some.mistakes) < len(every.mistakes) + (most > 99)
    if most == 1:
        assert len({m.confidence for m in some.mistakes}) == 1


def test_what_no_seed_changes_counts_once(tmp_path: Path) -> None:
    made = [
        written(tmp_path / str(s), [target_of(tmp_path / str(s), answers(1, CLASSES, 2))], s)
        for s in (1, 2)
    ]
    (own,) = found(tmp_path, *made)
    assert own.confusions.images == 2 * CLASSES and own.files == 1 and own.seeds == (1, 2)
    assert own.notes == ("seeds 1, 2 have the same predictions: every image counts once",)


def test_schema_1_shows_confusions_and_says_what_it_lacks(tmp_path: Path) -> None:
    own = answers(1, CLASSES, 2)
    made = written(tmp_path, [target_of(tmp_path, own, old=True)])
    (errors,) = found(tmp_path, made)
    predicted = own[1].argmax(1).tolist()
    alone = of_labels(own[0].tolist(), predicted, CLASSES)
    assert (errors.confusions.pairs.images == alone.pairs.images).all()
    assert errors.bins is None and errors.mistakes is None and not errors.calibration
    assert "accuracy only" in errors.notes[0]
    shown = call("report", tmp_path, "--errors")
    assert shown.exit_code == 0 and "accuracy only" in shown.stdout
    assert "reliability" not in shown.stdout.replace("reliability diagram", "")


@pytest.mark.parametrize("old", [True, False])
def test_without_predictions_the_record_says_what_it_can(tmp_path: Path, old: bool) -> None:
    made = written(tmp_path, [target_of(tmp_path, answers(1, CLASSES, 2), old=old)])
    with_them = found(tmp_path, made)[0]
    (alone,) = mistakes.errors([made], {})
    assert alone.bins is None and "no predictions lie beside" in alone.notes[0]
    assert (alone.confusions.right == with_them.confusions.right).all()
    if old:
        assert not alone.confusions.whole and "known of 0 of" in alone.notes[1]
        assert alone.confusions.block(50).others.sum() == alone.confusions.wrong
    else:
        assert alone.confusions.whole and len(alone.notes) == 1
        pairs = zip(alone.confusions.pairs, with_them.confusions.pairs, strict=True)
        assert all((a == b).all() for a, b in pairs)


def test_a_seed_without_predictions_is_in_the_counts_only(tmp_path: Path) -> None:
    given = {seed: answers(seed, CLASSES, 2) for seed in (1, 2)}
    made = [
        written(tmp_path / str(s), [target_of(tmp_path / str(s), own)], s)
        for s, own in given.items()
    ]
    (own,) = mistakes.errors(made, folders([tmp_path / "1"]))
    assert own.confusions.images == 2 * own.bins.images.sum() and len(own.calibration) == 1  # type: ignore[union-attr]
    assert "the bins hold those of seed 1" in own.notes[0] and "(seed 2)" in own.notes[1]
    text = render_grids("markdown", mistakes.grids(own, 3))
    assert "wrong in seeds" not in text and "mean of" not in text.replace("mean of each", "")


def open_targets(folder: Path) -> list[dict[str, Any]]:
    """Base and new halves of shapes over the names of both, the base ones learned."""
    half = CLASSES // 2
    return [
        target_of(
            folder, answers(seed, CLASSES, 2, labels), part=part, names="all",
            learned=list(range(half)),
        )
        for seed, part, labels in ((1, "base", range(half)), (2, "new", range(half, CLASSES)))
    ]  # fmt: skip


GENERALIZED: dict[str, Any] = {
    "protocol": {"name": "generalized_base_to_new", "version": 1, "selection": "last epoch"},
    "source": {"dataset": "shapes", "classes": "base", "shots": 16, "keys": []},
}


def test_an_open_label_space_is_shown_by_half_and_together(tmp_path: Path) -> None:
    made = written(tmp_path, open_targets(tmp_path), **GENERALIZED)
    halves = found(tmp_path, made)
    assert [e.key for e in halves] == [
        "shapes/base-of-all", "shapes/new-of-all", "shapes/base+new-of-all",
    ]  # fmt: skip
    base, new, both = (e.confusions for e in halves)
    assert both.images == base.images + new.images and both.wrong == base.wrong + new.wrong
    learned = halves[0].learned
    assert learned == tuple(range(CLASSES // 2)) and halves[2].learned == learned
    assert both.crossed(learned) == base.crossed(learned) + new.crossed(learned) > 0
    assert "took an image of a learned class" in call("report", tmp_path, "--errors").stdout


def test_names_of_another_card_are_not_used(tmp_path: Path) -> None:
    facts = [target_of(tmp_path, answers(1, CLASSES, 1))]
    other = {"card_version": 1, "card_sha256": "1" * 64, "shards_sha256": "0" * 64}
    (own,) = found(tmp_path, written(tmp_path, facts, data={"shapes": other}))
    assert own.names[:2] == ("class 0", "class 1")
    assert own.notes[-1].endswith("the card of shapes here is not the one of the record")


@pytest.mark.parametrize("name", FORMATS.names())
def test_every_format_writes_them(name: str, tmp_path: Path) -> None:
    made = written(tmp_path, [target_of(tmp_path, answers(1, CLASSES, 2))])
    (own,) = found(tmp_path, made)
    grids = [mistakes.summary([own]), *mistakes.grids(own, 3)]
    assert all(tuple(row.facts) == FACTS for grid in grids for row in grid.rows)
    text = render_grids(name, grids)
    assert own.name(own.confusions.worst[0]) in text
    assert own.mistakes is not None and own.mistakes[0].key in text.replace("\\", "")


def test_programs_get_the_numbers(tmp_path: Path) -> None:
    made = written(tmp_path, [target_of(tmp_path, answers(1, CLASSES, 2))])
    (own,) = found(tmp_path, made)
    result = call("report", tmp_path, "--errors", "--format", "csv", "--top", 100)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    classes = {r["class"]: r for r in rows if r["what"] == "class"}
    assert set(classes) == set(own.names)
    for label, name in enumerate(own.names):
        assert int(classes[name]["right"]) == own.confusions.right[label]
    counts = sum(int(r["count"]) for r in rows if r["what"] == "confusion" and r["count"])
    listed = [r for r in rows if r["what"] == "confusion"]
    assert len(listed) == min(100, len(own.confusions.pairs.images)) and counts > 0
    bins = [r for r in rows if r["what"] == "bin"]
    assert sum(int(r["images"]) for r in bins) == 2 * CLASSES
    assert float(rows[0]["calibration_error"]) == own.mean_calibration


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--errors", "--efficiency"], "are reports of their own; ask for one of them"),
        (["--errors", "--metric", "ece"], "leave --metric out"),
        (["--top", "3"], "say what --errors shows; add --errors"),
        (["--datasets", "shapes"], "say what --errors shows; add --errors"),
        (["--errors", "--datasets", "shape"], "unknown dataset 'shape'; did you mean 'shapes'"),
        (["--errors", "--method", "maple"], "none of the 1 records fits"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, more: list[str], said: str) -> None:
    written(tmp_path, [target_of(tmp_path, answers(1, CLASSES, 1))])
    result = call("report", tmp_path, *more)
    assert result.exit_code != 0 and said in (result.output + str(result.exception))


def test_without_records_there_is_nothing_to_show(tmp_path: Path) -> None:
    result = call("report", tmp_path, "--errors")
    assert result.exit_code != 0 and "whose mistakes could be shown" in result.output


def test_datasets_narrow_it(tmp_path: Path) -> None:
    own = [target_of(tmp_path, answers(1, CLASSES, 1), name) for name in ("shapes", "shapes_neon")]
    made = written(tmp_path, own)
    (only,) = found(tmp_path, made, datasets=["shapes_neon"])
    assert only.key == "shapes_neon/all" and "learned from shapes/all" in only.heading


def drawn(errors: Errors, prefix: Path, said: list[str]) -> list[Path]:
    from promptbench.report.mistakes import figures

    return list(figures.draw(errors, prefix, None, said.append))


def test_figures_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    (own,) = found(tmp_path, written(tmp_path, [target_of(tmp_path, answers(1, 6, 5))]))
    first, second = (drawn(own, tmp_path / name / "x", []) for name in ("a", "b"))
    assert [path.name for path in first] == [
        f"x-{what}.{form}"
        for what in ("confusions", "classes", "reliability")
        for form in ("png", "svg")
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    text = (tmp_path / "a" / "x-classes.svg").read_text()
    worst = own.confusions.worst[0]
    taken, count = own.confusions.taken_for(worst)[0]
    right, total = own.confusions.right[worst], own.confusions.total[worst]
    assert f"{right} of {total}, most often {own.name(taken)} ({count})" in text
    assert (
        own.bins is not None
        and f"ECE of these bins {own.bins.error:.2f} %"
        in (tmp_path / "a" / "x-reliability.svg").read_text()
    )


def test_names_in_letters_that_the_font_lacks_are_said(tmp_path: Path) -> None:
    (own,) = found(tmp_path, written(tmp_path, [target_of(tmp_path, answers(1, CLASSES, 1))]))
    names = ("模型", "$x_1$", *own.names[2:])
    said: list[str] = []
    drawn(dataclasses.replace(own, names=names, mistakes=None), tmp_path / "x", said)
    assert said and "lacks letters" in said[0]


def test_files_of_several_rows_have_names_of_their_own(tmp_path: Path) -> None:
    from promptbench.report.mistakes import figures

    made = written(tmp_path, open_targets(tmp_path), **GENERALIZED)
    own = found(tmp_path, made)
    assert figures.names(own[:1]) == [""]
    assert figures.names([*own, own[0]]) == [
        "-coop-shapes-base-of-all-16shot-1",
        "-coop-shapes-new-of-all-16shot",
        "-coop-shapes-base-new-of-all-16shot",
        "-coop-shapes-base-of-all-16shot-2",
    ]

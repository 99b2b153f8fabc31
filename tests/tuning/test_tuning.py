"""Tuning: a static plan, a choice by validation accuracy only, a preset of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import promptbench
from promptbench import records, spaces
from promptbench.core.registry import METHODS
from promptbench.data import loader
from promptbench.data.loader import Batch
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.planning import plan, searched
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.records import Record, tuning, verify
from promptbench.running import failures, session
from promptbench.running.lab.compute import resolve
from promptbench.tuning import choosing, searches, showing
from promptbench.tuning.tune import finals_of, trial_plans
from promptbench.tuning.tune import tune as carried_out

CPU = resolve("cpu", "auto")
FEW: dict[str, Any] = {
    "datasets": ["counts"],
    "shots": 2,
    "limit": 20,
    "set": ["Recipe.epochs=2", "Recipe.batch_size=4"],
}


def request(method: str = "coop", **options: Any) -> Request:
    return Request(methods=(method,), protocol="base_to_new", **{**FEW, **options})


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, list[Record]]:
    """A search of three trials with two seeds, done once."""
    out = tmp_path_factory.mktemp("tuned")
    found = promptbench.tune(
        "coop", "base_to_new", trials=3, seeds=[1, 2], out=out, quiet=True, **FEW
    )
    return out, found


def test_the_plan_is_static_and_every_trial_a_cell_without_targets() -> None:
    (search,) = searches([request(seeds=[1, 2])], 3)
    built = [plan.build(each, "fp32") for each in search.trials()]
    drawn = spaces.drawn(spaces.load(METHODS.load("coop")), "coop", 2)
    assert [len(made.cells) for made in built] == [2, 2, 2]
    cells = [cell for made in built for cell in made.cells]
    assert not any(cell.leg.targets for cell in cells)
    assert {cell.preset for cell in cells} == {records.TRIAL}
    assert {cell.selection.name for cell in cells} == {"validation"}
    assert [choosing.in_force(made.cells[0], "Recipe.lr") for made in built[1:]] == [
        values["Recipe.lr"] for values in drawn
    ]
    assert len({cell.id for cell in cells}) == 6


def test_the_first_trial_is_the_methods_own_setting_of_the_unified_preset() -> None:
    (search,) = searches([request("alignednorm")], 2)
    first = plan.build(search.trials()[0], "fp32").cells[0]
    (unified,) = plan.build(request("alignednorm", preset="unified", baseline=False), "fp32").cells
    assert first.training_id == unified.training_id


def test_a_larger_budget_has_the_trials_of_a_smaller_one() -> None:
    (few,), (more,) = searches([request()], 3), searches([request()], 5)
    ids = [
        [cell.id for each in search.trials() for cell in plan.build(each, "fp32").cells]
        for search in (few, more)
    ]
    assert ids[1][:3] == ids[0]


def test_the_choice_is_the_best_validation_accuracy_of_the_trials(
    tuned: tuple[Path, list[Record]],
) -> None:
    """Read again from the trials' own records, which hold no target."""
    out, found = tuned
    trials = {r.cell_id: r for p in records.find([out], trials=True) for r in (records.read(p),)}
    own = [record for record in found if record.method.name == "coop"]
    assert [(r.seed, r.preset, bool(r.targets)) for r in own] == [
        (1, "tuned-3", True),
        (2, "tuned-3", True),
    ]
    info = own[0].tuning
    assert info is not None and info == own[1].tuning and info.seeds == [1, 2]
    for trial in info.trials:
        of_seeds = [trials[cell] for cell in trial["cells"]]
        assert all(r.is_trial and r.targets == [] for r in of_seeds)
        accuracies = [r.validation.chosen for r in of_seeds if r.validation]
        assert trial["validation"] == pytest.approx(sum(filter(None, accuracies)) / 2)
    means = [trial["validation"] for trial in info.trials]
    assert info.chosen == means.index(max(m for m in means if m is not None)) + 1


def test_the_record_holds_the_chosen_values_and_no_overrides_for_them(
    tuned: tuple[Path, list[Record]],
) -> None:
    (first, *_) = [record for record in tuned[1] if record.method.name == "coop"]
    assert first.tuning is not None
    for name, value in first.tuning.values.items():
        owner, _, own = name.rpartition(".")
        known = first.training.recipe if owner == "Recipe" else first.method.parameters
        assert known[own] == value
    assert first.overrides == ["Recipe.batch_size = 4", "Recipe.epochs = 2"]


def test_tables_and_searches_of_records_leave_trials_out(tuned: tuple[Path, list[Record]]) -> None:
    out, found = tuned
    assert len(records.find([out])) == len(found) == 4  # two of them zero-shot
    assert len(records.find([out], trials=True)) == 4 + 6
    from promptbench import mixing

    trials = [records.read(p) for p in records.find([out], trials=True)]
    assert sum(len(table) for table in mixing.tables(trials)) == 4


def test_given_again_nothing_is_computed_and_the_same_is_chosen(
    tuned: tuple[Path, list[Record]],
) -> None:
    out, found = tuned
    before = {p: p.stat().st_mtime_ns for p in records.find([out], trials=True)}
    again = promptbench.tune(
        "coop", "base_to_new", trials=3, seeds=[1, 2], out=out, quiet=True, **FEW
    )
    assert again == found
    assert {p: p.stat().st_mtime_ns for p in records.find([out], trials=True)} == before


def test_a_search_that_was_cut_off_goes_on_to_the_same_choice(
    tuned: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    """Without half of its trials, one training and what was chosen."""
    out, found = tuned
    there = tmp_path / "cut"
    shutil.copytree(out, there)
    for number, path in enumerate(records.find([there], trials=True)):
        if "coop" in path.parts and (number % 2 or records.read(path).targets):
            shutil.rmtree(path.parent)
    training = sorted((there / "demo" / "trainings").iterdir())[0]
    shutil.rmtree(training)
    again = promptbench.tune(
        "coop", "base_to_new", trials=3, seeds=[1, 2], out=there, quiet=True, **FEW
    )
    assert [r.tuning for r in again] == [r.tuning for r in found]
    assert [r.numbers() for r in again] == [r.numbers() for r in found]


def test_what_was_chosen_is_verified_from_the_record_itself(
    tuned: tuple[Path, list[Record]],
) -> None:
    out, _ = tuned
    paths = [p for p in records.find([out]) if "coop" in p.parts]
    record = records.read(paths[0])
    verify.recompute(record, paths[0].parent)
    assert record.tuning is not None
    other = record.tuning.chosen % 3 + 1
    for changes, said in (
        ({"chosen": other}, f"trial {other} is not the one with the highest"),
        ({"budget": 4}, "the preset is 'tuned-3', the search has chosen 'tuned-4'"),
        ({"space": {}}, "the hash of the search space"),
    ):
        wrong = record.model_copy(update={"tuning": record.tuning.model_copy(update=changes)})
        with pytest.raises(UserError, match=said):
            verify.recompute(wrong, paths[0].parent)
    with pytest.raises(UserError, match="has no search"):
        verify.recompute(record.model_copy(update={"tuning": None}), paths[0].parent)


def test_shuffled_test_labels_change_the_scores_and_not_the_choice(
    tuned: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every test image is another class's; trials are trained again, and never read one."""
    manifest, batches, read = ShardSet.manifest, loader.test_batches, list[str]()

    def noted(self: ShardSet, split: str, *rest: Any) -> Any:
        read.append(split)
        return manifest(self, split, *rest)

    def shuffled(*given: Any, **options: Any) -> Iterator[Batch]:
        for batch in batches(*given, **options):
            yield replace(batch, labels=batch.labels.flip(0))

    monkeypatch.setattr(ShardSet, "manifest", noted)
    monkeypatch.setattr(loader, "test_batches", shuffled)
    machine = Machine(out=tmp_path, quiet=True, device="cpu")
    found = searches([request(seeds=[1, 2])], 3)
    built = trial_plans(found, machine, session.compute_of(machine))
    session.compute_pending([made for own in built for made in own], machine, CPU)
    assert "test" not in read
    own = carried_out(found, [], machine).records
    assert "test" in read
    before = [record for record in tuned[1] if record.tuning]
    assert [r.tuning for r in own] == [r.tuning for r in before]
    assert [r.targets[0].accuracy for r in own] != [r.targets[0].accuracy for r in before]


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    for options, said in (
        ({"trials": 0}, "--trials must be at least 1, not 0"),
        ({"trials": -1}, "--trials must be at least 1, not -1"),
        ({"trials": 10**9}, "--trials must be at most 10000, not 1000000000"),
        ({"trials": float("nan")}, "trials must be a whole number, not nan"),
        ({"trials": "many"}, "trials must be a whole number"),
        ({"set": ["Recipe.lr=0.1"]}, r"--set sets Recipe\.lr, which a search of coop varies"),
        ({"preset": "paper"}, "preset is what a search decides"),
        ({"sweep": "Recipe.lr=1,2"}, "sweep is what a search decides"),
    ):
        with pytest.raises(UserError, match=said):
            promptbench.tune("coop", "base_to_new", **{**FEW, "out": tmp_path, **options})
    with pytest.raises(UserError, match="zeroshot has nothing to tune: nothing is learned"):
        searches([request("zeroshot")], 3)
    with pytest.raises(UserError, match=r"`promptbench tune` computes it"):
        request(preset="tuned-20")


def test_a_gin_file_may_not_set_what_is_tuned(tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    path.write_text("base_to_new/Recipe.lr = 0.1\n")
    with pytest.raises(UserError, match=r"mine\.gin, line 1 sets Recipe\.lr"):
        searches([request(gin=[path])], 3)


def test_of_all_methods_those_that_cannot_run_or_be_tuned_are_left_out() -> None:
    """What cannot run is said, and every trial of the others can be planned."""
    said: list[str] = []
    found = searches([request("all", set=[])], 2, said.append)
    names = {search.method.name for search in found}
    assert "zeroshot" not in names and {"coop", "maple", "mmrlpp"} <= names
    assert not names & {"clap", "lpp", "tipadapter"}
    (left_out,) = said
    assert "clap (it scores only classes it was trained on" in left_out
    for each in found[-1].trials():
        assert plan.build(each, "fp32").cells
    with pytest.raises(UserError, match="clap cannot run under base_to_new"):
        plan.build(searches([request("clap", set=[])], 2, said.append)[0].trials()[0], "fp32")


def test_of_all_methods_those_of_closed_classes_are_tuned_where_they_can_run() -> None:
    asked = Request(methods=("all",), protocol="few_shot", datasets=("counts",), shots=(2,))
    found = {search.method.name for search in searches([asked], 2)}
    assert "zeroshot" not in found and {"coop", "clap", "lpp", "tipadapter"} <= found


def diverging(out: Path, every: bool) -> tuple[Any, Any, Machine]:
    machine = Machine(out=out, quiet=True, device="cpu")
    found = searches([request(seeds=[1])], 3)
    built = trial_plans(found, machine, session.compute_of(machine))
    lost = built[0] if every else built[0][1:2]
    for made in lost:
        for cell in made.cells:
            cell.folder(out).mkdir(parents=True)
            failures.write(cell, out, f"{failures.DIVERGED}: loss is nan at epoch 1")
    return found, built, machine


def test_a_trial_that_diverges_is_spent_and_not_chosen(tmp_path: Path) -> None:
    found, _, machine = diverging(tmp_path, every=False)
    tuned = carried_out(found, [], machine)
    info = tuned.records[0].tuning
    assert info is not None and info.trials[1]["validation"] is None and info.chosen != 2
    (grid,) = showing.grids(tuned.choices)
    assert any("1 trial diverged, and counted as spent" in note for note in grid.notes)


def test_where_every_trial_diverges_nothing_is_chosen(tmp_path: Path) -> None:
    found, _, machine = diverging(tmp_path, every=True)
    with pytest.raises(UserError, match="the training of every trial diverged"):
        carried_out(found, [], machine)


def test_a_trial_that_fails_otherwise_stops_the_search(tmp_path: Path) -> None:
    found, built, machine = diverging(tmp_path, every=False)
    (cell,) = built[0][2].cells
    cell.folder(tmp_path).mkdir(parents=True)
    failures.write(cell, tmp_path, "no memory is left")
    with pytest.raises(failures.CellsFailed, match=r"(?s)1 of 1 cell failed.*no memory is left"):
        carried_out(found, [], machine)


def test_ties_go_to_the_earlier_trial_and_lost_ones_are_passed_over() -> None:
    assert tuning.best([50.0, 75.0, 75.0]) == 2
    assert tuning.best([None, 50.0, None, 50.0]) == 2
    assert tuning.best([None, None]) is None


def test_what_it_will_cost_shares_the_chosen_trainings(tmp_path: Path) -> None:
    machine = Machine(out=tmp_path, quiet=True, device="cpu")
    found = searches([request(seeds=[1])], 3)
    built = trial_plans(found, machine, session.compute_of(machine))
    finals, _ = finals_of(found, [request(seeds=[1])], built, machine, supposed=True)
    final = plan.build(finals[-1], "fp32", tmp_path)
    assert final.cells[0].training_id == built[0][0].cells[0].training_id
    assert final.cells[0].leg.targets


def test_choices_travel_as_text_and_other_text_is_refused(
    tuned: tuple[Path, list[Record]],
) -> None:
    info = tuned[1][-1].tuning
    assert info is not None
    text = searched.as_text({("coop", "counts/base/2"): info})
    asked = request(preset="tuned-3", chosen=text, select=["validation"], seeds=[1, 2])
    made = plan.build(replace(asked, baseline=False), "fp32")
    assert [cell.id for cell in made.cells] == [r.cell_id for r in tuned[1] if r.tuning]
    for wrong, said in (
        ("[", "cannot be read"),
        ("[[1, 2]]", "cannot be read"),
        ('[["coop", "x", {}]]', "does not hold: .*budget"),
    ):
        with pytest.raises(UserError, match=said):
            request(preset="tuned-3", chosen=wrong)
    with pytest.raises(UserError, match="the preset is 'tuned-4'"):
        request(preset="tuned-4", chosen=text)

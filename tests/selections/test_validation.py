"""Selection by validation: what it chooses and records, and one training for all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from promptbench import records
from promptbench.core.registry import SELECTIONS
from promptbench.core.selection import Observation
from promptbench.data import loader
from promptbench.data.images import kept
from promptbench.data.loader import Batch
from promptbench.data.shards import store
from promptbench.data.shards.shards import Item
from promptbench.data.validation import validation_set
from promptbench.isolation.entering import state_of
from promptbench.records import Record, validation_claims
from promptbench.report import assemble
from promptbench.running.training import validating
from promptbench.running.training.snapshot import Progress, Snapshots
from promptbench.selections.validation import Validation
from promptbench.tracking import Listener
from tests.faults import driver
from tests.faults.driver import TINY
from tests.short_form import first

HERE = Path(__file__).parent
BOTH = ["last", "validation"]
# Accuracies differ from epoch to epoch here, and the best is the second of three.
ONE: dict[str, Any] = {
    "seeds": [1], "baseline": False, "checkpoint_minutes": 5, "datasets": ["fill_shape"],
    "set": [*TINY["set"], "Recipe.lr=0.05"],
}  # fmt: skip
EPOCHS = 3


class Cut(BaseException):
    """What a kill looks like from inside."""


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, torch.Tensor]]]:
    """The states at the ends of all epochs that are trained."""
    found: list[dict[str, torch.Tensor]] = []
    save = Snapshots.save

    def kept(self: Snapshots, progress: Progress) -> None:
        save(self, progress)
        if not progress.step:
            found.append({k: v.clone() for k, v in state_of(self._method).items()})

    monkeypatch.setattr(Snapshots, "save", kept)
    yield found


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """The cell as it is without any validation."""
    out = tmp_path_factory.mktemp("last")
    (record,) = driver.run(out, **ONE)
    return out, record


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record, Record]:
    """Both rules, from one training."""
    out = tmp_path_factory.mktemp("both")
    first, second = driver.run(out, **ONE, select=BOTH)
    return out, first, second


def learned(out: Path, record: Record) -> dict[str, torch.Tensor]:
    (folder,) = [p.parent for p in records.find([out]) if records.read(p) == record]
    return load_file(folder / records.PARAMETERS)


def test_of_equal_epochs_the_earlier_is_kept_and_one_state_only() -> None:
    rule, copied = Validation(), []
    for number, found in enumerate((50.0, 75.0, 75.0, 60.0)):

        def state(number: int = number) -> Any:
            copied.append(number)
            return {"epoch": torch.tensor(number)}

        rule.observe(Observation(number, {}, state, lambda found=found: found))
    assert rule.chosen_epoch() == 1 and int((rule.chosen() or {})["epoch"]) == 1
    assert copied == [0, 1]
    assert sum(isinstance(value, dict) for value in vars(rule).values()) == 1


def test_both_rules_come_from_one_training_and_last_is_as_ever(
    last: tuple[Path, Record], both: tuple[Path, Record, Record]
) -> None:
    out, ended, chosen = both
    assert ended.cell_id == last[1].cell_id != chosen.cell_id
    assert ended.training_id == chosen.training_id
    measured = {"training", "targets", "environment", "created"}
    assert ended.numbers() == last[1].numbers() and ended.validation is None
    assert ended.model_dump(exclude=measured) == last[1].model_dump(exclude=measured)
    assert '"validation"' not in next(
        p.read_text() for p in records.find([out]) if records.read(p) == ended
    )
    assert chosen.training.losses == ended.training.losses
    assert len(list(out.glob("*/trainings/*"))) == 1


def test_the_record_says_what_was_chosen_and_by_what(both: tuple[Path, Record, Record]) -> None:
    out, ended, chosen = both
    said = chosen.validation
    assert said is not None and chosen.protocol.selection == "best validation epoch"
    data = store.provide("fill_shape", None, Listener())
    images = validation_set(data, chosen.leg.source, chosen.seed)
    assert said.keys == [item.key for item in images.items]
    assert (said.images, said.per_class) == (48, 4)
    assert len(said.accuracy) == EPOCHS and len(set(said.accuracy)) > 1
    assert said.epoch == 1 + said.accuracy.index(max(said.accuracy)) < EPOCHS
    assert said.chosen == max(said.accuracy)
    each = int(learned(out, ended)["steps"]) // EPOCHS
    assert int(learned(out, chosen)["steps"]) == each * said.epoch
    assert validation_claims.problem_of_choice(chosen) is None


def test_its_images_are_decoded_once_per_training(
    both: tuple[Path, Record, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not after every epoch, unless the memory has no room; the numbers are the same."""
    shown: list[str] = []
    original = kept.decoded

    def counted(item: Item) -> Any:
        if not item.shard.startswith("train"):
            shown.append(item.key)
        return original(item)

    monkeypatch.setattr(kept, "decoded", counted)
    for place, room in enumerate((2**30, 0)):
        shown.clear()
        with monkeypatch.context() as patch:
            patch.setattr(validating, "room_for_images", lambda _, room=room: room)
            _, record = driver.run(tmp_path / str(place), **ONE, select=BOTH)
        assert record.validation is not None
        times = [shown.count(key) for key in record.validation.keys]
        assert times == len(times) * [1 if room else EPOCHS]
        assert record.validation.accuracy == both[2].validation.accuracy


@pytest.mark.parametrize("alone", first(1, [False, True]))
def test_a_kill_changes_nothing(
    both: tuple[Path, Record, Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: bool,
) -> None:
    options = {**ONE, "select": ["validation"] if alone else BOTH}
    save = Snapshots.save
    # Snapshots after every step only where a kill is within an epoch: each looks at the towers.
    for last_seen, minutes in (("epoch 1", 5), ("epoch 2, step 3", 0), ("epoch 3", 5)):

        def cut(self: Snapshots, progress: Progress, last_seen: str = last_seen) -> None:
            save(self, progress)
            if str(progress) == last_seen:
                raise Cut

        with monkeypatch.context() as patch, pytest.raises(Cut):
            patch.setattr(Snapshots, "save", cut)
            driver.run(tmp_path, **options | {"checkpoint_minutes": minutes})
    again = driver.run(tmp_path, **options)[-1]
    whole = both[2]
    assert again.cell_id == whole.cell_id and again.numbers() == whole.numbers()
    assert again.validation is not None and whole.validation is not None
    assert again.validation.epoch == whole.validation.epoch


def test_last_comes_from_a_training_that_was_validated(
    tmp_path: Path, states: list[Any], last: tuple[Path, Record]
) -> None:
    driver.run(tmp_path, **ONE, select="validation")
    assert len(states) == EPOCHS
    ended, _ = driver.run(tmp_path, **ONE, select=BOTH)
    assert len(states) == EPOCHS and ended.numbers() == last[1].numbers()
    assert ended.model_copy(update={"select": None}).cell_id == last[1].cell_id


def test_validation_beside_a_finished_last_trains_once_and_leaves_it_alone(
    tmp_path: Path, states: list[Any], both: tuple[Path, Record, Record]
) -> None:
    driver.run(tmp_path, **ONE)
    (summary,) = tmp_path.rglob("training.json")
    before = [(p.name, p.stat().st_mtime_ns) for p in (summary, *records.find([tmp_path]))]
    _, chosen = driver.run(tmp_path, **ONE, select=BOTH)
    assert len(states) == 2 * EPOCHS and chosen.numbers() == both[2].numbers()
    kept = (summary, *[p for p in records.find([tmp_path]) if records.read(p) != chosen])
    assert [(p.name, p.stat().st_mtime_ns) for p in kept] == before


def test_a_checkpoint_that_no_validation_has_seen_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: tuple[Path, Record, Record],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save = Snapshots.save

    def cut(self: Snapshots, progress: Progress) -> None:
        save(self, progress)
        raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Snapshots, "save", cut)
        driver.run(tmp_path, **ONE)
    found = driver.run(tmp_path, **{**ONE, "quiet": False}, select=BOTH)
    assert "the selection rule validation did not look on" in " ".join(
        capsys.readouterr().err.split()
    )
    assert [r.numbers() for r in found] == [r.numbers() for r in both[1:]]


def test_no_choice_depends_on_test_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: tuple[Path, Record, Record]
) -> None:
    """Every path to test images gives them shuffled labels: accuracies fall, no choice moves."""
    true = loader.test_batches

    def shuffled(*args: Any, **options: Any) -> Iterator[Batch]:
        for batch in true(*args, **options):
            order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
            yield Batch(batch.images, batch.labels[order], batch.keys)

    monkeypatch.setattr(loader, "test_batches", shuffled)
    found = driver.run(tmp_path, **ONE, select=BOTH)
    for record, usual in zip(found, both[1:], strict=True):
        assert record.training.parameters_sha256 == usual.training.parameters_sha256
        assert record.training.losses == usual.training.losses
        assert sum(record.targets[0].correct) != sum(usual.targets[0].correct)
    said, usual_said = found[1].validation, both[2].validation
    assert said is not None and usual_said is not None
    assert (said.epoch, said.accuracy) == (usual_said.epoch, usual_said.accuracy)


def test_a_method_meets_no_validation_image_while_it_learns(
    tmp_path: Path, both: tuple[Path, Record, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other validation images: other accuracies, the same training."""
    from promptbench.running.training import validating

    drawn = validating.validation.validation_set

    def others(data: Any, source: Any, seed: int) -> Any:
        return drawn(data, source, seed + 1)

    monkeypatch.setattr(validating.validation, "validation_set", others)
    ended, chosen = driver.run(tmp_path, **ONE, select=BOTH)
    assert ended.numbers() == both[1].numbers()
    assert chosen.training.losses == both[2].training.losses
    assert chosen.validation is not None and both[2].validation is not None
    assert chosen.validation.keys != both[2].validation.keys


def test_a_solver_has_one_state_and_its_accuracy(tmp_path: Path) -> None:
    solving = str(HERE.parent / "running" / "training" / "solving.py")
    options = {**ONE, "methods": "solving", "plugin": [solving], "set": [], "datasets": ["counts"]}
    ended, chosen = driver.run(tmp_path, **options, select=BOTH)
    said = chosen.validation
    assert said is not None and said.epoch == 0 and len(said.accuracy) == 1
    assert said.chosen == said.accuracy[0]
    assert chosen.training.parameters_sha256 == ended.training.parameters_sha256
    assert chosen.cell_id != ended.cell_id and ended.validation is None


def test_rows_of_two_rules_are_never_one_and_always_marked(
    both: tuple[Path, Record, Record],
) -> None:
    _, ended, chosen = both
    for found in ([ended, chosen], [chosen]):
        (table,) = assemble.of_records(found)
        titles = [row.title for row in table.rows if row.kind == "ours" and row.n]
        assert len(titles) == len(found)
        assert sum("(best validation epoch" in title for title in titles) == 1


def _tampered(record: Record, change: Callable[[dict[str, Any]], None]) -> Record:
    plain = record.model_dump(mode="json")
    change(plain["validation"])
    return Record.model_validate(plain)


def test_a_record_is_held_against_its_own_accuracies(both: tuple[Path, Record, Record]) -> None:
    _, ended, chosen = both
    other = _tampered(chosen, lambda said: said.update(epoch=EPOCHS))
    assert "epoch 3 is said to be chosen" in str(validation_claims.problem_of_choice(other))
    silent = chosen.model_copy(update={"validation": None})
    assert "has no validation" in str(validation_claims.problem_of_choice(silent))
    marked = ended.model_copy(update={"validation": chosen.validation})
    assert "does not go with" in str(validation_claims.problem_of_choice(marked))
    for change, said in (
        (lambda v: v.update(keys=v["keys"][::-1]), "fingerprint"),
        (lambda v: v.update(images=47), "48 keys of 47 images"),
        (lambda v: v.update(accuracy=[51.3] * EPOCHS), "51.3 percent is none of 48 images"),
        (lambda v: v.update(accuracy=[50.0]), "accuracies for 3 epochs|is chosen of 1"),
        (lambda v: v.update(epoch=0), "accuracies for 3 epochs"),
        (lambda v: v.update(epoch=4), "epoch 4 is chosen of 3"),
    ):
        with pytest.raises(ValueError, match=said):
            _tampered(chosen, change)


def test_rules_that_are_asked_for_are_known() -> None:
    assert SELECTIONS.load("validation").cls.validates
    assert not SELECTIONS.load("last").cls.validates

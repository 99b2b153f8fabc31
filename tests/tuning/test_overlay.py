"""Choosing the settings of a suite's own backbone, and what holds before and after."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench import records
from promptbench.catalogue.method_card import card_of
from promptbench.config import suites
from promptbench.config.suites import Suite
from promptbench.core.registry import METHODS
from promptbench.leaderboard.checking import cells, known, settings_checks
from promptbench.planning import plan
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.spaces import kept
from promptbench.tuning import overlay, searches
from tests.spaces.test_kept import search

DEMO = suites.load("demo")
ACCEPTED = Path(__file__).parents[2] / "leaderboard" / "results" / "demo" / "base_to_new" / "coop"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The demo's settings by hand, without any search, where tests may write."""
    found = tmp_path / "overlay"
    assert DEMO.overlay_folder is not None
    shutil.copytree(DEMO.overlay_folder, found)
    for path in (*found.glob(f"*{suites.SEARCHED}"), *found.glob(f"*{suites.SEARCH}")):
        path.unlink()
    own = property(lambda suite: found if suite.overlay else None)
    monkeypatch.setattr(Suite, "overlay_folder", own)
    known.forget()
    yield found
    known.forget()


def lr_of(preset: str = "paper", protocol: str = "base_to_new", **options: Any) -> float:
    asked = Request(methods=("coop",), protocol=protocol, datasets=("counts",), shots=(2,),
                    preset=preset, baseline=False, **options)  # fmt: skip
    (lr,) = {cell.recipe["lr"] for cell in plan.build(asked, "fp32").cells}
    return float(lr)


def put(folder: Path, lr: float = 0.01) -> None:
    """Lay a search of CoOp beside its settings that has chosen twice this learning rate."""
    kept.write(folder, "coop", DEMO.backbone, {"base_to_new": search(1.0, 2.0, chosen=2, lr=lr)})
    known.forget()


def test_a_search_is_resumed_written_and_the_same_again(
    folder: Path, tmp_path: Path, cache: Path
) -> None:
    asked = Request(methods=("coop",), protocol="base_to_new", datasets=("counts", "fills"),
                    shots=(2,), seeds=(1, 2), baseline=False,
                    set=("Recipe.epochs=1",))  # fmt: skip
    machine = Machine(out=tmp_path / "runs", quiet=True, device="cpu")
    found = overlay.search_settings(asked, DEMO, 3, machine, folder)["coop"]
    trials = {r.cell_id: r for p in records.find([machine.out], trials=True)
              for r in (records.read(p),)}  # fmt: skip
    assert len(trials) == 3 * 2 * 2 and all(r.is_trial for r in trials.values())
    for trial in found.trials:
        own = [trials[cell] for cell in trial.cells]
        for source, mean in trial.validation.items():
            of_source = [r.validation.chosen for r in own
                         if source.startswith(r.source.dataset) and r.validation]  # fmt: skip
            assert len(of_source) == 2 and mean == pytest.approx(sum(filter(None, of_source)) / 2)
    means = [trial.mean or 0 for trial in found.trials]
    assert found.chosen == means.index(max(means)) + 1
    assert kept.read(DEMO, "coop") == {"base_to_new": found}
    written = {path.name: path.read_bytes() for path in folder.glob("coop.search*")}
    assert set(written) == {"coop.search.json", "coop.searched.gin"}
    known.forget()  # what is written holds from here on, and changes no trial
    before = {p: p.stat().st_mtime_ns for p in records.find([machine.out], trials=True)}
    assert overlay.search_settings(asked, DEMO, 3, machine, folder)["coop"] == found
    assert {p: p.stat().st_mtime_ns for p in records.find([machine.out], trials=True)} == before
    assert {path.name: path.read_bytes() for path in folder.glob("coop.search*")} == written


def test_a_search_of_another_protocol_is_kept_beside(
    folder: Path, tmp_path: Path, cache: Path
) -> None:
    put(folder)
    asked = Request(methods=("tipadapter",), protocol="few_shot", datasets=("counts",),
                    shots=(2,), baseline=False)  # fmt: skip
    (folder / "coop.search.json").rename(folder / "tipadapter.search.json")
    machine = Machine(out=tmp_path / "runs", quiet=True, device="cpu")
    overlay.search_settings(asked, DEMO, 1, machine, folder)
    assert set(kept.read(DEMO, "tipadapter")) == {"base_to_new", "few_shot"}


def test_what_was_chosen_holds_in_its_protocol_only(folder: Path) -> None:
    assert {lr_of(protocol=p) for p in ("base_to_new", "few_shot")} == {0.003}
    put(folder)
    assert lr_of() == lr_of("unified") == 0.02
    assert lr_of(protocol="generalized_base_to_new") == 0.02  # which trains as base_to_new
    assert lr_of(protocol="few_shot") == 0.003
    assert lr_of(set=("Recipe.lr=0.5",)) == 0.5


def test_another_search_begins_by_hand(folder: Path) -> None:
    """Its budget is not spent on top of an earlier one's."""
    asked = Request(methods=("coop",), protocol="base_to_new", datasets=("counts",), shots=(2,))
    (found,) = searches([asked], 1)
    before = plan.build(found.trials()[0], "fp32").cells
    put(folder)
    assert plan.build(found.trials()[0], "fp32").cells == before
    assert before[0].recipe["lr"] == 0.003


def accepted() -> Record:
    return records.read(sorted(ACCEPTED.glob("*seed1*/record.json"))[0])


def with_lr(record: Record, lr: float) -> Record:
    recipe = {**record.training.recipe, "lr": lr}
    return record.model_copy(
        update={"training": record.training.model_copy(update={"recipe": recipe})}
    )


def test_records_from_before_a_search_stay_valid_and_stand_apart(folder: Path) -> None:
    old = accepted()
    assert not settings_checks.are_superseded(old)
    put(folder)
    new = with_lr(old, 0.02)
    assert [*settings_checks.preset(old, old.leg)] == []
    assert [*settings_checks.preset(new, new.leg)] == []
    assert settings_checks.are_superseded(old) and not settings_checks.are_superseded(new)
    (note,) = settings_checks.superseded(old)
    assert note.startswith("settings by hand, as promptbench shipped them before")
    assert cells.row_of(old) != cells.row_of(new)
    other = with_lr(old, 0.5)
    (reason,) = settings_checks.preset(other, other.leg)
    assert reason.startswith("preset 'paper' has Recipe.lr = 0.02, the record has 0.5")
    assert not settings_checks.are_superseded(other)
    named = other.model_copy(update={"overrides": ["Recipe.lr = 0.5"]})
    assert [*settings_checks.preset(named, named.leg)] == []


def test_the_card_says_where_settings_come_from(folder: Path) -> None:
    def said(method: str) -> str | None:
        return card_of(METHODS.load(method)).facts.get(f"settings on {DEMO.backbone}")

    assert said("coop") == "by hand" and said("lpp") is None
    put(folder)
    assert said("coop") == "base_to_new: by search (trial 2 of 2, seed 1); elsewhere: by hand"
    (folder / "coop.search.json").rename(folder / "lpp.search.json")
    assert said("lpp") == (
        "base_to_new: by search (trial 2 of 2, seed 1); elsewhere: the method's own"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("coop", "few_shot", "--suite", "clip"), "the suite clip has no settings of its own"),
        (("coop", "generalized_base_to_new"), "trains as base_to_new"),
        (("zeroshot", "base_to_new"), "zeroshot has nothing to tune"),
        (("clap", "base_to_new"), "clap cannot run under base_to_new"),
        (("coop", "base_to_new", "--trials", "0"), "--trials must be at least 1, not 0"),
        (("coop", "base_to_new", "--seeds", "one"), "seeds must be a whole number"),
        (("coop", "base_to_new", "--suite", "none"), "unknown suite 'none'"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    method, protocol, *more = arguments
    found = CliRunner().invoke(
        overlay.main,
        ["--method", method, "--protocol", protocol, "--out", str(tmp_path / "o"), *more],
    )
    assert found.exit_code == 2 and said in found.output, found.output
    assert "Traceback" not in found.output

"""Processes for idle cores: how many there are, who asks for them, and that no number moves."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from promptbench.cli import asking, main
from promptbench.planning import edge, plan
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.running import filling
from promptbench.running.lab.compute import Compute
from promptbench.storage import leases
from promptbench.support import allotted
from promptbench.tracking import Listener
from tests.running.test_executors import left

CPU, GPU = Compute(torch.device("cpu"), "fp32"), Compute(torch.device("cuda"), "fp32")
OPEN = Machine(fill_cores=True)


class Hears(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allotted, "cores", lambda: 8)
    monkeypatch.setattr(allotted, "memory", lambda: 64 * 2**30)


def demo(methods: str = "coop", **options: Any) -> list[Plan]:
    usual = {"protocol": "base_to_new", "datasets": "color_shape", "seeds": "1,2,3"}
    return [plan.build(Request(methods, **usual | options), "fp32")]


def jobs(plans: list[Plan], machine: Machine = OPEN, compute: Compute = CPU) -> int:
    cells = [cell for made in plans for cell in made.pending()]
    return filling.filled(machine, plans, cells, compute, Listener()).jobs


def test_each_training_has_a_process_as_long_as_there_are_cores() -> None:
    assert jobs(demo()) == 3  # of 240 steps each; the zero-shot row has none
    assert jobs(demo("coop,maple,kgcoop")) == 8


def test_a_process_has_steps_and_memory_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs(demo(set="Recipe.epochs=20")) == 1  # 360 steps in all
    assert jobs(demo(set="Recipe.epochs=23")) == 2
    assert jobs(demo("zeroshot")) == jobs(demo("lpp", protocol="few_shot")) == 1
    monkeypatch.setattr(allotted, "memory", lambda: 5 * 2**29)
    assert jobs(demo()) == 2


@pytest.mark.parametrize(("cores", "found"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_cores_bound_it(cores: int, found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allotted, "cores", lambda: cores)
    assert jobs(demo()) == found


def test_what_is_trained_already_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_seed(cell: Cell, out: Path) -> bool:
        return cell.seed == 1

    monkeypatch.setattr(filling, "is_trained", first_seed)
    assert jobs(demo()) == 2


def test_cells_of_one_training_count_once() -> None:
    plans = demo("mmrl", seeds="1,2,3,4")  # unified and decoupled inference
    assert [cell.method.name for made in plans for cell in made.cells].count("mmrl") == 8
    assert jobs(plans) == 2  # 480 steps


def test_a_gpu_a_large_model_and_python_start_none(tmp_path: Path) -> None:
    assert jobs(demo(), compute=GPU) == 1
    assert jobs(demo(), Machine()) == 1
    large = demo(backbone="ViT-B-16-quickgelu", weights=str(weights(tmp_path)))
    assert jobs(large) == jobs([*demo(), *large]) == 1


def test_nothing_is_added_to_another_run_or_on_another_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans, own = demo(), dataclasses.replace(OPEN, out=tmp_path)
    assert jobs(plans, own) == 3
    with leases.held(leases.place(tmp_path, "cell", plans[0].cells[-1].id)):
        assert jobs(plans, own) == 1
    assert jobs(plans, own) == 3
    monkeypatch.setattr(sys, "platform", "win32")
    assert jobs(plans, own) == 1


def weights(folder: Path) -> Path:
    file = folder / "large.safetensors"
    file.write_bytes(b"its hash is all that a plan needs")
    return file


# --- who asks for it ----------------------------------------------------------------------------


def by_command(**given: Any) -> Machine:
    _, found = asking.asked(["coop"], ["few_shot"], None, (), gin=(), **given)
    return found


def test_commands_fill_unless_they_are_told_how_many(tmp_path: Path) -> None:
    assert by_command().fill_cores and by_command(jobs=None, device="cpu").fill_cores
    for told in ({"jobs": 1}, {"jobs": 2}, {"per_gpu": 1}, {"on": "local"}):
        assert not by_command(**told).fill_cores
    profile = tmp_path / "lab.toml"
    profile.write_text("jobs = 1\n")
    assert not by_command(machine=str(profile)).fill_cores
    profile.write_text('precision = "fp32"\n')
    assert by_command(machine=str(profile)).fill_cores
    assert not edge.asked(Grid(("coop",), ("few_shot",)), {})[1].fill_cores


# --- what it comes to ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="processes of one machine are for Linux")
def test_numbers_are_those_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allotted, "cores", lambda: 2)
    monkeypatch.setattr(filling, "_STEPS", 2)
    words = "run --method coop --protocol base_to_new --datasets counts --seeds 1,2 --limit 20"
    words += " --shots 2 --set Recipe.epochs=2 --device cpu --out"

    def said(out: str, *more: str) -> str:
        done = CliRunner().invoke(main, [*words.split(), str(tmp_path / out), *more])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    assert "computing in 2 processes, for 2 cores; the numbers are those of one" in said("filled")
    assert "processes" not in said("one", "--jobs", "1")
    assert left(tmp_path / "filled") == left(tmp_path / "one")


def test_it_is_said_once_and_only_if_it_is_so() -> None:
    plans, hears = demo(), Hears()
    cells = [cell for made in plans for cell in made.pending()]
    filling.filled(OPEN, plans, cells, CPU, hears)
    assert hears.said == [
        "computing in 3 processes, for 8 cores; the numbers are those of one, which --jobs 1 asks "
        "for"
    ]
    filling.filled(OPEN, plans, [], CPU, hears)
    assert len(hears.said) == 1

"""Where a forecast has its time from: the same source, the towers of the run, a solver's record."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from promptbench import records
from promptbench.cli import main
from promptbench.forecast import forecast, pace, stopwatch
from promptbench.forecast.pace import Pace, between
from promptbench.planning import edge, plan
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.running.lab.compute import resolve
from promptbench.running.session import execute
from promptbench.support.progress import Reporter

PLUGIN = """
import torch
from promptbench.methods.zeroshot import ZeroShot

class {name}(ZeroShot):
    paradigm = "end-to-end"

    def __init__(self, towers, classes):
        super().__init__(towers, classes)
        self.seen = torch.nn.Parameter(torch.zeros(()))
"""
CHUNKS = """
    def losses(self, images, labels, prepared):
        raise RuntimeError(f"pieces of {self.towers.class_chunk}")
"""
CROWDED = """
    def losses(self, images, labels, prepared):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
"""
STEPS = """
        text = towers.text  # in the constructor, whose features have the towers' dtype
        self.start = torch.nn.Parameter(text.features(text.tokens(classes.prompts))[0].clone())

    def losses(self, images, labels, prepared):
        assert self.start.dtype == torch.float32, self.start.dtype
        return {"seen": self.seen.square(), "start": self.start.float().sum() * FACTOR}

FACTOR = float("FACTOR")
"""
SOLVER = """
    def losses(self, images, labels, prepared):
        raise RuntimeError("a solver takes no steps")

    @torch.no_grad()
    def solve(self, batches):
        self.seen += sum(len(labels) for _, labels in batches)
"""


def plugin(folder: Path, name: str, body: str) -> Path:
    path = folder / f"{name.lower()}.py"
    path.write_text(PLUGIN.format(name=name) + body, encoding="utf-8")
    return path


def asked(out: Path, method: str = "coop", **options: Any) -> tuple[list[Request], Machine]:
    usual: dict[str, Any] = {"datasets": ["counts"], "shots": 2, "limit": 5, "baseline": False}
    grid = Grid((method,), (options.pop("protocol", "base_to_new"),))
    return edge.asked(grid, {**usual, "out": out, "quiet": True, **options})


ONE_EPOCH = {"set": ["Recipe.epochs=1"]}


def test_a_record_speaks_for_its_own_source_alone(tmp_path: Path) -> None:
    execute(*asked(tmp_path, **ONE_EPOCH))
    same = forecast(*asked(tmp_path, seeds=[2], **ONE_EPOCH))
    assert (same.from_records, same.measured) == (("coop",), ())
    other = forecast(*asked(tmp_path, datasets=["fills"], **ONE_EPOCH))
    assert (other.from_records, other.measured) == ((), ("coop",))
    half = asked(tmp_path, protocol="few_shot")
    assert forecast(*half).measured == ("coop",)  # all classes, not the base ones


def test_a_record_speaks_for_its_own_weights_alone(tmp_path: Path) -> None:
    (request,), machine = asked(tmp_path, "zeroshot")
    execute(request, machine)
    (cell,) = plan.build(request, "fp32").cells
    other = replace(cell, weights_sha256="0" * 64)
    compute = resolve("cpu", "fp32")
    assert list(pace.from_records(tmp_path, compute, [cell, other])) == [pace.key_of(cell)]
    assert not pace.from_records(tmp_path, compute, [other])
    assert not pace.from_records(tmp_path, resolve("cpu", "bf16"), [cell])


def test_of_many_records_the_newest_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,), machine = asked(tmp_path, "zeroshot")
    execute(request, machine)
    (cell,) = plan.build(request, "fp32").cells
    own = cell.folder(tmp_path)
    for number in range(30):
        again = own.with_name(f"counts-2shot-seed{number}-again")
        shutil.copytree(own, again)
        os.utime(again, (number, number))  # long ago
    (own.with_name("counts-not-a-folder")).write_text("")
    read: list[str] = []

    def noted(path: Path) -> Record:
        read.append(path.parent.name)
        return records.read(path)

    monkeypatch.setattr(pace, "records", SimpleNamespace(read=noted, RECORD=records.RECORD))
    assert list(pace.from_records(tmp_path, resolve("cpu", "fp32"), [cell])) == [pace.key_of(cell)]
    assert read == sorted(read) and len(read) == 4
    assert {"counts-2shot-seed29-again", own.name, "counts-not-a-folder"} < set(read)


def test_plans_of_other_backbones_are_measured_in_labs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,), machine = asked(tmp_path, seeds=[1, 2])
    one = plan.build(request, "fp32")
    two = replace(one, suite=one.suite.model_copy(update={"weights": "other"}))
    two = replace(two, cells=tuple(replace(cell, weights_sha256="0" * 64) for cell in one.cells))
    measured: list[Any] = []
    monkeypatch.setattr(stopwatch, "_measure_together", lambda *given: measured.append(given[:2]))
    compute = resolve("cpu", "fp32")
    stopwatch.measure([one.cells[0], two.cells[1]], [one, two], machine, compute, Reporter())
    assert measured == [([one.cells[0]], one), ([two.cells[1]], two)]


def test_measured_paces_lie_between_those_of_the_shortest_and_the_longest_class_list() -> None:
    few = Pace(step=1.0, batch=4, per_image=0.1, parameter_bytes=100, from_record=False)
    many = Pace(step=6.0, batch=8, per_image=0.3, parameter_bytes=300, from_record=False)
    found = between((10, few), (30, many), 20)
    assert found.per_step(8) == pytest.approx((2.0 + 6.0) / 2)
    assert found.per_image == pytest.approx(0.2) and found.parameter_bytes == 200
    assert between((10, few), (30, many), 10).per_step(4) == pytest.approx(few.step)
    assert between((30, many), (30, many), 30) == many


def test_towers_are_opened_as_the_run_would(tmp_path: Path) -> None:
    path = plugin(tmp_path, "Chunks", CHUNKS)
    threads = torch.get_num_threads()
    for size in (3, None):
        chunks = asked(tmp_path / "runs", "chunks", plugin=[path], class_chunk=size)
        (reason,) = forecast(*chunks).unknown
        assert f"pieces of {size}" in reason
    assert torch.get_num_threads() == threads
    assert not (tmp_path / "runs").exists()


def test_records_say_nothing_of_class_chunks(tmp_path: Path) -> None:
    execute(*asked(tmp_path, **ONE_EPOCH))
    found = forecast(*asked(tmp_path, seeds=[2], class_chunk=2, **ONE_EPOCH))
    assert (found.from_records, found.measured) == ((), ("coop",))


def test_what_does_not_fit_at_once_does_not_fail(tmp_path: Path) -> None:
    path = plugin(tmp_path, "Crowded", CROWDED)
    found = forecast(*asked(tmp_path / "runs", "crowded", plugin=[path]))
    assert not found.unknown and not found.measured
    (reason,) = found.untimed
    assert reason.startswith("crowded (more than the GPU's memory holds at once")


def test_steps_are_measured_as_a_training_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the run's precision, constructor included, with the recipe's optimiser and its checks."""
    taken: list[list[float]] = []
    step = torch.optim.AdamW.step

    def counted(self: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        taken.append([group["lr"] for group in self.param_groups])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    settings = {"set": ["Recipe.optimizer='adamw'", "Recipe.epochs=1"], "precision": "bf16"}
    path = plugin(tmp_path, "Steps", STEPS.replace('"FACTOR"', '"1"'))
    found = forecast(*asked(tmp_path, "steps", plugin=[path], **settings))
    assert found.measured == ("steps",) and not found.unknown
    assert taken == [[0.0]] * 4
    path = plugin(tmp_path, "Diverged", STEPS.replace('"FACTOR"', '"nan"'))
    found = forecast(*asked(tmp_path, "diverged", plugin=[path], **settings))
    (reason,) = found.unknown
    assert "loss term 'start' is nan in a step that was measured" in reason


def test_a_solver_takes_no_steps_and_its_time_comes_from_records(tmp_path: Path) -> None:
    path = plugin(tmp_path, "Counter", SOLVER)
    runs = tmp_path / "runs"
    (share,) = forecast(*asked(runs, "counter", plugin=[path])).shares
    assert (share.trainings, share.untimed) == (1, 1) and share.seconds > 0  # scoring
    words = ["plan", "--method", "counter", "--plugin", str(path), "--protocol", "base_to_new"]
    done = CliRunner().invoke(main, [*words, "--datasets", "counts", "--out", str(runs)])
    assert done.exit_code == 0, done.output
    assert "its time is not known, and not counted: counter (its solver" in done.output
    assert "fails when it is tried" not in done.output
    assert next(line for line in done.output.splitlines() if "  counter" in line).count("> ") == 1

    (record,) = execute(*asked(runs, "counter", plugin=[path]))
    found = forecast(*asked(runs, "counter", plugin=[path], seeds=[1, 2]))
    (share,) = found.shares
    assert (share.done, share.trainings, share.untimed) == (1, 1, 0)
    assert found.from_records == ("counter",) and not found.untimed
    scoring = sum(target.seconds for target in record.targets)
    assert share.seconds == pytest.approx(record.training.seconds + scoring, rel=1e-6)

"""The benchmarks of a step and of classifying take every method; no clock is looked at."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmarks import boards, memory, naive, openings, setting, step, together
from benchmarks.work import Counter
from promptbench import records
from promptbench.core.method import Solver
from promptbench.core.registry import METHODS
from promptbench.records.verify import check_files
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute

CPU = Compute(torch.device("cpu"), "fp32")


def opened(name: str) -> setting.Setting:
    return setting.setting(name, setting.TINY, 5, 2, CPU)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_step_of_every_method_is_that_of_plain_modules(name: str) -> None:
    now = opened(name)
    if isinstance(now.method, Solver) or not list(now.method.parameters()):
        assert "none" in step.without_steps(now, 1, CPU)["steps"]
        return
    reference = naive.build(name, now.method, now.viewed, now.labels)
    assert reference is not None, "every built-in method has a naive path"

    def taken(losses: Callable[[], naive.Losses]) -> tuple[Tensor, Tensor]:
        """With the method's own gradient, where it makes one."""
        return step.stepper(now, losses, CPU)(), step.gradient(now)

    theirs = taken(lambda: reference.losses(now.viewed, now.labels))
    assert step.difference(taken(lambda: step.ours(now)), theirs) < 1e-3
    assert step.naive_work(now, reference) > 0


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_classifies(name: str) -> None:
    now = opened(name)
    method = now.method.eval()
    prepared = evaluating(CPU, method.prepare, method.classes)
    logits = evaluating(CPU, method.logits, now.images.clone(), prepared)
    assert logits.shape == (2, 5)


@pytest.mark.parametrize("depth", [1, 3])
def test_an_opening_for_all_classes_is_computed_on_fewer_tokens(depth: int) -> None:
    towers = setting.random_towers(setting.TINY, CPU)
    found = openings.measured(openings.Passes(towers, 200, 4, depth, CPU), 1, CPU)
    every, few = found["rows"]
    assert every - few == 199 * 5  # SOT and the context
    assert found["gap"] < 1e-4 and found["kept_mb"][1] < found["kept_mb"][0]


def test_cells_that_share_a_pass_answer_as_apart_with_less_work() -> None:
    """Each has parameters of its own; blocks below the first edit are computed once."""
    now = opened("mmrl")
    passes = together.Passes(now, 3, CPU)
    with Counter(now.towers) as apart:
        expected = passes.apart()
    with Counter(now.towers) as shared:
        assert torch.equal(passes.shared(), expected)
    assert 0 < shared.total < apart.total
    assert not torch.equal(expected[0], expected[1])


def test_plain_towers_are_left_as_they_were() -> None:
    now = opened("tcp")
    naive.build("tcp", now.method, now.viewed, now.labels)
    assert not {"features", "run"} & {*vars(now.towers.text), *vars(now.towers.image)}


def test_the_work_of_plain_towers_is_that_of_the_paths_written_by_hand() -> None:
    now = opened("maple")
    written = naive.build("maple", now.method, now.viewed, now.labels)
    plain = naive.build("its own code", now.method, now.viewed, now.labels)
    assert written is not None and plain is not None
    # The first edit of either tower comes before block 1: everything has a gradient in both.
    image = now.towers.image
    blocks, patches = image.n_blocks, now.image_tokens
    length = now.towers.text.context_length
    assert plain.work(blocks, patches) == (2 * length * blocks, written.work(blocks, patches)[1])


def test_a_step_is_measured_beside_the_naive_one_and_coop() -> None:
    now, beside = opened("tcp"), opened("coop")
    reference = naive.build("tcp", now.method, now.viewed, now.labels)
    assert reference is not None
    steps = {
        "ours": step.stepper(now, lambda: step.ours(now), CPU),
        "naive": step.stepper(now, lambda: reference.losses(now.viewed, now.labels), CPU),
        "coop": step.stepper(beside, lambda: step.ours(beside), CPU),
    }
    measured = step.side_by_side(now, steps, 2, CPU)
    assert {path: len(times) for path, times in measured.times.items()} == {
        "ours": 2,
        "naive": 2,
        "coop": 2,
    }
    assert measured.gap is not None and measured.gap < 1e-3
    said = step.against_naive(now, reference, measured, 1e9)
    assert said["limit"] > 1
    assert step.against_naive(now, None, measured, 1e9)["naive"] is None


def test_memory_is_counted_by_stage_and_part() -> None:
    options = argparse.Namespace(
        method="coop", backbone=setting.TINY, classes=3, batch=2, class_chunk=None, steps=1
    )
    found = memory.measured(options)
    stages = found["stages"]
    assert [each["after"] for each in stages][-2:] == ["backbone and method", "steps"]
    assert all(0 < each["resident_mb"] <= each["peak_mb"] + 1 for each in stages)
    assert set(found["parts"]) == {"weights", "learned", "kept_for_backward"}


def test_what_is_kept_for_backward_is_each_storage_once_without_weights() -> None:
    weight = torch.nn.Parameter(torch.randn(1024, 1024), requires_grad=False)
    x = torch.randn(1024, 1024, requires_grad=True)
    towers = SimpleNamespace(model=SimpleNamespace(parameters=lambda: [weight]))
    assert memory.kept(lambda: ((x @ weight) * x * x).sum(), towers) == 12  # x twice
    assert memory.kept(lambda: (x @ weight).sum(), towers) == 0


@pytest.mark.long
def test_boards_are_measured_first_and_known(cache: Path, tmp_path: Path) -> None:
    first, known = boards.costs(tmp_path, [3], 2, ["report"])
    assert (first.known, known.known, known.records) == (False, True, 3)
    assert known.row.startswith("| `report` | 3 | known | ") and known.seconds > 0
    assert 10 < known.peak_mb < 1000
    found = records.find([tmp_path])
    assert len(found) == 3
    for path in found:
        check_files(records.read(path), path.parent)  # as `validate` does


def test_workers_that_share_a_grid_are_simulated(tmp_path: Path) -> None:
    """With the real search for cells and the real leases, whose interfaces move."""
    command = [sys.executable, "-m", "benchmarks.sharing", "--workers", "4", "--cells", "30"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    claim, simulated = map(json.loads, done.stdout.splitlines())
    assert claim["claim_ms"] > 0 and simulated["workers"] == 4
    assert 3 < simulated["speedup"] <= 4 and simulated["cost"] < 0.01

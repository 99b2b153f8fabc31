"""Norms during training: what they are, and that the training does not notice."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench import records
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, Method
from promptbench.data.loader import FewShotSet
from promptbench.data.shards.shards import Item
from promptbench.methods.coop import CoOp
from promptbench.methods.maple import MaPLe
from promptbench.methods.mmrlpp import MMRLpp
from promptbench.methods.zeroshot import ZeroShot
from promptbench.models.towers import Capture, Towers, tokens
from promptbench.planning import edge
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.running.lab.compute import Compute
from promptbench.running.session import execute
from promptbench.running.training.watching import spread, token_norms
from promptbench.tracking import Epoch, Listener
from promptbench.tracking.jsonl import norms_of
from tests.short_form import first

CPU = Compute(torch.device("cpu"), "fp32")
CLASSES = ClassSet(("cat", "great_dog"), "a photo of a {}.")
BLOCKS = [f"block{number:02d}" for number in range(1, 13)]


@pytest.fixture(scope="module")
def clip() -> Towers:
    return tiny_towers()


def images(n: int = 11) -> Tensor:
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_norms_are_those_of_each_blocks_output(clip: Towers) -> None:
    method, batch = MaPLe(clip, CLASSES, n_ctx=2, depth=3).eval(), images()
    found = token_norms(method, CLASSES, batch, CPU)
    capture = Capture(range(1, 13))
    with torch.no_grad():
        clip.image.run(clip.image.tokens(batch), method.image_edits(), capture)
    assert list(found) == [f"{n}/{block}" for block in BLOCKS for n in ("cls", "prompt", "ratio")]
    for number, block in enumerate(BLOCKS, start=1):
        norms = capture.outputs[number].norm(dim=-1).mean(dim=0)  # [1 + 4 patches + 2 prompts]
        assert found[f"cls/{block}"] == pytest.approx(float(norms[0]), rel=1e-5)
        assert found[f"prompt/{block}"] == pytest.approx(float(norms[-2:].mean()), rel=1e-5)
        ratio = found[f"prompt/{block}"] / found[f"cls/{block}"]
        assert found[f"ratio/{block}"] == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (partial(MMRLpp, n_tokens=3, token_dim=8), BLOCKS[5:]),
        (CoOp, []),
        (ZeroShot, []),
    ],
)
def test_only_blocks_with_prompt_tokens_have_norms(
    make: Callable[..., Method], expected: list[str], clip: Towers
) -> None:
    found = token_norms(make(clip, CLASSES).eval(), CLASSES, images(2), CPU)
    assert [key.removeprefix("ratio/") for key in found if key.startswith("ratio/")] == expected


def test_towers_that_were_watched_can_be_trained_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they remember of class lists was computed in evaluation, in groups of unequal length."""
    monkeypatch.setattr(tokens, "_GROUP_WORK", {"cpu": 0.0, "cuda": 0.0})
    towers, classes = tiny_towers(), ClassSet(("cat", "a_long_name_of_a_dog"), "a photo of a {}.")
    method, batch = MaPLe(towers, classes), images(2)
    assert token_norms(method.eval(), classes, batch, CPU)
    terms = method.train().losses(batch, torch.tensor([0, 1]), method.prepare(classes))
    method.total(terms).backward()
    assert all(p.grad is not None for p in method.parameters())


@pytest.mark.parametrize(("count", "most"), [(1, 32), (31, 32), (32, 32), (100, 32), (7, 3)])
def test_images_are_spread_over_the_set(count: int, most: int) -> None:
    shots = FewShotSet(tuple(Item(str(i), b"", i, "") for i in range(count)), ("a",))
    places = [item.label for item in spread(shots, most).items]
    assert len(places) == min(count, most) and places[0] == 0
    steps = {later - sooner for sooner, later in pairwise(places)}
    assert not steps or max(steps) - min(steps) <= 1


def test_copies_of_a_method_share_its_towers(clip: Towers) -> None:
    method = MaPLe(clip, CLASSES)
    copied = copy.deepcopy(method)
    assert copied.towers is clip and copy.deepcopy(clip.image) is clip.image
    assert copied.prompts is not method.prompts and torch.equal(copied.prompts, method.prompts)


# --- in a run -----------------------------------------------------------------------------------


class Watcher(Listener):
    """Wants norms, and keeps what it is told."""

    wants_norms = True

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.messages: list[str] = []

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def message(self, text: str) -> None:
        self.messages.append(text)


def asked(method: str, out: Path, **changes: Any) -> tuple[list[Request], Machine]:
    settings: dict[str, Any] = {
        "datasets": ["counts"], "shots": 2, "seeds": [1], "set": ["Recipe.epochs=2"],
        "baseline": False, "out": out, "quiet": True, "limit": 20, **changes,
    }  # fmt: skip
    return edge.asked(Grid((method,), ("few_shot",)), settings)


def plain(method: str, out: Path, **changes: Any) -> Record:
    (record,) = execute(*asked(method, out, **changes))
    return record


def watched(method: str, out: Path, **changes: Any) -> tuple[Record, Watcher]:
    watcher = Watcher()
    (record,) = execute(*asked(method, out, **changes), watcher)
    return record, watcher


@pytest.mark.parametrize(
    "method",
    first(2, ["coop", "alignednorm", "vpt", "ivlp", "maple", "promptsrc", "mmrl", "mmrlpp"]),
)
def test_a_watched_training_ends_in_the_same_record(method: str, tmp_path: Path) -> None:
    changes = {"inference": "unified"}
    alone = plain(method, tmp_path / "alone", **changes)
    record, watcher = watched(method, tmp_path / "watched", **changes)
    assert record.numbers() == alone.numbers()
    assert record.training.parameters_sha256 == alone.training.parameters_sha256
    assert record.training.losses == alone.training.losses
    assert not watcher.messages or "left out" not in " ".join(watcher.messages)
    first, last = (epoch.norms for epoch in watcher.epochs)
    assert bool(last) == (method != "coop") and last.keys() == first.keys()
    assert not last or last != first


def log(out: Path) -> list[dict[str, Any]]:
    (path,) = records.find([out])
    lines = path.with_name("log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == "epoch"]


def test_the_log_has_norms_where_somebody_wants_them(tmp_path: Path) -> None:
    plain("vpt", tmp_path / "alone")
    assert all("norms" not in line for line in log(tmp_path / "alone"))
    _, watcher = watched("vpt", tmp_path / "watched")
    assert [line["norms"] for line in log(tmp_path / "watched")] == [
        epoch.norms for epoch in watcher.epochs
    ]


@pytest.mark.long
def test_norms_are_told_from_other_processes(tmp_path: Path) -> None:
    alone = Watcher()
    execute(*asked("vpt", tmp_path / "one", seeds=[1, 2]), alone)
    crew = Watcher()
    execute(*asked("vpt", tmp_path / "two", seeds=[1, 2], jobs=2), crew)

    def key(epoch: Epoch) -> tuple[int, float]:
        return epoch.number, epoch.losses["total"]

    assert sorted(crew.epochs, key=key) == sorted(alone.epochs, key=key)
    assert all(epoch.norms for epoch in crew.epochs)


REMEMBERING = '''
"""A plugin that keeps what it computes in evaluation, and what it saw last in training."""

from promptbench.methods._deep_prompts import image_prompt_edits
from promptbench.methods.vpt import VPT


class Remembering(VPT):
    title, paper = "Remembering", "none"
    kept = None

    def image_edits(self):
        if self.training:
            self.last = self.prompts * 2
            return super().image_edits()
        if self.kept is None:
            self.kept = self.prompts.detach().clone()
        return image_prompt_edits(self.kept)
'''

UNTELLABLE = '''
"""A plugin whose edit gives other tokens for all tokens of the image."""

import torch
from promptbench.methods.vpt import VPT


class Untellable(VPT):
    title, paper = "Untellable", "none"

    def image_edits(self):
        def edit(x):
            return torch.cat([x + 0.1, self.prompts[0].to(x.dtype).expand(len(x), -1, -1)], dim=1)

        return {1: edit}
'''


def plugin(folder: Path, text: str) -> dict[str, Any]:
    name = "remembering" if "Remembering" in text else "untellable"
    file = folder / f"{name}.py"
    file.write_text(text)
    return {"plugin": [file]}


def test_what_a_method_remembers_in_evaluation_does_not_reach_its_training(tmp_path: Path) -> None:
    changes = plugin(tmp_path, REMEMBERING)
    alone = plain("remembering", tmp_path / "alone", **changes)
    record, watcher = watched("remembering", tmp_path / "watched", **changes)
    assert record.numbers() == alone.numbers()
    first, last = (epoch.norms for epoch in watcher.epochs)
    assert first and first != last


def test_a_method_that_cannot_be_watched_is_trained_and_it_is_said_once(tmp_path: Path) -> None:
    changes = plugin(tmp_path, UNTELLABLE)
    record, watcher = watched("untellable", tmp_path, **changes)
    assert record.training.epochs == len(watcher.epochs) == 2
    assert not any(epoch.norms for epoch in watcher.epochs)
    (said,) = [text for text in watcher.messages if "left out" in text]
    assert "untellable on counts" in said and "cannot be distinguished" in said


def test_a_log_with_torn_or_foreign_lines_gives_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [
        '{"event": "started", "training": "t"}',
        '{"event": "epoch", "epoch": 1, "norms": {"ratio/block01": 2.0}}',
        '{"event": "epoch", "epo',
        '["epoch"]',
        '{"event": "epoch", "epoch": 1, "norms": {"ratio/block01": 1.0}}',
        '{"event": "epoch", "epoch": 2, "losses": {}}',
        '{"event": "started", "training": "u"}',
        '{"event": "epoch", "epoch": 2, "norms": {"ratio/block01": 3.0}}',
    ]
    path.write_text("\n".join(lines))
    found = norms_of([path, tmp_path / "absent"])
    assert found == {"t": {0: {"ratio/block01": 1.0}}, "u": {1: {"ratio/block01": 3.0}}}

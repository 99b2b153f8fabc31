"""A method that tries to learn to which split a sample belongs gets nothing, or is caught.

What the harness hands out is looked through from the inside of a run by
tests/contract/adversary.py: the arguments, the call stack and everything that hangs on it, gin.
What no interface can hide, because class names are what methods are for (a method may recognise the
list it was trained on, remember what it was asked, look at the rest of a batch, or at the order of
the list), breaks the contract.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import promptbench
from promptbench.contract import examine
from promptbench.core.method import ClassSet, Method
from promptbench.core.registry import METHODS
from promptbench.isolation import asking, audit
from promptbench.models.towers import Towers
from promptbench.running.failures import CellsFailed
from tests.contract.adversary import Spy
from tests.contract.points import only


def spied(out: Path, stack: bool = True) -> Any:
    """The spy's class after a run; it looks at what it is given and, if asked, at the stack."""
    plugin = Path(__file__).with_name("adversary.py")
    spy = METHODS.load(METHODS.add_file(plugin)).cls
    spy.found.clear()
    spy.looks.clear()
    spy.stack = stack
    promptbench.run(
        "adversary",
        "base_to_new",
        datasets=["counts"],
        shots=2,
        limit=100,
        set=["Recipe.epochs=1"],
        out=out,
        baseline=False,
        quiet=True,
    )
    return spy


def test_a_spy_is_refused_before_it_sees_anything(tmp_path: Path) -> None:
    """Its error is not for the method to hide, and the file of the plugin is where it looked."""
    with pytest.raises(CellsFailed, match=r"the call stack .*adversary\.py, line \d+"):
        spied(tmp_path)
    spy = METHODS.load("adversary").cls
    assert (spy.looks, spy.found) == ([], [])


def test_what_a_method_is_given_leads_to_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "watched", lambda cls: nullcontext())
    spy = spied(tmp_path, stack=False)
    assert {"__init__", "prepare", "losses", "logits"} <= set(spy.looks)
    assert spy.found == []


def test_unwatched_the_spy_would_see_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "watched", lambda cls: nullcontext())
    found = " ".join(spied(tmp_path).found)
    assert all(
        word in found for word in ("__init__: Cell", "losses: ", "logits: ", "classes='new'")
    )


class Recogniser(Spy):
    """Knows its training classes again and treats them in another way."""

    def look(self, when: str, *arguments: Any) -> None:
        """Looks nowhere: the class list tells."""

    def prepare(self, classes: ClassSet) -> Tensor:
        features = super().prepare(classes)
        return features * (2.0 if classes.names == self.classes.names else 1.0)


class Rememberer(Recogniser):
    """Counts how often it was asked: the base classes come first."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.asked = 0

    def prepare(self, classes: ClassSet) -> Tensor:
        self.asked += 1
        return Spy.prepare(self, classes) * (2.0 if self.asked < 2 else 1.0)


class Batcher(Recogniser):
    """Looks at the rest of the batch."""

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        logits = super().logits(images, prepared)
        return logits - logits.mean(dim=0)


class Orderer(Recogniser):
    """Prefers the classes at the head of the list."""

    def prepare(self, classes: ClassSet) -> Tensor:
        features = Spy.prepare(self, classes)
        return features * torch.linspace(1.5, 1.0, len(features)).unsqueeze(1)


@pytest.mark.parametrize(
    ("method", "point"),
    [
        (Recogniser, "A class has one logit, whatever else is on the list"),
        (Rememberer, "The same question has the same answer after other questions"),
        (Batcher, "A sample alone has the logits it has in a batch"),
        (Orderer, "Permuting the class list permutes the logits"),
    ],
)
def test_what_class_names_alone_could_tell_breaks_the_contract(
    method: type[Method], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, point)
    broken = [verdict.point for verdict in examine(method, seed=1) if not verdict.held]
    assert any(text.startswith(point) for text in broken), broken


def test_the_spy_alone_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spy, "look", lambda *_: None)
    assert all(verdict.held for verdict in examine(Spy))


def test_libraries_of_the_system_and_of_the_user_ask_for_themselves(tmp_path: Path) -> None:
    """An environment on top of another one imports from both; a project's own folder is none."""
    system, user, own = tmp_path / "dist-packages", tmp_path / "site-packages", tmp_path / "project"
    found = asking._libraries([str(system), str(own), str(user), ""])
    assert found[-2:] == (f"{system}{os.sep}", f"{user}{os.sep}")
    assert not any(folder.startswith(str(own)) for folder in found)

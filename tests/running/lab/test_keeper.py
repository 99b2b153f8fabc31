"""Towers are looked at before what they have computed is kept, and for a checkpoint in a share of
the time only."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptbench.contract import tiny_towers
from promptbench.running.lab import keeper
from promptbench.running.lab.keeper import SHARE, Keeper, TowersChanged


class Clock:
    """Seconds that pass when they are told to; to look at the towers takes one of them."""

    def __init__(self) -> None:
        self.now, self.looks = 1000.0, 0

    def look(self, towers: Any) -> Any:
        self.now += 1.0
        self.looks += 1
        return fingerprint(towers)


fingerprint = keeper.fingerprint


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: own.now)
    monkeypatch.setattr(keeper, "fingerprint", own.look)
    return own


@pytest.fixture
def kept(clock: Clock) -> Keeper:
    found: Any = SimpleNamespace(towers=tiny_towers())
    own = Keeper(lambda: found)
    clock.looks = 0
    return own


def spoil(kept: Keeper) -> None:
    kept.backbone.towers.model.ln_final.bias.data.add_(1.0)


def test_looks_take_a_share_of_the_time(clock: Clock, kept: Keeper) -> None:
    kept.refuse_changed_of_late()
    assert clock.looks == 1
    kept.refuse_changed_of_late()
    clock.now += 1 / SHARE - 0.01
    kept.refuse_changed_of_late()
    assert clock.looks == 1
    clock.now += 0.02
    kept.refuse_changed_of_late()
    assert clock.looks == 2


def test_a_change_between_two_looks_is_found_by_the_next(clock: Clock, kept: Keeper) -> None:
    kept.refuse_changed_of_late()
    spoil(kept)
    kept.refuse_changed_of_late()
    clock.now += 1 / SHARE
    with pytest.raises(TowersChanged, match=r"ln_final\.bias holds other numbers"):
        kept.refuse_changed_of_late()


def test_what_stays_is_kept_after_a_look_of_its_own(kept: Keeper) -> None:
    kept.refuse_changed_of_late()
    spoil(kept)
    with pytest.raises(TowersChanged, match=r"ln_final\.bias holds other numbers"):
        kept.refuse_changed()


def test_towers_that_cannot_be_read_any_more_were_changed(kept: Keeper) -> None:
    norm: Any = kept.backbone.towers.model.ln_final
    norm.register_buffer("empty", torch.zeros(0, 4))  # no look has rows of it to hash
    with pytest.raises(TowersChanged, match=r"they cannot be read any more, RuntimeError: .*-1"):
        kept.refuse_changed()


def test_a_look_without_the_memory_for_it_says_nothing_of_the_towers(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(keeper, "fingerprint", full)
    with pytest.raises(torch.OutOfMemoryError):
        kept.refuse_changed()

"""Streams: what a block draws is a function of its stream, and the caller's generators stay."""

from __future__ import annotations

import random
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from promptbench.support.seeding import host_state, restore_host, seeded, stream

Drawn = tuple[float, float, float, float]


def draws() -> Drawn:
    """One number from every global generator; gauss and randn keep a second one for later."""
    return (
        float(torch.rand(())),
        float(np.random.randn()),
        random.random(),
        random.gauss(0.0, 1.0),
    )


def test_a_block_draws_from_its_stream_alone() -> None:
    with seeded(1, "a", "b"):
        first = draws()
    draws()
    with seeded(1, "a", "b"):
        assert draws() == first
    with seeded(1, "a", "c"):
        assert all(ours != theirs for ours, theirs in zip(draws(), first, strict=True))


def test_the_callers_generators_go_on_as_if_nothing_was_drawn() -> None:
    with seeded(0, "outer"):
        expected = [draws() for _ in range(3)]
    with seeded(0, "outer"):
        assert draws() == expected[0]
        with seeded(7, "inner"):
            draws()
        assert draws() == expected[1]
        with pytest.raises(ZeroDivisionError), seeded(7, "broken"):
            draws()
            raise ZeroDivisionError
        assert draws() == expected[2]


def test_other_threads_draw_from_the_stream_as_well() -> None:
    found: list[Drawn] = []
    with seeded(3, "thread"):
        here = draws()
    with seeded(3, "thread"):
        thread = threading.Thread(target=lambda: found.append(draws()))
        thread.start()
        thread.join()
    assert found == [here]


@pytest.mark.parametrize("gpus", [0, 2])
def test_gpus_draw_from_the_stream_where_there_are_some(
    gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext(seeds.clear()))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    with seeded(3, "gpu"):
        assert seeds == ([stream(3, "gpu")] if gpus else [])


def test_host_generators_go_on_from_their_state() -> None:
    with seeded(2, "state"):
        draws()  # each of the two normal draws has left a second number behind
        state = host_state()
        first = [draws()[1:] for _ in range(2)]
        restore_host(state)
        assert [draws()[1:] for _ in range(2)] == first

"""Sharing out nodes: a worker for each GPU, or each share of it, or for some CPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.errors import UserError
from promptbench.executors._ray import engine, shares
from promptbench.executors._ray.engine import Node
from promptbench.executors._ray.shares import Places, Terms
from promptbench.planning.machine import Machine
from promptbench.planning.profiles import Profile

BIG, SMALL = Node("1", "big", gpus=2, cpus=16), Node("2", "small", gpus=0, cpus=6)
NODES = {node.id: node for node in (BIG, SMALL)}
TERMS = Terms("auto", per_gpu=1, cpus=4, mixed=False, wait=1)


def found(terms: Terms) -> list[tuple[str, float, float, str]]:
    slots = shares.slots(NODES, terms)
    return [(slot.node.name, slot.cpus, slot.gpus, slot.device) for slot in slots]


def test_each_gpu_has_a_worker_and_is_what_it_computes_on() -> None:
    assert found(TERMS) == [("big", 1, 1, "cuda")] * 2
    assert shares.idle(NODES, TERMS) == (
        "without a GPU, and without a worker: small; `cpus` in [ray] of a machine profile lets them"
    )


def test_several_workers_share_a_gpu() -> None:
    slots = shares.slots(NODES, Terms("cuda", per_gpu=3, cpus=4, mixed=False, wait=1))
    assert len(slots) == 6 and 3 * slots[0].gpus <= 1 < 4 * slots[0].gpus


def test_cpus_compute_where_they_are_asked_for_or_nothing_else_is_there() -> None:
    on_cpus = [("big", 4, 0, "cpu"), ("small", 4, 0, "cpu"), *[("big", 4, 0, "cpu")] * 3]
    assert found(Terms("cpu", 1, cpus=4, mixed=False, wait=1)) == on_cpus
    mixed = found(Terms("auto", 1, cpus=4, mixed=True, wait=1))
    assert sorted(mixed) == [("big", 1, 1, "cuda")] * 2 + [("small", 4, 0, "cpu")]
    assert shares.slots({SMALL.id: SMALL}, TERMS)[0].device == "cpu"
    assert shares.slots({SMALL.id: SMALL}, Terms("cuda", 1, 4, False, 1)) == []


def test_places_are_free_until_they_are_taken_or_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "nodes", lambda: NODES)
    terms = Terms("cpu", 1, cpus=4, mixed=False, wait=1)
    places = Places(terms, jobs=1)
    assert places.free([], 9) == [] and places.look() is None  # nothing is known before
    first, *others = free = places.free([], 9)
    assert len(free) == 5
    assert places.free([first], 9) == others and places.free([first], 3) == others[:2]
    assert len(Places(terms, jobs=2).free([], 9)) == 0
    few = Places(terms, jobs=2)
    few.look()
    assert few.free([first], 9) == others[:1]
    places.give_up(first, "no disk")
    assert places.free([], 9) == others and places.given_up == {first.place: "big: no disk"}


def test_a_place_is_given_up_after_deaths_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "nodes", lambda: NODES)
    places = Places(Terms("cpu", 1, cpus=4, mixed=False, wait=1), jobs=1)
    places.look()
    slot, other, *_ = places.free([], 9)
    assert [places.has_lost(slot, "killed") for _ in range(2)] == [False, False]
    places.has_computed(slot)
    assert not places.has_lost(other, "killed")
    assert [places.has_lost(slot, f"death {n}") for n in range(3)] == [False, False, True]
    assert places.given_up == {slot.place: f"{slot.node.name}: death 2"}
    assert places.has(BIG) and not places.has(Node("3", "gone", gpus=0, cpus=1))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"cpu": 2}, "lab.toml: ray.cpu: no such key; did you mean 'cpus'"),
        ({"cpus": 0}, "ray.cpus: it must be a number above 0, not 0"),
        ({"cpus": 1.5}, "ray.cpus: it must be a whole number"),
        ({"wait": "long"}, "ray.wait: it must be a number above 0, not 'long'"),
    ],
)
def test_what_a_profile_cannot_say_is_refused(table: dict[str, object], said: str) -> None:
    profile = Profile(path=Path("lab.toml"), tables={"ray": table})
    with pytest.raises(UserError, match=said.replace("(", "[(]")):
        shares.terms_of(Machine(), profile)


def test_one_gpu_by_its_number_contradicts_ray() -> None:
    with pytest.raises(UserError, match="Ray gives each worker its GPU; use --device cuda"):
        shares.terms_of(Machine(device="cuda:1"), Profile())

"""Steps that are replayed give the numbers of the steps themselves, or are not replayed.

A graph on a CPU is one that calls the step again; what CUDA's do is tried where there is a GPU.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from promptbench.contract import TRAIN, tiny_towers
from promptbench.contract.towers import STANDARD
from promptbench.core.method import ClassSet, Method
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods.cliplora import CLIPLoRA
from promptbench.methods.coop import CoOp
from promptbench.models.towers import Towers
from promptbench.running.lab.calling import built
from promptbench.running.lab.compute import Compute
from promptbench.running.training import descent as module
from promptbench.running.training.descent import Descent
from promptbench.running.training.graphs import Graph, Learned, Losses, Step, _Outside
from promptbench.running.training.step import Stepper
from promptbench.running.training.waits import NeverWaiting, NotForGraphs

CPU = torch.device("cpu")
STEPS = 22
SHALLOW = replace(STANDARD, layers=3)  # what is compared here are steps, not towers
Precision = Literal["fp32", "fp16"]


class Again(Graph):
    """A graph that computes its step again, with its own tensors for gradients."""

    recorded: ClassVar[int] = 0
    replays: ClassVar[int] = 0

    def __init__(self, step: Step, images: Tensor, labels: Tensor, learned: Learned) -> None:
        type(self).recorded += 1
        self._images, self._labels, self._step = images.clone(), labels.clone(), step
        step(images.clone(), labels.clone())

    def replay(self, images: Tensor, labels: Tensor) -> Losses:
        type(self).replays += 1
        return self._step(images.clone(), labels)


class Stale(Again):
    """One that does not see its batch."""

    def replay(self, images: Tensor, labels: Tensor) -> Losses:
        return super().replay(torch.zeros_like(images), labels)


class Aging(Again):
    """One that is right for so many replays."""

    right: ClassVar[int]

    def replay(self, images: Tensor, labels: Tensor) -> Losses:
        terms, total = super().replay(images, labels)
        return terms, total + (type(self).replays > self.right)


class Failing(Again):
    """One that can be recorded and not replayed."""

    def replay(self, images: Tensor, labels: Tensor) -> Losses:
        super().replay(images, labels)
        raise RuntimeError("CUDA error: invalid argument")


class Refusing(Again):
    def __init__(self, step: Step, images: Tensor, labels: Tensor, learned: Learned) -> None:
        super().__init__(step, images, labels, learned)
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors")


class Steady(CoOp):
    steady = True


class Dropping(CLIPLoRA):
    """What it draws comes from the device's generator, which is torch's on a CPU."""

    steady = True

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes, blocks=(1, 2, 3))


class Counting(Steady):
    """One that is not steady, although it says so."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        self.seen += 1
        return super().losses(images, labels, prepared)


class Unsteady(CoOp):
    steady = False


def trained(
    cls: type[Method], graphs: bool = True, precision: Precision = "fp32", lr: float = 0.05
) -> tuple[list[float], list[str], Method]:
    """The losses of a short training, what was told, and the method."""
    told: list[str] = []
    compute = Compute(CPU, precision)
    torch.manual_seed(3)
    towers = tiny_towers(shape=SHALLOW)
    if precision != "fp32":
        towers.cast(compute.dtype)
    method = built(compute, cls, towers, TRAIN)
    stepper = Stepper(method, Recipe(lr=lr), compute)
    descent = Descent(method, TRAIN, stepper, compute, graphs, told.append)
    losses = []
    for number in range(STEPS):
        images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(number))
        labels = torch.arange(4) % len(TRAIN)
        terms, total = descent.losses(images, labels, STEPS - number)
        assert all(not term.requires_grad for term in (*terms.values(), total))
        stepper.follow_gradient()
        losses.append(float(total))
    graph = weakref.ref(descent._graph) if descent._graph is not None else None
    gc.disable()  # no cycle may keep the memory of a graph
    descent.end()
    assert graph is None or graph() is None
    gc.enable()
    assert all(parameter.grad is None for parameter in method.parameters())
    return losses, told, method


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of CPUs: the device has no say."""
    monkeypatch.setattr(module, "can_replay", lambda method, compute: type(method).steady)


def use(monkeypatch: pytest.MonkeyPatch, graph: type[Again], **counts: int) -> type[Again]:
    own = type(graph.__name__, (graph,), {"recorded": 0, "replays": 0, **counts})
    monkeypatch.setattr(module, "Graph", own)
    return own


def same(one: Method, other: Method) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("cls", [Steady, Dropping])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_replayed_steps_are_the_steps(
    cls: type[Method], precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = use(monkeypatch, Again)
    losses, told, method = trained(cls, precision=precision)
    expected, _, eager = trained(cls, graphs=False, precision=precision)
    assert losses == expected and same(method, eager) and not told
    assert graph.recorded == 1 and graph.replays == STEPS  # one beside the step that is recorded


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(
    ("kind", "replays", "why"),
    [
        (Stale, 1, "its first replay differs from the step itself"),
        (Refusing, 0, "operation not permitted when stream is capturing"),
        (Failing, 1, "invalid argument"),
    ],
)
def test_a_graph_that_is_of_no_use_leaves_the_steps_as_they_are(
    kind: type[Again], replays: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = use(monkeypatch, kind)
    losses, told, method = trained(Dropping)
    expected, _, eager = trained(Dropping, graphs=False)
    assert losses == expected and same(method, eager)
    assert (graph.recorded, graph.replays) == (1, replays)
    (said,) = told
    assert said.startswith("its steps are not replayed as a CUDA graph, which takes longer: ")
    assert why in said


@pytest.mark.usefixtures("on_cpu")
def test_a_step_that_does_not_fit_beside_its_graph_is_computed_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, Again)
    graphs: list[weakref.ref[Graph]] = []
    compute, compared = Descent._computed, Descent._compared

    def looked_at(self: Descent, images: Tensor, labels: Tensor) -> Losses:
        assert self._graph is not None
        graphs.append(weakref.ref(self._graph))
        with monkeypatch.context() as patched:
            patched.setattr(Descent, "_computed", full)
            return compared(self, images, labels)

    def full(self: Descent, images: Tensor, labels: Tensor) -> Losses:
        found = compute(self, images, labels)
        if graphs[-1]() is not None and len(graphs) == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return found

    monkeypatch.setattr(Descent, "_compared", looked_at)
    losses, told, method = trained(Dropping)
    assert len(graphs) == 3 and graphs[-1]() is None
    assert len(told) == 1 and "does not hold a step beside its CUDA graph" in told[0]
    expected, _, eager = trained(Dropping, graphs=False)
    assert losses == expected and same(method, eager)


@pytest.mark.usefixtures("on_cpu")
def test_recording_leaves_the_memory_of_the_towers_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, Again)
    record, memos = Descent._record, list[tuple[Any, dict[Any, Any]]]()

    def recorded(self: Descent, *args: Any) -> None:
        text = self._method.towers.text
        memos.append((text._memo, dict(text._memo)))
        with monkeypatch.context() as patched:
            patched.setattr(module, "Graph", Elsewhere)
            record(self, *args)
        memos.append((text._memo, dict(text._memo)))

    class Elsewhere(Again):
        def __init__(self, step: Step, images: Tensor, labels: Tensor, learned: Learned) -> None:
            super().__init__(step, images, labels, learned)
            memos.append((None, {}))

    monkeypatch.setattr(Descent, "_record", recorded)
    trained(Steady)
    (before, had), _, (after, has) = memos
    assert before is after and had and had == has


@pytest.mark.usefixtures("on_cpu")
def test_short_trainings_and_other_batches_are_not_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = use(monkeypatch, Again)
    monkeypatch.setattr(module, "_FEWEST", STEPS + 1)
    assert trained(Steady)[1] == [] and not graph.recorded
    one, labels = torch.zeros(4, 3, 2, 2), torch.zeros(4).long()
    made = Again(lambda images, labels: ({}, images.sum()), one, labels, {})
    assert made.fits(one, labels) and not made.fits(one[:3], labels[:3])
    assert not made.fits(one.half(), labels)


@pytest.mark.usefixtures("on_cpu")
def test_class_prompts_in_chunks_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = use(monkeypatch, Again)
    monkeypatch.setattr(Towers, "chunk_in_use", 2)
    assert "in chunks" in trained(Steady)[1][0] and not graph.recorded


def test_equal_is_equal() -> None:
    nan, inf = torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.inf])
    assert module._same(nan, nan.clone()) and module._same(inf, inf.clone())
    assert not module._same(nan, torch.tensor([1.0, 0.0])) and not module._same(nan, inf)
    assert not module._same(inf, torch.tensor([1.0, torch.finfo().max]))
    assert not module._same(nan[:1], nan[0]) and not module._same(nan, nan.double())


@pytest.mark.usefixtures("on_cpu")
def test_a_method_whose_losses_change_it_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Again)
    losses, told, method = trained(Counting)
    expected, _, eager = trained(Counting, graphs=False)
    assert losses == expected and same(method, eager) and int(method.seen) == STEPS
    assert len(told) == 1 and "its losses change 'seen'" in told[0]


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(("right", "found_after"), [(1, 1), (3, 4), (8, 8), (19, STEPS - 1)])
def test_a_replay_that_differs_later_ends_the_training(
    right: int, found_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a power of two, or at the last step: never is it left unsaid."""
    use(monkeypatch, Aging, right=right)
    with pytest.raises(UserError, match=rf"not alike: after {found_after} steps? .*--no-graphs"):
        trained(Steady)


@pytest.mark.usefixtures("on_cpu")
def test_who_does_not_say_steady_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = use(monkeypatch, Again)
    trained(Unsteady)
    trained(Steady, graphs=False)
    assert not graph.recorded


def test_nothing_is_recorded_on_a_cpu_or_of_compiled_towers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method, gpu = CoOp(tiny_towers(), TRAIN), Compute(torch.device("cuda"), "fp32")
    steady, unsteady = Steady(method.towers, TRAIN), Unsteady(method.towers, TRAIN)
    assert not module.can_replay(steady, gpu)  # sums may come in any order
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert module.can_replay(steady, gpu) and not module.can_replay(unsteady, gpu)
    assert not module.can_replay(steady, Compute(CPU, "fp32"))
    monkeypatch.setattr(type(method.towers), "is_compiled", True)
    assert not module.can_replay(steady, gpu)


def test_a_graph_holds_what_it_reads_and_not_what_it_makes() -> None:
    x, weight, bias = torch.randn(2, 3), torch.randn(3, 3, requires_grad=True), torch.randn(3)
    with _Outside() as outside:
        hidden = (x @ weight).relu()
        (hidden + bias).sum().backward()
    held = {tensor.data_ptr() for tensor in outside.tensors}
    assert held >= {t.data_ptr() for t in (x, weight, bias)} and hidden.data_ptr() not in held


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (lambda x: x.sum().item(), "_local_scalar_dense"),
        (lambda x: bool((x > 0).any()), "_local_scalar_dense"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x[x > 0], r"\(index\)"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.index_put_((x > 0,), x[x[:, 0].argsort()].flatten()), "index_put_"),
        (lambda x: torch.unique(x), "unique"),
        (lambda x: torch.linalg.inv(x @ x.T), "_linalg_check_errors"),
        (lambda x: torch.normal(x, x.abs()), "normal"),
    ],
)
def test_steps_that_wait_are_refused_before_they_are_recorded(waiting: Any, said: str) -> None:
    with NeverWaiting(), pytest.raises(NotForGraphs, match=f"waits for numbers of the GPU.*{said}"):
        waiting(torch.randn(3, 4))


def test_what_is_sent_is_refused_before_it_is_recorded() -> None:
    elsewhere = torch.zeros(3, device="meta")
    with NeverWaiting():
        for sending in (
            lambda: torch.zeros(3).to("meta", non_blocking=True),
            lambda: elsewhere.copy_(torch.zeros(3)),
            lambda: torch.ops.aten.lift_fresh(elsewhere),  # torch.tensor([...], device=gpu)
        ):
            with pytest.raises(NotForGraphs, match="sends numbers between host and GPU"):
                sending()
        _ = elsewhere + torch.tensor(2.0)  # a number of the host is part of the operation


def test_steps_that_do_not_wait_pass() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    with NeverWaiting():
        y = x[torch.tensor([0, 2])] * torch.tensor(2.0)
        y = torch.where(y > 0, y, 0).index_put((y > 1,), torch.tensor(1.0))
        y.to(torch.float64).sum().backward()


@pytest.mark.usefixtures("on_cpu")
def test_a_recording_that_leaves_torch_in_disorder_ends_the_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, Refusing)
    monkeypatch.setattr(module, "is_lost", lambda device: True)
    with pytest.raises(RuntimeError, match="in disorder; --no-graphs computes them one by one"):
        trained(Steady)

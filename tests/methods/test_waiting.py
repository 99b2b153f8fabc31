"""No step of any method waits for a GPU, shown without one.

Towers, method and batches lie on torch's meta device, whose tensors have no numbers, so that
whoever reads one fails. Noted are copies from the host, for which a GPU is waited for as well, and
operations that a GPU can only repeat by sorting.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from promptbench.contract import World, tiny_towers
from promptbench.core.method import Method, Solver
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS
from promptbench.data.loader import Batch
from promptbench.running.lab.calling import built, learning, losses_of
from promptbench.running.lab.compute import Compute
from promptbench.running.predicting import predict as predicting
from promptbench.running.predicting.feature_cache import FeatureCache
from promptbench.running.predicting.frozen_features import FrozenFeatures
from promptbench.running.training.step import Stepper
from promptbench.support.progress import Task
from promptbench.support.seeding import seeded
from tests.short_form import every

META = torch.device("meta")
COMPUTE = Compute(META, "fp32")
TOLD = World.standard().told(True).train  # with texts, for methods that use them
MIDDLE = {"ctx_init": "", "class_token_position": "middle"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in METHODS.names()},
    # Sixty templates push the class list out of the tower's memory, once.
    "promptsrc": ("promptsrc", {"templates": ["a photo of a {}."]}),
    "coop-middle": ("coop", {"ctx_init": "", "class_token_position": "middle"}),
    "coop-csc": ("coop", {"ctx_init": "", "csc": True}),
}


class Watch(TorchFunctionMode):
    """Notes, of what is done inside it, what a GPU would be waited for or would sort for."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.sorted: list[str] = []
        self._operations = _Operations(self)

    def __enter__(self) -> Watch:
        self._operations.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        super().__exit__(*about)
        self._operations.__exit__(*about)

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        # The two ways from Python's numbers to a device, which no operation shows.
        made = getattr(func, "__name__", "") in ("tensor", "as_tensor")
        listed = func is Tensor.__getitem__ and any(isinstance(x, list) for x in _flat(args[1]))
        if listed or (made and torch.device((kwargs or {}).get("device") or "cpu") == META):
            self.sent.append(str(func))
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    SORTING = ("index_put", "index_add", "index_copy", "scatter", "embedding_dense_backward")

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        on_host = any(x.device != META and x.dim() for x in tensors)  # plain numbers are sent along
        if on_host and any(x.device == META for x in tensors):
            self._watch.sent.append(str(func))
        if any(word in str(func) for word in self.SORTING):
            self._watch.sorted.append(str(func))
        return result


def _flat(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch has none for the meta device."""
    off = torch.autocast("cpu", enabled=False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: off)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)


def opened(variant: str, chunk: int | None = None) -> Method:
    name, settings = VARIANTS[variant]
    towers = tiny_towers()
    with seeded(0, "waiting"):
        cpu = Compute(torch.device("cpu"), "fp32")
        method = built(cpu, partial(METHODS.load(name).cls, **settings), towers, TOLD)
    towers.forget()
    towers.class_chunk = chunk
    towers.model.to(META)
    return method.to(META)


def images() -> Tensor:
    return torch.zeros(2, 3, 16, 16, device=META)


@pytest.mark.parametrize(("variant", "chunk"), [*every(5, list(VARIANTS), [None]), ("maple", 2)])
def test_a_training_step_reads_sends_and_sorts_nothing(variant: str, chunk: int | None) -> None:
    method = opened(variant, chunk)
    if isinstance(method, Solver) or not list(method.parameters()):
        pytest.skip("it is not trained by steps")
    stepper = Stepper(method, Recipe(), COMPUTE)
    stepper.optimizer = Recipe().build_optimizer(method, fused=False)  # meta has no fused one
    labels = torch.zeros(2, dtype=torch.long, device=META)
    watch = Watch()
    shape = (2, method.views) if method.views > 1 else (2,)
    with watch:
        for step in range(2):
            shown = torch.zeros(*shape, 3, 16, 16, device=META)
            terms, total = learning(COMPUTE, losses_of, method, TOLD, shown, labels)
            assert stepper.step(total, terms)
            if step == 0:
                watch.sent.clear()  # the first of a class list makes the tables
    assert not watch.sent and not watch.sorted


@pytest.mark.parametrize(
    ("variant", "known"), [*every(5, list(VARIANTS), [False]), ("zeroshot", True)]
)
def test_an_evaluation_batch_reads_its_predictions_and_no_more(
    variant: str, known: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method, watch = opened(variant), Watch()
    read: list[int] = []

    def kept(logits: Tensor, *_: object) -> list[tuple[str, list[float]]]:
        read.append(len(logits))
        return []

    monkeypatch.setattr(predicting, "_kept", kept)
    features = torch.zeros(100, method.towers.embed_dim) if known else None
    monkeypatch.setattr(FeatureCache, "get", lambda *_: features)

    def batches() -> Iterator[Batch]:
        for number in range(3):
            if number == 2:  # the first makes the tables, and where features are collected the next
                watch.sent.clear()
            yield Batch(images(), torch.zeros(2, dtype=torch.long), tuple("ab"))

    rule = predicting.rule_of(method, "unified", "none")
    frozen = FrozenFeatures(FeatureCache(tmp_path), "key", 100)
    with watch:
        predicting.predict(method, TOLD, batches(), rule, COMPUTE, Task(), frozen)
    assert read == [2] * 3
    assert len(watch.sent) == known  # the batch's features, where they are known

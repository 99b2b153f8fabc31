"""What a recording asks of streams, in which order; with streams that only take notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from promptbench.running.training import graphs
from promptbench.running.training.graphs import Graph, Losses
from promptbench.running.training.waits import NotForGraphs

IMAGES, LABELS = torch.ones(2, 3), torch.zeros(2, dtype=torch.int64)


class Stream:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self._log = name, log

    def wait_stream(self, other: Stream) -> None:
        self._log.append(f"{self.name} waits for {other.name}")


class Recorded:
    """In place of a CUDA graph: a replay computes nothing."""

    def replay(self) -> None:
        pass


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    current, aside = Stream("current", found), Stream("aside", found)

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        found.append(f"on {stream.name}")
        try:
            yield
        finally:
            found.append(f"off {stream.name}")

    @contextmanager
    def recording(graph: Any, stream: Stream, **_: Any) -> Iterator[None]:
        found.append(f"recording on {stream.name}")
        yield

    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: current)
    monkeypatch.setattr(graphs, "_aside", lambda _: aside)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: found.append(f"to {stream.name}"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorded)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    return found


def test_a_recording_waits_both_ways_and_holds_what_it_reads(log: list[str]) -> None:
    weight, learned = torch.full((3,), 2.0), nn.Parameter(torch.ones(3))

    def step(images: Tensor, labels: Tensor) -> Losses:
        log.append("step")
        total = (images * weight * learned).sum()
        total.backward()
        return {"ce": total.detach()}, total.detach()

    graph = Graph(step, IMAGES, LABELS, {"learned": learned})
    assert log == [
        "aside waits for current",
        *("on aside", "step", "step", "step", "off aside"),
        "current waits for aside",
        *("recording on aside", "step", "to current"),
    ]
    held = {tensor.data_ptr() for tensor in graph._kept}
    assert {weight.data_ptr(), learned.data_ptr(), graph._images.data_ptr()} <= held
    gradient = learned.grad
    learned.grad = None
    graph.replay(IMAGES, LABELS)
    assert learned.grad is gradient is not None


@pytest.mark.parametrize("failing", [1, 3])
def test_what_fails_before_the_recording_is_waited_for_too(log: list[str], failing: int) -> None:
    """Whoever puts back what it has changed does so on the current stream."""
    calls: list[int] = []

    def step(images: Tensor, labels: Tensor) -> Losses:
        calls.append(1)
        if len(calls) == failing:
            raise NotForGraphs("it waits for the GPU")
        return {}, images.sum()

    with pytest.raises(NotForGraphs):
        Graph(step, IMAGES, LABELS, {})
    assert log == [
        "aside waits for current",
        *("on aside", "off aside"),
        "current waits for aside",
    ]

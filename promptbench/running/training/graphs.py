"""A step as one CUDA graph: hundreds of kernels that are launched together.

At a small batch a kernel is shorter than its launch, and a GPU waits for the host nine tenths of
the time. A graph holds the kernels with the addresses that they read and write; what those hold is
the caller's affair, and kept alive here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from promptbench.running.training.waits import NeverWaiting, tensors_in

Losses = tuple[dict[str, Tensor], Tensor]  # terms, and what is minimised
Step = Callable[[Tensor, Tensor], Losses]  # from images and labels; gradients end up in `.grad`
Learned = Mapping[str, nn.Parameter]


class Graph:
    """A step, recorded with images and labels of one shape; `torch.cuda.graphs` says what that asks
    of it."""

    def __init__(self, step: Step, images: Tensor, labels: Tensor, learned: Learned) -> None:
        """Record `step` on these images and labels, of which copies are read; it leaves no trace in
        parameters, but takes gradients away, and draws.

        Raises:
            NotForGraphs: it waits for the GPU.
            RuntimeError: it does something else that a graph cannot hold. Where that is noticed
                amid the recording, torch's generator can be of no use any more.
        """
        self._images, self._labels = images.clone(), labels.clone()
        current, aside = torch.cuda.current_stream(images.device), _aside(images.device)
        aside.wait_stream(current)
        try:
            with torch.cuda.stream(aside):
                # In the first ones libraries make their workspaces, and towers remember.
                for watch in (nullcontext(), nullcontext(), NeverWaiting()):
                    _without_gradients(learned)
                    with watch:
                        step(images.clone(), labels.clone())
        finally:
            current.wait_stream(aside)  # also before the caller undoes what a failed one has done
        _without_gradients(learned)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads send batches meanwhile, which is not part of the step.
        recording = torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local")
        try:
            with recording, _Outside() as outside:
                self._losses = step(self._images, self._labels)
        finally:
            torch.cuda.set_stream(current)  # torch leaves another one if ending a recording fails
        self._kept = outside.tensors
        self._gradients = [(parameter, parameter.grad) for parameter in learned.values()]

    def fits(self, images: Tensor, labels: Tensor) -> bool:
        """Whether it was recorded for such a batch."""
        return all(
            own.shape == given.shape and own.dtype == given.dtype
            for own, given in ((self._images, images), (self._labels, labels))
        )

    def replay(self, images: Tensor, labels: Tensor) -> Losses:
        """The losses of a batch, with its gradients in `.grad`; all of them live until the next
        replay."""
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return self._losses


class _Outside(TorchDispatchMode):
    """Holds what operations read that none of them has made, such as weights and frozen
    activations: a graph knows their addresses only."""

    def __init__(self) -> None:
        super().__init__()
        self._made: set[int] = set()
        self._held: dict[int, Tensor] = {}

    @property
    def tensors(self) -> list[Tensor]:
        return list(self._held.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for read in tensors_in((args, kwargs or {})):
            place = read.untyped_storage().data_ptr()
            if place not in self._made:
                self._held.setdefault(place, read)
        result = func(*args, **(kwargs or {}))
        self._made.update(made.untyped_storage().data_ptr() for made in tensors_in(result))
        return result


@functools.cache
def _aside(device: torch.device) -> torch.cuda.Stream:
    """The stream of a device on which steps are recorded: libraries keep a workspace for each."""
    return torch.cuda.Stream(device)


def _without_gradients(learned: Learned) -> None:
    for parameter in learned.values():
        parameter.grad = None

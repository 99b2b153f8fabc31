"""The losses of a training's steps and the gradients that they go down, one step after the other.

On a GPU, steps of a method whose steps are alike (`Method.steady`) are replayed as a CUDA graph.
That changes no bit, which is not taken on trust: the step itself is computed beside the replay when
the graph is recorded, then ever more rarely, and at the last step. Where recording fails, or the
first replay differs, steps are computed as ever, and the listener hears why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, Method
from promptbench.errors import UserError, one_line
from promptbench.isolation.entering import enter, learnables
from promptbench.models.gpu_errors import is_lost, is_out_of_memory
from promptbench.running.lab.calling import learning, losses_of
from promptbench.running.lab.compute import Compute
from promptbench.running.training.graphs import Graph, Losses
from promptbench.running.training.step import Stepper
from promptbench.running.training.waits import NotForGraphs
from promptbench.support.prose import counted
from promptbench.support.seeding import undisturbed

_FEWEST = 16  # steps for which a graph is recorded, which takes as long as a few of them


class Descent:
    """Losses and gradients of steps by the optimiser of a `Stepper`.

    Args:
        graphs: whether steps may be replayed, where the device and the method are for it.
        tell: hears why they are not, where they were to be.
    """

    def __init__(
        self,
        method: Method,
        classes: ClassSet,
        stepper: Stepper,
        compute: Compute,
        graphs: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._method, self._classes = method, classes
        self._stepper, self._compute, self._tell = stepper, compute, tell
        self._may = graphs and can_replay(method, compute)
        self._graph: Graph | None = None
        self._replayed = 0

    @property
    def replays(self) -> bool:
        """Whether a graph is there."""
        return self._graph is not None

    def begin_stage(self) -> None:
        """Forget the graph: another stage learns something else."""
        self._graph, self._replayed = None, 0

    def end(self) -> None:
        """Give the memory of the graph back, in which gradients lie, too."""
        self.begin_stage()
        for _, parameter in learnables(self._method):  # also of stages before
            parameter.grad = None

    def losses(self, images: Tensor, labels: Tensor, left: int) -> Losses:
        """The loss terms of a batch and what is minimised; the gradient lies in `.grad`, times the
        scale of float16.

        Args:
            images: normalised, on the device, as the method's `losses` takes them.
            labels: int64 [batch].
            left: steps of the stage from this one on.

        Raises:
            UserError: the method's losses and gradients are not what they have to be, or its steps
                are not alike.
        """
        if self._graph is not None and self._graph.fits(images, labels):
            self._replayed += 1
            if left > 1 and self._replayed & (self._replayed - 1):  # not a power of two
                return self._graph.replay(images, labels)
            return self._compared(images, labels)
        before = self._drawn()
        found = self._computed(images, labels)
        if self._may and left >= _FEWEST:
            self._record(images, labels, found, before)
        return found

    def _computed(self, images: Tensor, labels: Tensor) -> Losses:
        """A step as it is written."""
        self._compute.begin_step()
        terms, total = enter(
            learning, self._compute, losses_of, self._method, self._classes, images, labels
        )
        self._stepper.differentiate(total, terms)
        return {name: term.detach() for name, term in terms.items()}, total.detach()

    def _compared(self, images: Tensor, labels: Tensor) -> Losses:
        """A step as it is written, with a look at whether its replay is the same."""
        before = self._drawn()
        try:
            found = self._computed(images, labels)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            found = None
        if found is None:  # beside the graph it does not fit
            self._give_up("the GPU's memory does not hold a step beside its CUDA graph")
            self._return({})  # they lie in its memory
            if self._compute.device.type == "cuda":
                torch.cuda.empty_cache()
            self._draw_from(before)
            return self._computed(images, labels)
        if not self._is_equal(images, labels, found, before):
            raise UserError(
                f"the steps of {type(self._method).title} are not alike: after "
                f"{counted(self._replayed, 'step')} of a CUDA graph, its losses or gradients are "
                "not those of the step itself. Its class says `steady`, which has to be False; "
                "until then use --no-graphs"
            )
        return found

    def _record(self, images: Tensor, labels: Tensor, found: Losses, before: Tensor | None) -> None:
        """Record a graph, if that can be done and replays to the step that is found."""
        if self._method.towers.chunk_in_use is not None:
            self._give_up("class prompts are kept in chunks")
            return
        kept = self._gradients()
        try:
            with undisturbed(), self._undone(), self._method.towers.apart():
                self._graph = Graph(self._computed, images, labels, dict(self._learned()))
            self._return(kept)
            if not self._is_equal(images, labels, found, before):
                self._give_up("its first replay differs from the step itself")
        except NotForGraphs as error:
            self._give_up(str(error))
        except Exception as error:  # of recording; the step itself has worked
            if is_lost(self._compute.device):
                raise RuntimeError(
                    "recording its steps as a CUDA graph has left torch in disorder; --no-graphs "
                    f"computes them one by one ({one_line(error)})"
                ) from error
            self._give_up(one_line(error))
        self._return(kept)
        if not self._may and self._compute.device.type == "cuda":
            torch.cuda.empty_cache()

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Leave the method's tensors as they were before the block.

        Raises:
            RuntimeError: the block has changed one.
        """
        before = {name: (_state(own), own.detach().clone()) for name, own in self._held().items()}
        changed: list[str] = []
        try:
            yield
        finally:
            with torch.no_grad():
                for name, own in self._held().items():
                    if name in before and _state(own) != before[name][0]:
                        changed.append(name)
                        own.copy_(before[name][1])
        if changed:
            raise RuntimeError(f"its losses change {changed[0]!r}")

    def _held(self) -> dict[str, Tensor]:
        """The method's parameters and buffers, whether they are part of its state or not."""
        return {
            **dict(learnables(self._method)),
            **enter(lambda: dict(self._method.named_buffers())),
        }

    def _is_equal(
        self, images: Tensor, labels: Tensor, found: Losses, before: Tensor | None
    ) -> bool:
        """Whether the graph replays to the step that was just computed; its gradient stays the one
        to follow, and the device's generator stays where the step has left it."""
        assert self._graph is not None
        gradients, after = self._gradients(), self._drawn()
        try:
            self._draw_from(before)
            terms, total = self._graph.replay(images, labels)
            replayed = {**terms, "/": total, **_below(self._gradients())}
        finally:
            self._return(gradients)
            self._draw_from(after)
        computed = {**found[0], "/": found[1], **_below(gradients)}
        return replayed.keys() == computed.keys() and all(
            _same(value, replayed[name]) for name, value in computed.items()
        )

    def _give_up(self, why: str) -> None:
        self._may, self._graph = False, None
        self._tell(f"its steps are not replayed as a CUDA graph, which takes longer: {why}")

    def _learned(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, p) for name, p in learnables(self._method) if p.requires_grad]

    def _gradients(self) -> dict[str, Tensor]:
        return {name: p.grad for name, p in self._learned() if p.grad is not None}

    def _return(self, gradients: dict[str, Tensor]) -> None:
        for name, parameter in self._learned():
            parameter.grad = gradients.get(name)

    def _drawn(self) -> Tensor | None:
        """Where the device's generator stands; None where nothing is replayed."""
        if not self._may:
            return None
        device = self._compute.device
        return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()

    def _draw_from(self, state: Tensor | None) -> None:
        device = self._compute.device
        if state is not None and device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        elif state is not None:
            torch.set_rng_state(state)


def can_replay(method: Method, compute: Compute) -> bool:
    """Whether a method's steps can be a CUDA graph on this device, as far as can be told before.

    Where sums have no fixed order, no replay can be compared with its step.
    """
    on_gpu = compute.device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
    return on_gpu and type(method).steady and not method.towers.is_compiled


def _state(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor lies, and how often it was changed in place."""
    return tensor.data_ptr(), tensor._version


def _below(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"/{name}": gradient for name, gradient in gradients.items()}


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal, NaN where NaN is."""
    alike = (a.shape, a.dtype) == (b.shape, b.dtype)
    return alike and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)

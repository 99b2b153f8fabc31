"""What a prompt-learning method is: the contract every plugin fulfils.

A method owns what it learns and nothing else. It is built on frozen towers and a class list, and
answers two questions: the logits of images over a class list, and the loss terms of a batch. It is
never told which dataset, split or shift a sample belongs to: a `ClassSet` is only text.

The class side and the image side are separate. `prepare(classes)` computes everything that depends
on the class list; in evaluation the harness calls it once per class list and reuses the result for
all batches, in training once per step, with gradient. Frozen parts are remembered by the towers.

`promptbench.contract` checks the contract on any method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from promptbench.core.class_list import ClassSet as ClassSet  # part of this interface
from promptbench.core.protocol import Shift
from promptbench.errors import UserError
from promptbench.models.capabilities import OF_CLIP
from promptbench.models.towers import Towers

# "feature space": learned on top of the features of frozen towers. "selective": a learned row for
# class names that were trained on, text for all others.
Paradigm = Literal["zero-shot", "end-to-end", "feature space", "selective", "decoupled", "coupled"]
# What a method's numbers were compared with, and equal: those of its authors' code on the same
# inputs, the equations of its paper in closed form, or nothing.
Equals = Literal["reference code", "equations", "neither"]

Gradients = Mapping[str, Tensor]  # of parameters, by name; one that a loss does not reach is absent
GradientOf = Callable[[Tensor], dict[str, Tensor]]  # from a loss, a scalar, to its gradients

# Annotations of a constructor's parameters: gin refuses other values before anything is computed.
Count = Annotated[int, Field(ge=1)]  # of tokens, blocks, dimensions
CountOrZero = Annotated[int, Field(ge=0)]  # where none of them is a method, too
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Method(nn.Module, ABC):
    """Base class of all methods; see the module's text for the contract.

    Attributes of the class are its card:
        title, paper, paradigm: what tables and `promptbench info` call it.
        extra_data: what it learns from beyond the few shots (LLM text, unlabelled images, ...).
        open_vocabulary: whether it can score classes that it was not trained on.
        requires: optional packages that it imports -> how to install each.
        needs: what it needs of a backbone's towers, by the names of
            `promptbench.models.capabilities`; () of one that only asks for features. One
            that says nothing is taken to need all that CLIP's vision transformers offer.
        vit_b16_parameters: how many parameters it learns on ViT-B/16 with the paper's settings
            (on ImageNet's 1,000 classes, where that matters); None if its author does not say.
        equations_from: where what it computes is written down: the paper's equations or sections,
            the repository and revision of its authors' code.
        equals: what its numbers were compared with, and equal; a test stands behind it.
        passes: how often `solve` or `start_from` is shown the training images; see `Solver`.
        views: how many views of each image `losses` is given, as `Recipe.views` makes them. With
            more than one its images are [batch, views, 3, h, w]; those of `logits` never are.
        stages: how many stages its training has, as `Recipe.stages` shares the steps; see `Staged`.
        steady: whether the steps of a stage are alike, so that a GPU can replay them: `losses` (and
            `gradients`) does the same operations at each, on its arguments, parameters and buffers,
            all of which it leaves as they are, and draws on the device only.
        class_texts: whether it uses sentences about the classes (`ClassSet.texts`), which a run
            then needs and is marked by; a constructor's parameter of this name lets users choose.
        younger: parameters that were added when there were records already -> the values that mean
            what was before. With these they stand in no id, record or configuration.

    A method that is not trained by gradient steps defines `solve` (see `Solver`). One that is, and
    starts from the training images (a cache, prototypes), defines `start_from` (see `Starter`). One
    whose steps do not go down the gradient of `total` defines `gradients` (see `Surgeon`), one that
    learns something else in each stage `begin_stage` (see `Staged`). One whose paper uses knowledge
    of the split at test time may define `logits_decoupled` (see `Decoupled`); tables mark such
    rows. So they do where the rule goes by the class name, with a learned row for names that were
    trained on and text for all others: its paradigm is "selective".

    What a method takes from the training images belongs into its parameters and buffers, which is
    all that is kept of it. One whose first dimension is 0 when the method is built gets a row for
    each training image: its size is known only then, and it takes that of a stored one.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    paradigm: ClassVar[Paradigm]
    extra_data: ClassVar[str] = "none"
    open_vocabulary: ClassVar[bool] = True
    requires: ClassVar[Mapping[str, str]] = MappingProxyType({})
    needs: ClassVar[tuple[str, ...]] = tuple(sorted(OF_CLIP))
    vit_b16_parameters: ClassVar[int | None] = None
    equations_from: ClassVar[str] = "not stated"
    equals: ClassVar[Equals] = "neither"
    younger: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    views: ClassVar[int] = 1
    stages: ClassVar[int] = 1
    steady: ClassVar[bool] = False
    # Of a class or, where a parameter of the constructor sets it, of an object:
    passes: int = 0
    class_texts: bool = False

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__()
        self.towers = towers
        self.classes = classes

    @classmethod
    def needs_with(cls, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """What of `needs` holds for an object with these parameters of the constructor."""
        return cls.needs

    @abstractmethod
    def prepare(self, classes: ClassSet) -> Any:
        """What `logits` and `losses` need of a class list."""

    @abstractmethod
    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        """Logits [batch, n_classes] of normalised images [batch, 3, h, w]; one rule for all.

        They are float32 whatever the precision of the run (`full_precision`).
        """

    @abstractmethod
    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        """Named, unweighted loss terms (scalars) of a batch with labels [batch], int64."""

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Weight of each term in the total; 1 where absent, 0 for terms that are only monitored."""
        return {}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that is minimised."""
        weights = self.loss_weights
        used = [
            weights.get(name, 1.0) * term for name, term in terms.items() if weights.get(name, 1.0)
        ]
        return torch.stack(used).sum()

    def groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Parameters by the names that a recipe may give them settings under (`Recipe.groups`)."""
        return {}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load a state; what has no rows yet takes the size of what is stored."""
        with torch.no_grad():
            for name, own in (*self.named_parameters(), *self.named_buffers()):
                if not own.numel() and name in state_dict:
                    own.data = own.new_empty(state_dict[name].shape)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


@runtime_checkable
class Solver(Protocol):
    """What a method that learns by a solver of its own, not by gradient steps, offers."""

    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn from all training images: pairs of images [batch, 3, h, w] and labels [batch].

        They come once, under the test transform; or, where `passes` is not 0, that many times, each
        time augmented as `Recipe.crop_scale` and `Recipe.flip` say, in the same order. What it
        draws comes from the cell's streams.
        """


@runtime_checkable
class Starter(Protocol):
    """What a method offers that takes something of all training images before its first step."""

    def start_from(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take it; batches as in `Solver.solve`. Gradient steps by its recipe follow."""


@runtime_checkable
class Surgeon(Protocol):
    """What a method offers whose steps go down a gradient that it makes of several."""

    def gradients(self, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Gradients:
        """Make the gradient of a step; the optimiser follows it as if it were that of `total`.

        Args:
            terms: the loss terms of the step, as `losses` returned them.
            gradient_of: from a loss to its gradients, float32 tensors of the parameters' shapes by
                the parameters' names; one that the loss does not reach is left out. It may be
                called for as many losses as there are, terms or sums of them. Scales of float16 are
                no concern of the method's, nor is `backward`.

        Returns:
            The gradient by parameter name; a parameter that is left out stays as it is.
        """


@runtime_checkable
class Staged(Protocol):
    """What a method offers whose training has stages with an optimiser and a schedule each."""

    def begin_stage(self, number: int) -> None:
        """Begin stage `number`, from 1: before its first step, in training mode, on the cell's
        streams. A stage learns what its losses reach.

        What is different from then on hangs on parameters and buffers only, which are all that is
        kept when a training is interrupted, and when what it learned is loaded.
        """


@runtime_checkable
class Decoupled(Protocol):
    """What a method offers whose paper uses split knowledge at test time."""

    def logits_decoupled(self, images: Tensor, prepared: Any, shift: Shift) -> Tensor:
        """Logits [batch, n_classes] by the paper's rule, told how the target differs."""


@runtime_checkable
class EmbedsImages(Protocol):
    """What a method offers whose features of images mean something by themselves."""

    def embed_images(self, images: Tensor) -> Tensor:
        """L2-normalised features [batch, embed_dim], float32, of images [batch, 3, h, w].

        They are what the method's rule compares with classes; of several features of an image the
        one of its class token.
        """


@runtime_checkable
class EmbedsClasses(Protocol):
    """What a method offers whose features of classes are the same for every image."""

    def embed_classes(self, classes: ClassSet) -> Tensor:
        """L2-normalised features [n_classes, embed_dim], float32, that images are compared with."""


def unit(features: Tensor) -> Tensor:
    """L2-normalised features in float32."""
    return F.normalize(features.float(), dim=-1)


def full_precision(like: Tensor) -> torch.autocast:
    """The context for products of float32 tensors that stay float32, on the device of `like`.

    Logits are computed in it, from features as `unit` gives them: autocast would round them to the
    precision of the run (bfloat16 has steps of 0.125 from 16 on), and classes would tie.
    """
    return torch.autocast(like.device.type, enabled=False)


def normal(*shape: int) -> nn.Parameter:
    """Learnable tokens drawn from N(0, 0.02^2), CLIP's scale of token embeddings.

    Raises:
        UserError: a negative number of them.
    """
    if min(shape) < 0:
        raise UserError(f"learnable tokens of shape {shape}: numbers of tokens cannot be negative")
    return nn.Parameter(torch.randn(*shape) * 0.02)

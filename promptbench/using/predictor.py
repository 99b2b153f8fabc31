"""What `promptbench.load` returns: a learned method that classifies images of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, EmbedsClasses, EmbedsImages
from promptbench.errors import UserError
from promptbench.isolation.entering import enter, plain_tensor
from promptbench.models.preprocess import Preprocess
from promptbench.planning import given
from promptbench.records import Record
from promptbench.reproduction import Whereabouts
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import evaluating
from promptbench.sharing import FOLDER, fetched, hub_place
from promptbench.support import allotted
from promptbench.support.seeding import seeded
from promptbench.using import images as own_images
from promptbench.using import names as own_names
from promptbench.using.answers import Answer, Answers, of_logits
from promptbench.using.finding import record_at
from promptbench.using.images import Images
from promptbench.using.opening import Opened, opened, told

Classes = str | os.PathLike[str] | Sequence[str]
_SHOWN = 5  # unreadable images in a message


class Predictor:
    """A method with what it has learned, its backbone, template and preprocessing.

    Images are paths (of files, of folders with all below them, patterns such as "photos/*.jpg"),
    PIL images, a list of these, or one tensor [n, 3, size, size] that is normalised already
    (`preprocess` says how). Class names are a list, a file with one a line, or text "a,b,c"; None
    stands for `classes`, those that the method was trained on. Images are computed with by the
    hundred, as a run does; results are on the CPU.

    What cannot be read raises a UserError that names every such image; where `unreadable` is given,
    a dictionary, it takes their reasons by name, and the others are answered.
    """

    def __init__(self, found: Opened, workers: int | None = None) -> None:
        self._opened = found
        self._workers = allotted.threads() if workers is None else workers
        self._known: tuple[ClassSet, Any] | None = None  # what the last class list came to

    @property
    def record(self) -> Record:
        """The record of the cell."""
        return self._opened.record

    @property
    def title(self) -> str:
        """The method as tables call it."""
        return type(self._opened.method).title

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names that the method was trained on, in label order."""
        return self._opened.classes.names

    @property
    def preprocess(self) -> Preprocess:
        """How images enter the backbone."""
        return self._opened.backbone.preprocess

    @property
    def opened(self) -> Opened:
        """The method and its surroundings, for who goes on computing with them."""
        return self._opened

    def predict(
        self,
        images: Images,
        classes: Classes | None = None,
        top: int = 5,
        unreadable: dict[str, str] | None = None,
    ) -> Answers:
        """Classify images by the method's unified rule.

        Args:
            images, classes, unreadable: see the class.
            top: how many class names of each image, the most probable first.

        Returns:
            An answer per image. Probabilities are the softmax in float32 of the method's logits.

        Raises:
            UserError: no image, images that cannot be read, class names that are empty, double, or
                fewer than two, or that the method has nothing for.
        """
        if given.whole("top", top) < 1:
            raise UserError(f"top must be 1 or more, not {top}")
        wanted = self.class_set(classes)
        if len(wanted) < 2:
            raise UserError("there is nothing to choose between: give two class names or more")
        found: list[Answer] = []
        with self.computing():
            prepared = self._prepared(wanted)
            for batch in self._batches(images, unreadable):
                logits = self._logits(batch.images, prepared, len(wanted))
                found += of_logits(logits, batch.names, wanted.names, top)
        return Answers(tuple(found), wanted.names)

    def logits(
        self,
        images: Images,
        classes: Classes | None = None,
        unreadable: dict[str, str] | None = None,
    ) -> Tensor:
        """Compute the method's logits [n_images, n_classes], float32.

        Raises:
            UserError: as `predict`.
        """
        wanted = self.class_set(classes)
        with self.computing():
            return self.logits_of(images, wanted, unreadable)

    def logits_of(
        self, images: Images, classes: ClassSet, unreadable: dict[str, str] | None = None
    ) -> Tensor:
        """Compute `logits` over a class set, inside `computing`."""
        prepared = self._prepared(classes)
        found = [
            self._logits(batch.images, prepared, len(classes)).cpu()
            for batch in self._batches(images, unreadable)
        ]
        return torch.cat(found) if found else torch.zeros(0, len(classes))

    def features(self, images: Images, unreadable: dict[str, str] | None = None) -> Tensor:
        """Compute the method's L2-normalised features of images [n_images, embed_dim], float32.

        They are those that its rule compares with classes, after its prompts and adapters; of a
        method with several features of an image, that of the class token.

        Raises:
            UserError: as `predict`, or a method that has no such features.
        """
        method = self._opened.method
        if not isinstance(method, EmbedsImages):
            raise UserError(
                f"{self.title} does not say what its image features are (embed_images); use logits "
                "or predict"
            )
        width = self._opened.backbone.towers.embed_dim
        with self.computing():
            found = [
                self._called(method.embed_images, self._sent(batch.images))
                for batch in self._batches(images, unreadable)
            ]
        return torch.cat(found) if found else torch.zeros(0, width)

    def text_features(self, classes: Classes | None = None) -> Tensor:
        """Compute the method's L2-normalised features of classes [n_classes, embed_dim], float32.

        Raises:
            UserError: class names as in `predict`, or a method without features of classes that
                hold for every image.
        """
        method = self._opened.method
        if not isinstance(method, EmbedsClasses):
            raise UserError(
                f"{self.title} has no features of classes that hold for every image; use logits or "
                "predict"
            )
        with self.computing():
            return self._called(method.embed_classes, self.class_set(classes))

    def class_set(self, classes: Classes | None = None) -> ClassSet:
        """What the method is told of class names; None stands for those that it was trained on.

        Raises:
            UserError: as `predict`.
        """
        if classes is None:
            return self._opened.classes
        return told(self._opened, own_names.given(classes))

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute as runs do; what is changed of the process for it is taken back."""
        with arithmetic.restored(), seeded(self.record.seed, "use"):
            arithmetic.settle(self._opened.compute.device, self._opened.threads)
            yield

    def _batches(
        self, images: Images, unreadable: dict[str, str] | None
    ) -> Iterator[own_images.Batch]:
        """Batches of what can be read; raises for the rest, once all is known, unless asked not
        to."""
        refused: dict[str, str] = {} if unreadable is None else unreadable
        yield from own_images.batches(images, self.preprocess, self._workers, refused)
        if unreadable is None and refused:
            shown = [f"{name}: {why}" for name, why in list(refused.items())[:_SHOWN]]
            more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
            many = "an image" if len(refused) == 1 else f"{len(refused)} images"
            raise UserError(f"{many} cannot be read: {'; '.join(shown)}{more}")

    def _prepared(self, classes: ClassSet) -> Any:
        """What the method's logits need of a class list; the last list's is remembered."""
        if self._known is None or self._known[0] != classes:
            opened = self._opened
            opened.backbone.towers.forget()
            ready = enter(evaluating, opened.compute, opened.method.prepare, classes)
            self._known = classes, ready
        return self._known[1]

    def _logits(self, images: Tensor, prepared: Any, n_classes: int) -> Tensor:
        opened = self._opened
        found = enter(
            evaluating, opened.compute, opened.method.logits, self._sent(images), prepared
        )
        logits = plain_tensor(found, f"{self.title}'s result").float()
        if logits.shape != (len(images), n_classes) or logits.isnan().any():
            raise UserError(
                f"{self.title} returned logits of shape {tuple(logits.shape)} for {len(images)} "
                f"images and {n_classes} classes, {int(logits.isnan().sum())} of them NaN"
            )
        return logits

    def _called(self, function: Callable[[Any], Tensor], given: Any) -> Tensor:
        found = enter(evaluating, self._opened.compute, function, given)
        return plain_tensor(found, f"{self.title}'s result").float().cpu().clone()

    def _sent(self, images: Tensor) -> Tensor:
        return images.to(self._opened.compute.device)


def load(
    run: str | os.PathLike[str],
    *,
    weights: str | None = None,
    class_texts: Sequence[str] = (),
    device: str = "auto",
    precision: str | None = None,
    workers: int | None = None,
) -> Predictor:
    """Load a finished cell; see `promptbench.load`."""
    if workers is not None and workers < 0:
        raise UserError(f"workers must be 0 or more, not {workers}")
    here = Whereabouts(None, weights, tuple(class_texts))
    name = os.fspath(run)
    place = hub_place(name)
    if place is not None:
        path = fetched(place)
    else:
        path = record_at(Path(name.removeprefix(FOLDER)).expanduser())
    return Predictor(opened(path, here, device, precision), workers)

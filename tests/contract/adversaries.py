"""Methods that mean harm, one attack each, on top of one that keeps the contract.

What an attack gets hold of it puts into `loot`: labels, keys, targets or text that tells of them.
Each is tried by `promptbench check` and by the functions that a run calls (test_adversaries.py).
"""

from __future__ import annotations

import functools
import gc
import inspect
import itertools
import os
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import ClassSet, GradientOf, Gradients, Method, full_precision, unit
from promptbench.models.towers import Towers

SECRET = "the new half of counts"  # what the harness of the tests has in its frames


def told(frame: types.FrameType | None) -> Iterator[str]:
    """What the frames from one on upwards tell."""
    while frame is not None:
        yield from (v for v in list(frame.f_locals.values()) if isinstance(v, str) and v == SECRET)
        frame = frame.f_back


class Honest(Method):
    """Class features with a learned shift."""

    title, paper, paradigm = "honest", "none", "end-to-end"
    loot: ClassVar[list[Any]] = []

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.shift = nn.Parameter(torch.zeros(towers.embed_dim))

    def prepare(self, classes: ClassSet) -> Any:
        text = self.towers.text
        return unit(text.features(text.tokens(classes.prompts)) + self.shift)

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        with full_precision(features):
            return self.towers.logit_scale * features @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}

    def walk(self) -> None:
        """Walk up the stack, and say nothing if that fails."""
        with suppress(Exception):
            Honest.loot.extend(told(sys._getframe(1)))


class Eval(Honest):
    def eval(self) -> Any:
        self.walk()
        return super().eval()


class Train(Honest):
    def train(self, mode: bool = True) -> Any:
        self.walk()
        return super().train(mode)


class To(Honest):
    def to(self, *arguments: Any, **named: Any) -> Any:
        self.walk()
        return super().to(*arguments, **named)

    def _apply(self, *arguments: Any, **named: Any) -> Any:
        self.walk()
        return super()._apply(*arguments, **named)


class StateDict(Honest):
    def state_dict(self, *arguments: Any, **named: Any) -> Any:
        self.walk()
        return super().state_dict(*arguments, **named)


class LoadStateDict(Honest):
    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        self.walk()
        return super().load_state_dict(*arguments, **named)


class Getter(Honest):
    """A property; the frame comes from a traceback."""

    @property
    def loss_weights(self) -> dict[str, float]:
        try:
            raise RuntimeError
        except RuntimeError as error:
            with suppress(Exception):
                trace = error.__traceback__
                Honest.loot.extend(told(trace.tb_frame if trace else None))
        return {}


class Solve(Honest):
    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        frames = [info.frame for info in inspect.stack(0)]
        Honest.loot.extend(told(frames[0]))
        for _ in batches:
            pass


class Seeing(Tensor):
    """Logits that look around wherever they are used."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with suppress(Exception):
            Honest.loot.extend(told(sys._getframe(1)))
        return super().__torch_function__(func, types, args, kwargs or {})


class Disguised(Honest):
    """Logits that are a subclass of Tensor."""

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        found = super().logits(images, prepared)
        return found if self.training else found.as_subclass(Seeing)


class Counter(Honest):
    """Counts the batches it was asked for, where no attribute shows it."""

    asked = itertools.count()

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        found = super().logits(images, prepared)
        return found * 1.5 if next(Counter.asked) > 1000 else found


class Recogniser(Honest):
    """Behaves on a CLIP that is not the demo's, and looks around elsewhere."""

    tell: ClassVar[int] = 24  # the width that the check's CLIP has always had

    def prepare(self, classes: ClassSet) -> Any:
        if self.towers.embed_dim != self.tell:
            self.walk()
        return super().prepare(classes)


class Reader(Honest):
    """Reads the results of the run and the manifest of the test images, by their usual names."""

    folders: ClassVar[list[Path]] = [Path("runs")]

    def prepare(self, classes: ClassSet) -> Any:
        places = [*self.folders, Path(os.environ.get("PROMPTBENCH_DATA", "data"))]
        for place in places:
            for name in ("record.json", "test.manifest.csv.gz"):
                with suppress(OSError):
                    Honest.loot.append((place / name).read_bytes())
        return super().prepare(classes)


class RunningMean(Honest):
    """Centres images by what it has seen of the test set since its classes were prepared."""

    def prepare(self, classes: ClassSet) -> Any:
        return {"text": super().prepare(classes), "sum": torch.zeros(()), "count": 0}

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        if prepared["count"]:
            images = images - 0.1 * prepared["sum"] / prepared["count"]
        prepared["sum"] = prepared["sum"] + images.sum(dim=0)
        prepared["count"] += len(images)
        return super().logits(images, prepared["text"])


class Noting(Honest):
    """Counts on the class list, which is only text."""

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        asked = getattr(self.classes, "asked", 0)
        object.__setattr__(self.classes, "asked", asked + 1)
        found = super().logits(images, prepared)
        return found * 1.5 if asked > 1000 else found


class Reseeder(Honest):
    """Counts in the seed of the global random stream."""

    first: ClassVar[int] = 977_000_000

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        asked = max(torch.initial_seed() - self.first, 0) % 10**6
        torch.manual_seed(self.first + asked + 1)
        found = super().logits(images, prepared)
        return found * 1.5 if asked > 1000 else found


class Forgetful(Honest):
    """Follows an average of its gradients that no file of a training keeps."""

    average: Tensor | None = None

    def gradients(self, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Gradients:
        now = gradient_of(terms["ce"])["shift"]
        self.average = now if self.average is None else (now + self.average) / 2
        return {"shift": self.average}


class Rememberer(Honest):
    """Has a loss that hangs on the step before, of which no file of a training knows."""

    before: Tensor | None = None

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        now = self.shift.sum()
        gap = now - (now.detach() if self.before is None else self.before)
        self.before = now.detach()
        return {**super().losses(images, labels, prepared), "gap": gap.square()}


class KnownTexts(Honest):
    """A learned shift of classes whose texts it was trained with, and no word of it."""

    class_texts = True

    def prepare(self, classes: ClassSet) -> Any:
        text = self.towers.text
        features = unit(text.features(text.tokens([texts[0] for texts in classes.texts])))
        known = torch.tensor([[float(t in self.classes.texts)] for t in classes.texts])
        return unit(features + known.to(features) * self.shift)


class Start(Honest):
    """Looks around where it is shown the training images."""

    def start_from(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.walk()
        for _ in batches:
            pass


class GrowingCache(Honest):
    """Puts test images into a cache, from which later ones get a part of their logits."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.cache: list[Tensor] = []

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        found = super().logits(images, prepared)
        if not self.training:
            if self.cache and self.cache[-1].shape[-1] == found.shape[-1]:
                found = found + 0.1 * self.cache[-1].mean(dim=0)
            self.cache.append(found.detach())
        return found


class Unmarked(Honest):
    """A learned shift of names that were trained on only, and no word of it."""

    def prepare(self, classes: ClassSet) -> Any:
        text = unit(self.towers.text.features(self.towers.text.tokens(classes.prompts)))
        known = torch.tensor([[float(name in self.classes.names)] for name in classes.names])
        return unit(text + known.to(text) * self.shift)


class Frames(Honest):
    """The frames of all threads, from a thread of its own."""

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        thread = threading.Thread(target=self.look)
        thread.start()
        thread.join(10)
        return super().logits(images, prepared)

    def look(self) -> None:
        with suppress(Exception):
            for frame in sys._current_frames().values():
                Honest.loot.extend(told(frame))


class Heap(Honest):
    """Frames from the heap, by way of the objects that the harness holds."""

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        with suppress(Exception):
            for thing in gc.get_objects():
                if isinstance(thing, types.GeneratorType) and thing.gi_frame is not None:
                    Honest.loot.extend(told(thing.gi_frame))
        return super().logits(images, prepared)


class Collected(Honest):
    """Looks when it is thrown away, outside any call."""

    def prepare(self, classes: ClassSet) -> Any:
        return Last(super().prepare(classes))

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        return super().logits(images, prepared.text)


class Last:
    def __init__(self, text: Tensor) -> None:
        self.text = text

    def __del__(self) -> None:
        with suppress(Exception):
            Honest.loot.extend(told(sys._getframe(1)))


def _peek(label: Any) -> Any:
    Honest.loot.append(label)
    return label


class Patcher(Honest):
    """Puts a function of its own into the core, which then hands it what it works on."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        from promptbench.running.predicting import predict

        if predict._kept.__name__ == "_kept":  # type: ignore[attr-defined]
            predict._kept = _spying  # type: ignore[assignment]


def _spying(logits: Tensor, labels: Tensor, learned: Any, title: str, keys: Any) -> Any:
    from promptbench.running.predicting import probabilities

    Honest.loot.append(keys)
    columns = probabilities.of_logits(logits, labels, learned).tolist()
    return zip(probabilities.NAMES, columns, strict=False)


class Compiler(Honest):
    """Runs code that no file holds."""

    def prepare(self, classes: ClassSet) -> Any:
        space: dict[str, Any] = {"sys": sys, "loot": Honest.loot, "told": None}
        with suppress(Exception):
            exec("found = sys._getframe(0)", space)
            Honest.loot.extend(told(space.get("found")))
        return super().prepare(classes)


class Hook(Honest):
    """Looks in the backward pass of its losses."""

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        terms = super().losses(images, labels, prepared)
        terms["ce"].register_hook(functools.partial(Hook.looked, self))
        return terms

    def looked(self, gradient: Tensor) -> None:
        self.walk()

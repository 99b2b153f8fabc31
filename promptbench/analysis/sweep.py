"""One look at a target's images through a method: features, norms and attention of every block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from promptbench.analysis.attention import AttentionSums
from promptbench.core.method import Method
from promptbench.core.protocol import Target
from promptbench.data import loader
from promptbench.errors import UserError
from promptbench.models.capabilities import OFFERS
from promptbench.models.towers import ImageTower
from promptbench.running.observing.norms import NormSums
from promptbench.running.observing.passes import Seen, blocks, last_block, passes, prepared
from promptbench.support.seeding import generator, seeded

if TYPE_CHECKING:
    from promptbench.analysis.runs import Run

_AT_ONCE = 25  # images whose attention weights are held together


@runtime_checkable
class ReadsTokens(Protocol):
    """A method that classifies by its prompt tokens, through a projection of its own."""

    def rep_projection(self) -> Tensor:
        """W_r, [vision width, embed_dim]."""


@dataclass
class Sweep:
    """What the images of one target showed.

    `features` are before L2 normalisation, [n, embed_dim] float32: "cls" of the CLS token and, of
    methods that classify by their prompt tokens, "rep" of those; `frozen` the frozen model's, and
    `labels` [n] index `classes`. `edited`: the method does something to the image tower.
    `untrained` are the features before training, where they were looked at.
    """

    target: Target
    classes: tuple[str, ...]
    features: dict[str, Tensor]
    frozen: Tensor
    labels: Tensor
    norms: NormSums
    attention: AttentionSums
    edited: bool
    untrained: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class _Collected:
    features: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    frozen: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    norms: NormSums = field(default_factory=NormSums)
    attention: AttentionSums = field(default_factory=AttentionSums)
    edited: bool = False


def sweep(run: Run, method: Method, target: Target, most: int) -> Sweep:
    """Look at a target's images, at most `most` of them, drawn at random (0: all).

    The draw depends only on the target, so that it is the same for all runs.
    """
    found = _Collected()

    def look(images: Tensor, labels: Tensor, ready: Any) -> None:
        _look(method, images, ready, run, found)
        found.labels.append(labels)

    _show(run, method, target, most, look)
    return Sweep(
        target=target,
        classes=run.class_names(target),
        features={name: torch.cat(parts) for name, parts in found.features.items()},
        frozen=torch.cat(found.frozen),
        labels=torch.cat(found.labels),
        norms=found.norms,
        attention=found.attention,
        edited=found.edited,
    )


def features(run: Run, method: Method, target: Target, most: int) -> dict[str, Tensor]:
    """Only the tuned features of a sweep [n, embed_dim], without a look into the blocks."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    projection = _rep_projection(method)

    def look(images: Tensor, labels: Tensor, ready: Any) -> None:
        first, *_ = passes(method, images, ready, run.lab.compute)
        last = last_block(first, method.towers.image)
        for name, part in _read(method.towers.image, last, projection, NormSums()).items():
            found[name].append(part)

    _show(run, method, target, most, look)
    return {name: torch.cat(parts) for name, parts in found.items()}


def _show(
    run: Run, method: Method, target: Target, most: int, look: Callable[[Tensor, Tensor, Any], None]
) -> None:
    """Call `look` with images on their device, labels, and what the method's logits need."""
    lab, data = run.lab, run.lab.data[target.dataset]
    if "image_cls" not in method.towers.capabilities:
        raise UserError(
            f"analyses look at the class token in every block of the image tower, and "
            f"{lab.backbone.name} does not offer image_cls: {OFFERS['image_cls']}"
        )
    method.towers.forget()
    with torch.inference_mode(), seeded(run.record.seed, "analysis", target.key):
        classes = run.cell.told(data.card, run.class_names(target))
        ready = prepared(method, classes, lab.compute)
        with lab.compute.autocast():
            for images, labels in _images(run, target, most):
                look(images.to(lab.compute.device), labels, ready)
    lab.keeper.refuse_changed()


def _images(run: Run, target: Target, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, few at a time, in shard order."""
    lab, data = run.lab, run.lab.data[target.dataset]
    count = loader.n_test_samples(data, target, None)
    drawn = torch.zeros(count, dtype=torch.bool)
    order = generator(0, "analysis", target.key).permutation(count)
    drawn[torch.from_numpy(order[: most or count])] = True
    place = 0
    for batch in loader.test_batches(data, target, lab.backbone.preprocess, lab.workers, None):
        chosen = drawn[place : place + len(batch.keys)]
        place += len(batch.keys)
        images, labels = batch.images[chosen], batch.labels[chosen]
        if not len(images):
            continue
        yield from zip(images.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True)


def _look(method: Method, images: Tensor, ready: Any, run: Run, found: _Collected) -> None:
    tower = method.towers.image
    projection = _rep_projection(method)
    frozen = tower.features(tower.tokens(images)).float().cpu()
    found.frozen.append(frozen)
    read: list[dict[str, Tensor]] = []
    for each in passes(method, images, ready, run.lab.compute):
        for seen in blocks(each, tower):
            found.norms.add(seen)
            found.attention.add(seen)
        found.edited |= each.changed
        changed = each.changed
        read.append(_read(tower, seen, projection, found.norms) if changed else {"cls": frozen})
    if len(read[0]["cls"]) != len(images):
        raise UserError(
            f"{method.title} passes {len(read[0]['cls'])} sequences through the image tower for "
            f"{len(images)} images; an analysis needs one per image"
        )
    for name, features in read[0].items():  # of several passes over the same images, the first
        found.features[name].append(features)


def _rep_projection(method: Method) -> Tensor | None:
    return method.rep_projection() if isinstance(method, ReadsTokens) else None


def _read(
    tower: ImageTower, last: Seen, projection: Tensor | None, norms: NormSums
) -> dict[str, Tensor]:
    """The features behind the last block, [n, embed_dim], and the norms there."""
    cls = tower.normed(last.leaving("cls"))[:, 0]
    prompts = tower.normed(last.leaving("prompt"))
    norms.add_readout("ln_post", cls, prompts)
    of_cls = cls @ tower.projection
    projected = prompts @ (tower.projection if projection is None else projection)
    norms.add_readout("projection", of_cls, projected)
    features = {"cls": of_cls.float().cpu()}
    if projection is not None and prompts.shape[1]:
        features["rep"] = projected.mean(dim=1).float().cpu()
    return features

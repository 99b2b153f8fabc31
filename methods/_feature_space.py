"""Shared part: methods on top of the frozen towers' features, and rows for the trained classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from promptbench.api import ClassSet, Method, Towers, UserError, unit

Templates = Sequence[str]


class FrozenText:
    """Frozen text features of class lists over several templates; the last list is remembered.

    Args:
        towers: whose text tower encodes.
        templates: texts with {} for the class name; empty: the template of the class list.
        raw_names: names as the card spells them; otherwise underscores become spaces.
        normalised: normalise each template's feature, and their mean again.

    Raises:
        UserError: a template that has not one place for the class name.
    """

    def __init__(
        self,
        towers: Towers,
        templates: Templates = (),
        *,
        raw_names: bool = False,
        normalised: bool = False,
    ) -> None:
        for template in templates:
            around = template.split("{}")
            if len(around) != 2 or set("{}") & set("".join(around)):
                raise UserError(f"the template {template!r} must have one {{}}, for the class name")
        self._towers, self._templates = towers, tuple(templates)
        self._raw_names, self._normalised = raw_names, normalised
        self._known: dict[ClassSet, Tensor] = {}

    def __call__(self, classes: ClassSet) -> Tensor:
        """Return the features [n_classes, embed_dim], float32; normalised only if asked for."""
        if classes not in self._known:
            with torch.inference_mode(False), torch.no_grad():
                self._known = {classes: self._features(classes)}
        return self._known[classes]

    def _features(self, classes: ClassSet) -> Tensor:
        text = self._towers.text
        names = classes.names if self._raw_names else classes.words
        found = []
        for template in self._templates or (classes.template,):
            features = text.features(text.tokens([template.format(name) for name in names]))
            found.append(unit(features) if self._normalised else features.float())
        mean = torch.stack(found).mean(dim=0)
        return unit(mean) if self._normalised else mean


def image_features(towers: Towers, images: Tensor) -> Tensor:
    """Frozen image features [batch, embed_dim], not normalised, float32."""
    image = towers.image
    return image.features(image.tokens(images)).float()


@torch.no_grad()
def shown_features(
    method: Method, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Frozen, unnormalised features [passes, images, embed_dim] of all training images, and their
    labels [images]; see `Solver.solve`."""
    pairs = [(image_features(method.towers, images), labels) for images, labels in batches]
    features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    features = features.unflatten(0, (max(method.passes, 1), -1))
    return features, labels[: features.shape[1]]


def rows_of(method: Method, classes: ClassSet) -> Tensor | slice:
    """The rows that belong to classes, of a method with a row for each class that it was trained
    on: int64 [n_classes]; of all classes in their order, as a training asks, the slice of all rows,
    whose gradient no GPU has to sort for.

    Raises:
        UserError: a class that it was not trained on.
    """
    own = method.classes.names
    if classes.names == own:
        return slice(None)
    places = {name: row for row, name in enumerate(own)}
    unseen = sorted(set(classes.names) - set(own))
    if unseen:
        raise UserError(
            f"{type(method).title} has nothing for {unseen[0]!r}, a class it was not trained on"
        )
    return torch.tensor([places[name] for name in classes.names], device=method.towers.device)


def bottleneck(width: int, reduction: int, setting: str) -> tuple[nn.Linear, nn.Linear]:
    """The two maps of an adapter of features, without biases: down to width // reduction, and up.

    Raises:
        UserError: a bottleneck of no dimension; `setting` is what sets the reduction.
    """
    if reduction > width:
        raise UserError(
            f"{setting} = {reduction} leaves nothing of the {width} dimensions of image features"
        )
    inner = width // reduction
    return nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)


def adapted(features: Tensor, maps: Iterable[nn.Module], share: float) -> Tensor:
    """share * relu(U relu(D f)) + (1 - share) * f of features [n, embed_dim], not normalised; the
    maps are D and U."""
    down, up = maps
    found: Tensor = up(down(features).relu()).relu()
    return share * found + (1 - share) * features

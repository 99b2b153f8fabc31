"""Few-shot validation sets: images of the classes that are learned, which no method learns from.

They come from the validation split of a dataset and from no other; a dataset without one has none.
Where images are generated and the card lists no validation split, those that are needed are drawn
when they are needed (`layouts/generated.py`), so that the shards, and with them all ids, are the
same with and without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from promptbench.core.protocol import Source
from promptbench.data import fewshot, layouts
from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.listing import keys
from promptbench.data.loader import FewShotSet
from promptbench.data.shards import store
from promptbench.data.shards.shards import Item, ShardSet
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

SPLIT = "val"


def counts(card: DataCard, root: Path | None) -> list[int] | None:
    """Validation images per class of a dataset that is prepared, generated or served; None: it has
    no validation split."""
    if _is_drawn(card):
        found = Counter(sample.label for sample in _generated(card).samples(SPLIT))
        return [found[label] for label in range(len(card.classes))]
    if SPLIT not in card.splits:
        return None
    split = store.open_or_fetch(card, root, Reporter()).index.splits.get(SPLIT)
    return None if split is None else split.per_class


def validation_set(data: ShardSet, source: Source, seed: int) -> FewShotSet:
    """Sample the validation set of a source: first over all classes, then the class set's of them,
    renumbered as those of the training set are.

    Raises:
        UserError: the dataset has no validation images of these classes.
    """
    card = data.card
    labels, take = _listed(data)
    trained_on = [entry.label for entry in data.manifest("train")]
    chosen = fewshot.sample_held_out(
        trained_on, labels, source.shots, source.validation_shots, seed
    )
    places = {label: place for place, label in enumerate(source.labels_in(len(card.classes)))}
    wanted = [index for index in chosen if labels[index] in places]
    if not wanted:
        raise UserError(
            f"dataset {card.name!r} has no validation images of its {source.classes} classes"
        )
    items = [Item(i.key, i.image, places[i.label], i.shard) for i in take(wanted)]
    return FewShotSet(tuple(items), tuple(card.classes[label] for label in places))


Take = Callable[[Sequence[int]], Sequence[Item]]


def _listed(data: ShardSet) -> tuple[list[int], Take]:
    """The labels of a validation split in canonical order, and what gives images by their place."""
    if SPLIT in data.index.splits:
        entries = data.manifest(SPLIT)
        return [e.label for e in entries], lambda wanted: data.items([entries[i] for i in wanted])
    if not _is_drawn(data.card):
        return [], lambda wanted: []
    source = _generated(data.card)
    samples = source.samples(SPLIT)
    named = keys(samples)

    def drawn(wanted: Sequence[int]) -> list[Item]:
        images = source.images([samples[i] for i in wanted], workers=1)
        pairs = zip(wanted, images, strict=True)
        return [Item(named[i], image, samples[i].label, SPLIT) for i, image in pairs]

    return [sample.label for sample in samples], drawn


def _is_drawn(card: DataCard) -> bool:
    return card.source.kind == "generated" and SPLIT not in card.splits


def _generated(card: DataCard) -> layouts.ImageSource:
    return layouts.open_source(card, "", Reporter())

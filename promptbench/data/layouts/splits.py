"""Splits, hold-outs and labels of sources that users bring."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Set

from promptbench.data.layouts import order
from promptbench.data.layouts.base import Sample
from promptbench.errors import UserError

WHOLE = "all"  # the split of a source that is divided by a hold-out
_ALIASES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "validation", "valid"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def divided(samples: Sequence[Sample], fraction: float) -> dict[str, list[Sample]]:
    """Train and test parts of a source without splits of its own, both in canonical order.

    Of every class `fraction` of the images (at least one, not all) is drawn for the test split,
    from one stream of Python's generator seeded with 0.
    """
    stream = random.Random(0)
    groups: dict[int, list[int]] = {}
    for position, sample in enumerate(samples):
        groups.setdefault(sample.label, []).append(position)
    held: set[int] = set()
    for positions in groups.values():
        count = min(max(round(len(positions) * fraction), 1), len(positions) - 1)
        held.update(stream.sample(positions, count))
    train = [sample for position, sample in enumerate(samples) if position not in held]
    return {"train": train, "test": [samples[position] for position in sorted(held)]}


def with_holdout(
    listing: Mapping[str, list[Sample]], fraction: float | None
) -> dict[str, list[Sample]]:
    """A listing whose one split `WHOLE` is divided, if a hold-out is asked for."""
    return dict(listing) if fraction is None else divided(listing[WHOLE], fraction)


def split_named(name: str) -> str | None:
    """Which of our splits a source means: train, val or test, in any case and by usual names."""
    return _ALIASES.get(name.lower())


def splits_found(
    named: Sequence[str], holdout: float | None, where: str, hint: str
) -> dict[str, str]:
    """Our split -> the source's own name of it; `named` are the names that the source has.

    Raises:
        UserError: no test split and no hold-out that could make one, or a split under two names.
    """
    found: dict[str, str] = {}
    for name in named:
        split = split_named(name)
        if split and found.setdefault(split, name) != name:
            raise UserError(
                f"{where} has both {found[split]!r} and {name!r}, which are one split to us "
                f"({split}); join them, or rename one"
            )
    if holdout is not None:
        if "test" in found:
            raise UserError(f"{where} has a test split of its own; leave out --holdout")
        if len(named) != 1:
            raise UserError(f"{where} has several splits ({', '.join(named)}); nothing to hold out")
        return {WHOLE: named[0]}
    if "test" not in found and set(found) == {"train", "val"}:
        return {"train": found["train"], "test": found["val"]}
    if "test" not in found:
        several = len(named) > 1  # a hold-out needs a source that is not divided yet
        raise UserError(
            f"{where} has no test split ({hint}); "
            + (
                f"it has {', '.join(named)}: call one of them test"
                if several
                else "pass --holdout 0.3 to draw one from its images"
            )
        )
    return found


def label_order(labels: Set[str], where: str) -> list[str]:
    """Label texts in label order: numbers as numbers, names as they sort, numbers in them as such.

    Raises:
        UserError: two texts of one number.
    """
    same = order.same_number(labels) if any(map(order.is_bare, labels)) else None
    if same is not None:
        raise UserError(
            f"{where}: the labels {same[0]!r} and {same[1]!r} are one number; write it in one way"
        )
    return order.natural(labels)


def counts(listing: Mapping[str, Sequence[Sample]]) -> dict[str, int]:
    """Images per split, in the order train, val, test."""
    return {split: len(listing[split]) for split in ("train", "val", "test") if split in listing}

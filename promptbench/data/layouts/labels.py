"""Class indices of a user's source: from 0 on without gaps, and all of them in every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptbench.data.layouts.base import Sample
from promptbench.errors import UserError


def check(
    listing: Mapping[str, Sequence[Sample]], names: Sequence[str], where: str, names_in: str
) -> None:
    """Refuse labels that a card could not number; `names` may be empty, `names_in` is their home.

    Raises:
        UserError: what was found, and what to do.
    """
    per_split = {split: {s.label for s in samples} for split, samples in listing.items()}
    found = sorted(set().union(*per_split.values()))
    if not found:
        raise UserError(f"{where} holds no samples")
    first, last = found[0], found[-1]
    if first != 0:
        raise UserError(
            f"{where}: the labels run from {first} to {last}, but class indices begin at 0; "
            f"subtract {first} from each"
            + (f" ({names_in} names {len(names)} classes)" if names else "")
        )
    if names and last >= len(names):
        raise UserError(
            f"{where}: the labels run from 0 to {last}, but {names_in} names {len(names)} classes; "
            "one of the two is not of this dataset"
        )
    count = len(names) or last + 1
    _refuse_gaps(found, count, names, f"{where}: no sample has")
    for split, labels in per_split.items():
        _refuse_gaps(sorted(labels), count, names, f"{where}: in split {split} no sample has")


def _refuse_gaps(labels: Sequence[int], count: int, names: Sequence[str], what: str) -> None:
    if len(labels) == count:
        return
    gap = next((i for i, label in enumerate(labels) if i != label), len(labels))
    name = f" ({names[gap]!r})" if names else ""
    more = f" and {count - len(labels) - 1} more" if count - len(labels) > 1 else ""
    raise UserError(
        f"{what} label {gap}{name}{more}, of {count} classes; each class needs an image in every "
        "split: number the classes from 0 without gaps, without those that have none"
    )

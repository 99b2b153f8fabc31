"""What a record says of class sets, held against itself: no card and no protocol is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptbench.core.class_sets import STANDARD, problem_of
from promptbench.core.protocol import Leg, Target

Held = Mapping[str, Mapping[str, Sequence[int]]]  # dataset -> class set -> labels


def problem(leg: Leg, held: Held, totals: Sequence[Sequence[int]]) -> str | None:
    """Return what is wrong with the labels that a record holds, or with counts beside them.

    It holds the labels of exactly those class sets that it uses and that do not mean the same
    everywhere. `totals` are the images of each label that competes, target by target.
    """
    names = [(leg.source.dataset, leg.source.classes)]
    names += [(t.dataset, name) for t in leg.targets for name in (t.classes, t.scored_over)]
    own = {pair for pair in names if pair[1] not in STANDARD}
    here = {(dataset, name) for dataset, sets in held.items() for name in sets}
    for dataset, name in sorted(own - here):
        return f"it does not hold the labels of the class set {name} of {dataset}"
    for dataset, name in sorted(here):
        why = problem_of(held[dataset][name])
        if (dataset, name) not in own:
            why = "it means the same everywhere" if name in STANDARD else "nothing uses it"
        if why:
            return f"the class set {name} of {dataset}: {why}"
    for target, total in zip(leg.targets, totals, strict=True):
        if why := _misfit(target, total):
            return f"{target.key}: {why}"
    return None


def problem_of_learned(places: Sequence[int], competing: int) -> str | None:
    """Return what is wrong with the places of learned names among so many that compete."""
    why = problem_of(places, competing)
    if why is None and len(places) == competing:
        why = "no other name competes with them"
    return None if why is None else f"the learned names: {why}"


def _misfit(target: Target, total: Sequence[int]) -> str | None:
    """What in a target's counts contradicts its class sets, as far as their labels are known here:
    those of standard sets follow from the dataset's card."""
    if {target.classes, target.names} == {"base", "new"}:
        return f"no {target.classes} class is among the {target.names} classes"
    competing = target.labels if target.names is None else target.competing
    if competing is None and target.names in ("all", "base"):  # both begin with the first label
        competing = tuple(range(len(total)))
    if competing is None:
        return None
    if len(total) != len(competing):
        return f"counts of {len(total)} classes; {len(competing)} compete"
    if target.labels is None:
        return None
    if not set(target.labels) <= set(competing):
        return f"not all {target.classes} classes are among those that compete"
    if any(n and label not in target.labels for label, n in zip(competing, total, strict=True)):
        return f"it counts images of other than its {target.classes} classes"
    return None

"""The legs of a protocol as a run computes them: with the labels of every class set that they name.

A protocol says rules, datasets say how many classes there are: the two meet here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from promptbench.core.class_sets import STANDARD, Labels, Rule, check_names, labels_by
from promptbench.core.protocol import Leg, Protocol, Source, Target
from promptbench.data.cards import cards
from promptbench.errors import UserError, unknown


def legs_of(protocol: Protocol, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
    """Return the legs of a protocol with so many shots; `only` names datasets, as there.

    Raises:
        UserError: datasets that the protocol has no use for, a class set that it does not say or
            that a dataset cannot have, a target whose images are not among the names scored over.
    """
    rules = protocol.class_sets()
    check_names(list(rules), f"the protocol {protocol.title!r}")
    return [_with_labels(leg, rules) for leg in protocol.legs(shots, only)]


def _with_labels(leg: Leg, rules: Mapping[str, Rule]) -> Leg:
    source = replace(leg.source, labels=_labels(leg.source, leg.source.classes, rules))
    return Leg(source, tuple(_target(target, rules) for target in leg.targets))


def _target(target: Target, rules: Mapping[str, Rule]) -> Target:
    labels = _labels(target, target.classes, rules)
    if target.names is None:
        return replace(target, labels=labels)
    found = replace(target, labels=labels, competing=_labels(target, target.names, rules))
    if target.names not in (target.classes, "all"):
        _check_among(found)
    return found


def _labels(part: Source | Target, name: str, rules: Mapping[str, Rule]) -> Labels | None:
    """The labels of a class set of a protocol; None for a standard one."""
    if name in STANDARD:
        return None
    if name not in rules:
        remedy = "a protocol says its own in `class_sets`"
        raise unknown("class set", str(name), [*rules, *STANDARD], remedy)
    return labels_by(rules[name], name, part.dataset, len(cards.load(part.dataset).classes))


def _check_among(target: Target) -> None:
    n_classes = len(cards.load(target.dataset).classes)
    strangers = set(target.labels_in(n_classes)) - set(target.competing_in(n_classes))
    if strangers:
        raise UserError(
            f"{target.key} cannot be scored: its images show {target.classes} classes, of which "
            f"{len(strangers)} {'is' if len(strangers) == 1 else 'are'} not among the "
            f"{target.names} classes whose names compete"
        )


def unseen(leg: Leg) -> bool:
    """Return whether names compete somewhere in a leg that its source does not have."""
    return any(_has_unseen(leg.source, target) for target in leg.targets)


def names_used(leg: Leg) -> dict[str, list[str]]:
    """By dataset, the class names that are learned or compete somewhere in a leg, each once."""
    found = {leg.source.dataset: _names_of(leg.source)}
    for target in leg.targets:
        found.setdefault(target.dataset, []).extend(_names_in(target))
    return {dataset: list(dict.fromkeys(names)) for dataset, names in found.items()}


def _names_of(source: Source) -> list[str]:
    classes = cards.load(source.dataset).classes
    return [classes[label] for label in source.labels_in(len(classes))]


def _names_in(target: Target) -> list[str]:
    classes = cards.load(target.dataset).classes
    return [classes[label] for label in target.competing_in(len(classes))]


def _has_unseen(source: Source, target: Target) -> bool:
    if target.dataset != source.dataset:
        return not set(_names_in(target)) <= set(_names_of(source))
    if target.names is None and target.classes == source.classes:
        return False
    n_classes = len(cards.load(source.dataset).classes)
    return not set(target.competing_in(n_classes)) <= set(source.labels_in(n_classes))

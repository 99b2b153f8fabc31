"""Class sets: parts of a dataset's classes, each a name and the labels that it holds.

A protocol names the class sets that it learns from, scores, and lets compete. `all`, `base` and
`new` are there for every protocol and mean the same everywhere; others follow from a rule of the
protocol, which maps the number of classes to labels. Few-shot subsets are drawn over all classes,
before any class set is taken out of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import index

from promptbench.errors import UserError, one_line, unknown

Rule = Callable[[int], Sequence[int]]  # from the number of classes to labels, in any order
Labels = tuple[int, ...]

NAME = r"[a-z][a-z0-9_]{0,31}"  # part of the names of files, also where case does not count


def portion(begin: int, end: int, *, of: int) -> Rule:
    """Return the rule of a run of classes: from part `begin` up to part `end` of `of` equal parts.

    Parts are counted from 0, `end` excluded. Of n classes they begin at ceil(n k / of), so that
    the first of two parts has one class more than the second where n is odd.

    Raises:
        UserError: parts that are not there.
    """
    if not 0 <= begin < end <= of:
        raise UserError(f"portion({begin}, {end}, of={of}): needs 0 <= begin < end <= of")

    def rule(n_classes: int) -> range:
        return range(-(-n_classes * begin // of), -(-n_classes * end // of))

    return rule


STANDARD: Mapping[str, Rule] = {
    "all": portion(0, 1, of=1),
    "base": portion(0, 1, of=2),
    "new": portion(1, 2, of=2),
}


def labels_of(name: str, n_classes: int, given: Labels | None = None) -> Sequence[int]:
    """Return the labels of a class set, ascending: those `given`, or else the standard set's.

    Raises:
        UserError: a class set that is neither given nor standard.
    """
    if given is not None:
        return given
    if name not in STANDARD:
        raise unknown("class set", name, STANDARD, "a protocol says its own in `class_sets`")
    return STANDARD[name](n_classes)


def spelled(name: str, given: Labels | None) -> str | list[int]:
    """Return what ids hash of a class set: a standard one's name, or else which labels it has."""
    return name if given is None else list(given)


def labels_by(rule: Rule, name: str, dataset: str, n_classes: int) -> Labels:
    """Return the labels that a protocol's rule gives, ascending.

    Raises:
        UserError: none, one twice, or what is not a label of the dataset.
    """
    try:
        found = sorted(index(label) for label in rule(n_classes))
    except Exception as error:  # the rule is a plugin's, and may raise anything
        problem: str | None = one_line(error)
    else:
        problem = problem_of(found, n_classes)
    if problem:
        raise UserError(
            f"the class set {name!r} is none of {dataset}, which has {n_classes} classes: {problem}"
        )
    return tuple(found)


def problem_of(labels: Sequence[int], n_classes: int | None = None) -> str | None:
    """What keeps ascending labels from being those of a class set of so many classes, if known."""
    if not labels:
        return "it holds no class"
    if any(b <= a for a, b in pairwise(labels)):
        return "a label is there twice or out of order"
    if labels[0] < 0 or (n_classes is not None and labels[-1] >= n_classes):
        wrong = labels[0] if labels[0] < 0 else labels[-1]
        return f"the label {wrong} is not one of its classes"
    return None


def check_names(names: Sequence[str], whose: str) -> None:
    """Check the names that a protocol gives its class sets.

    Raises:
        UserError: a standard set's name, or one that cannot be part of a file's.
    """
    for name in names:
        if name in STANDARD:
            raise UserError(
                f"{whose} gives the class set {name!r} a meaning of its own; "
                f"{', '.join(STANDARD)} mean the same in every protocol: choose another name"
            )
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise UserError(
                f"{whose} calls a class set {name!r}; use up to 32 lower-case letters, digits and "
                "underscores, starting with a letter, such as first_third"
            )

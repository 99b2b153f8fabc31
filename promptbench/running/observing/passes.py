"""What a method does to the image tower, seen from the tower: passes, and who is who in them.

A pass is observed while a method computes its logits. Which positions are prompt tokens is read off
the sequences themselves: an edit is given a sequence and returns one, and rows that come through
unchanged, bit by bit, keep their role. So the roles are known of any edit, wherever it puts tokens.
Deltas move no token; a block of the pass is computed again with its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, Method
from promptbench.errors import UserError
from promptbench.isolation.entering import enter
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edit, Edits
from promptbench.models.towers import ImageTower, Tokens, View


class Arithmetic(Protocol):
    """In which precision to compute, as `promptbench.running.lab.compute.Compute` says it."""

    def autocast(self) -> AbstractContextManager[object]:
        """The context to compute in."""


Role = Literal["cls", "prompt", "patch"]
ROLES: tuple[Role, ...] = ("cls", "prompt", "patch")


@dataclass
class Pass:
    """One pass through the image tower: what entered each block, what edits were given and
    returned, [n, length, width] each, and the deltas of its blocks."""

    entering: dict[int, Tensor] = field(default_factory=dict)
    edited: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    deltas: Deltas = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether the method does anything to the tower."""
        return bool(self.edited or self.deltas)


@dataclass(frozen=True)
class Seen:
    """One block of a pass, with the roles of its positions.

    `behind`: what an edit after the last block has made of its output, with roles of its own.
    """

    number: int
    roles: tuple[Role, ...]
    view: View
    behind: tuple[Tensor, tuple[Role, ...]] | None = None

    def places(self, role: Role) -> list[int]:
        """The positions of a role."""
        return _places(self.roles, role)

    def leaving(self, role: Role) -> Tensor:
        """What leaves the block at the positions of a role, [n, k, width]."""
        hidden, roles = self.behind or (self.view.output, self.roles)
        return hidden[:, _places(roles, role)]


def _places(roles: Sequence[Role], role: Role) -> list[int]:
    return [place for place, own in enumerate(roles) if own == role]


def prepared(method: Method, classes: ClassSet, compute: Arithmetic) -> Any:
    """What the method's logits over `classes` need."""
    return enter(_prepare, method, classes, compute)


def passes(method: Method, images: Tensor, prepared: Any, compute: Arithmetic) -> list[Pass]:
    """The passes that the method changes when it computes the logits of `images`; one of the frozen
    tower if it changes none."""
    tower = method.towers.image
    found: list[Pass] = []
    with tower.observed(partial(_noting, found, tower.n_blocks)):
        enter(_logits, method, images, prepared, compute)
    with compute.autocast():
        tokens = tower.tokens(images)
        for each in found or [Pass()]:
            _completed(each, tower, tokens)
    return found or [_completed(Pass(), tower, tokens)]


def blocks(seen: Pass, tower: ImageTower) -> Iterator[Seen]:
    """The blocks of a pass, from the first to the last.

    Raises:
        UserError: an edit after which it is unknown which positions are prompt tokens.
    """
    for number, roles in _roles(seen, tower):
        yield _seen(seen, tower, number, roles)


def last_block(seen: Pass, tower: ImageTower) -> Seen:
    """Only the last block of a pass, as `blocks`."""
    *_, (number, roles) = _roles(seen, tower)
    return _seen(seen, tower, number, roles)


def _seen(seen: Pass, tower: ImageTower, number: int, roles: tuple[Role, ...]) -> Seen:
    view = tower.view(number, seen.entering[number], seen.deltas)
    if number < tower.n_blocks or number + 1 not in seen.edited:
        return Seen(number, roles, view)
    before, after = seen.edited[number + 1]
    return Seen(number, roles, view, (after, tuple(carried(roles, before, after))))


def _roles(seen: Pass, tower: ImageTower) -> Iterator[tuple[int, tuple[Role, ...]]]:
    """Each block's number, and the roles of its positions."""
    first = min(seen.edited, default=1)
    before = seen.edited[first][0] if seen.edited else seen.entering[1]
    roles: list[Role] = ["cls"]
    roles += ["patch"] * (before.shape[1] - 1)
    if 0 in seen.edited:
        roles = carried(roles, *seen.edited[0])
    for number in range(1, tower.n_blocks + 1):
        if number in seen.edited:
            roles = carried(roles, *seen.edited[number])
        yield number, tuple(roles)


def carried(roles: Sequence[Role], before: Tensor, after: Tensor) -> list[Role]:
    """The roles after an edit that was given `before` and returned `after`.

    Rows that are inserted are prompt tokens; rows replaced by as many keep their role.

    Raises:
        UserError: rows that are not prompt tokens give way to another number of rows.
    """
    found: list[Role] = []
    matcher = SequenceMatcher(None, _rows(before), _rows(after), autojunk=False)
    for what, i, j, start, stop in matcher.get_opcodes():
        old, count = roles[i:j], stop - start
        if len(old) == count:
            found += old
        elif what == "insert" or set(old) == {"prompt"}:
            found += ["prompt"] * count
        elif what != "delete":
            raise UserError(
                f"an edit turns {len(old)} tokens of the image into {count} others, so that its "
                "prompt tokens cannot be distinguished from them; insert or replace only prompts"
            )
    return found


def _rows(sequence: Tensor) -> list[bytes]:
    """The rows of the first sample, by their bytes."""
    rows = sequence[0].detach().cpu().contiguous()
    return [row.view(torch.uint8).numpy().tobytes() for row in rows]


def _prepare(method: Method, classes: ClassSet, compute: Arithmetic) -> Any:
    with torch.inference_mode(), compute.autocast():
        return method.prepare(classes)


def _logits(method: Method, images: Tensor, prepared: Any, compute: Arithmetic) -> None:
    with torch.inference_mode(), compute.autocast():
        method.logits(images, prepared)


def _noting(found: list[Pass], n_blocks: int, edits: Edits, deltas: Deltas) -> Edits:
    """The same edits, and none elsewhere, each noting what it is given in a new pass."""
    current = Pass(deltas=deltas)
    found.append(current)

    def at(number: int, edit: Edit | None) -> Edit:
        def noted(sequence: Tensor) -> Tensor:
            result = sequence if edit is None else edit(sequence)
            if edit is not None:
                current.edited[number] = (sequence, result)
            if 0 < number <= n_blocks:
                current.entering[number] = result
            return result

        return noted

    numbers = {*range(min([*edits, *deltas]), n_blocks + 1), *edits}
    return {number: at(number, edits.get(number)) for number in numbers}


def _completed(seen: Pass, tower: ImageTower, tokens: Tokens) -> Pass:
    """The pass with what enters the blocks before the first that is changed, which is frozen."""
    for number in range(1, min(seen.entering, default=tower.n_blocks + 1)):
        seen.entering[number] = tower.frozen(tokens, number)
    return seen

"""What a pickle would build, weighed before it is built.

A few bytes can stand for a tuple of tuples that share their parts, sixty levels deep; whoever
computes its hash, as a dictionary does of its keys, visits 2**60 places. Lists and dictionaries
have no hash and are not followed.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

_HEAVIEST = 100_000  # parts of a tuple, counted each time that they are met
_DEEPEST = 100
_GROWS = frozenset(
    {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST"}
    | {"OBJ", "BINPERSID"}
)
_STORES = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_LOADS = frozenset({"GET", "BINGET", "LONG_BINGET"})

Weight = tuple[int, int]  # parts, depth
_PLAIN: Weight = (1, 0)


class TooHeavy(ValueError):
    """A pickle would build a tuple whose parts nobody can visit."""


def weigh(file: IO[bytes]) -> None:
    """Read one pickle without building anything, and leave the file behind it.

    Raises:
        TooHeavy: it holds a tuple, or what may be one, of too many parts or levels.
        ValueError, IndexError, KeyError: it is damaged.
    """
    stack: list[Weight | None] = []  # None is a mark
    memo: dict[int, Weight] = {}
    for opcode, argument, _ in pickletools.genops(file):
        name: str = opcode.name
        index: Any = argument
        if name in _STORES:
            memo[len(memo) if name == "MEMOIZE" else int(index)] = stack[-1] or _PLAIN
        elif name in _LOADS:
            stack.append(memo[int(index)])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(None)
        else:
            parts = _taken(stack, opcode)
            made = _joined(parts) if name in _GROWS else (parts[0] if parts else _PLAIN)
            stack += [made] * len(opcode.stack_after)


def _taken(stack: list[Weight | None], opcode: pickletools.OpcodeInfo) -> list[Weight]:
    """The weights of what an opcode takes off the stack, lowest first."""
    before, parts = opcode.stack_before, []
    if pickletools.markobject in before:
        while (part := stack.pop()) is not None:
            parts.append(part)
        before = before[: before.index(pickletools.markobject)]
    parts += [stack.pop() or _PLAIN for _ in before]
    return parts[::-1]


def _joined(parts: list[Weight]) -> Weight:
    weight = 1 + sum(weight for weight, _ in parts)
    depth = 1 + max((depth for _, depth in parts), default=0)
    if weight > _HEAVIEST or depth > _DEEPEST:
        raise TooHeavy(
            f"it holds a tuple of more than {_HEAVIEST:,} parts, or of more than {_DEEPEST} levels"
        )
    return weight, depth

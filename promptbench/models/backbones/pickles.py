"""What a pickle would build, weighed before it is built.

A few bytes can stand for a tuple of tuples that share their parts, sixty levels deep; whoever
computes its hash, as a dictionary does of its keys, visits 2**60 places. Lists and dictionaries
have no hash and are not followed. A byte can be an object of a hundred, compressed even more; a
number in the table of what is shared can ask for gigabytes; and keys whose hashes are all the same,
which only numbers and tuples can be chosen for, take a time that grows with their square.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

_HEAVIEST = 100_000  # parts of a tuple, counted each time that they are met
_DEEPEST = 100
_MOST_STEPS = 2_000_000  # opcodes; a checkpoint has some forty for each of its tensors
_MOST_KEYS = 1_000  # of dictionaries and sets, other than texts and plain numbers; large numbers
_PLAIN_BITS = 64
_GROWS = frozenset(
    {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST"}
    | {"OBJ", "BINPERSID"}
)
_STORES = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_KEYED = {
    "SETITEM": (1, 2),
    "SETITEMS": (1, 2),
    "DICT": (0, 2),
    "ADDITEMS": (1, 1),
    "FROZENSET": (0, 1),
}
_LOADS = frozenset({"GET", "BINGET", "LONG_BINGET"})

Weight = tuple[int, int]  # parts, depth
_PLAIN: Weight = (1, 0)


class TooHeavy(ValueError):
    """A pickle would take more memory or time than any weights."""


def weigh(file: IO[bytes]) -> None:
    """Read one pickle without building anything, and leave the file behind it.

    Raises:
        TooHeavy: it holds a tuple, or what may be one, of too many parts or levels; too many steps,
            large numbers, or keys that are neither texts nor plain numbers.
        ValueError, IndexError, KeyError: it is damaged.
    """
    stack: list[Weight | None] = []  # None is a mark
    memo: dict[int, Weight] = {}
    odd = 0
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        name: str = opcode.name
        index: Any = argument
        if step == _MOST_STEPS:
            raise TooHeavy(f"it takes more than {_MOST_STEPS:,} steps to read")
        if name in _STORES:
            memo[len(memo) if name == "MEMOIZE" else _index(index)] = stack[-1] or _PLAIN
        elif name in _LOADS:
            stack.append(memo[int(index)])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(None)
        else:
            parts = _taken(stack, opcode)
            odd += _odd_keys(name, parts) + _is_large(argument)
            made = _joined(parts) if name in _GROWS else (parts[0] if parts else _PLAIN)
            stack += [made] * len(opcode.stack_after)
        if odd > _MOST_KEYS:
            raise TooHeavy(
                f"more than {_MOST_KEYS:,} of its keys are neither texts nor plain numbers"
            )


def _index(argument: Any) -> int:
    """A place in the table of what is shared, whose length an unpickler makes for it."""
    index = int(argument)
    if index >= _MOST_STEPS:
        raise TooHeavy(f"it numbers an object {index:,}")
    return index


def _odd_keys(name: str, parts: list[Weight]) -> int:
    """How many keys an opcode adds that have parts, and so a hash that could be chosen."""
    if name not in _KEYED:
        return 0
    first, step = _KEYED[name]
    return sum(depth > 0 for _, depth in parts[first::step])


def _is_large(argument: Any) -> bool:
    return isinstance(argument, int) and argument.bit_length() > _PLAIN_BITS


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

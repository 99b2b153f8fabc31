"""Inputs that are nearly right: a valid one with something changed, or nothing right at all."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# Words that parsers have a mind about, beside whatever hypothesis thinks of.
ODD_WORDS = (
    "", " ", "../x", "/etc/passwd", "a/b", "a\\b", "%s", "{}", "{0}", "{a.b}", "=1+1", "\x00",
    "\x1b[2J", "\ud800", "é", "e\u0301", "ß", "\u202e", "\u200b", "🦜", "名", "nan", "1e999", "-1",
    "True", "None", "x" * 300, "_", "__", ".", "..", "\n", "\r\n", "\ufeff",
)  # fmt: skip
words = st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=20))
numbers = st.one_of(
    st.integers(-3, 3), st.integers(), st.floats(), st.sampled_from([10**30, -(10**30)])
)
json_values: SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def mutated_bytes(valid: bytes) -> SearchStrategy[bytes]:
    """`valid` with bytes changed, cut or inserted; or other bytes."""
    place = st.integers(0, max(len(valid), 1))

    def changed(edits: list[tuple[str, int, bytes]]) -> bytes:
        data = bytearray(valid)
        for kind, at, new in edits:
            if kind == "cut":
                del data[at:]
            elif kind == "drop":
                del data[at : at + len(new)]
            elif kind == "insert":
                data[at:at] = new
            else:
                data[at : at + len(new)] = new
        return bytes(data)

    kinds = st.sampled_from(["cut", "drop", "insert", "change"])
    edits = st.lists(st.tuples(kinds, place, st.binary(min_size=1, max_size=8)), max_size=4)
    return st.one_of(edits.map(changed), st.binary(max_size=200))


def mutated_text(valid: str) -> SearchStrategy[bytes]:
    """`valid` with pieces replaced by odd words, as UTF-8 where it can be; or changed bytes."""
    place = st.integers(0, max(len(valid), 1))

    def changed(edits: list[tuple[int, int, str]]) -> bytes:
        text = valid
        for at, count, new in edits:
            text = text[:at] + new + text[at + count :]
        return text.encode("utf-8", "surrogatepass")

    edits = st.lists(st.tuples(place, st.integers(0, 12), words), min_size=1, max_size=3)
    return st.one_of(edits.map(changed), mutated_bytes(valid.encode()))


def mutated_json(valid: Any) -> SearchStrategy[bytes]:
    """`valid` with values replaced, removed or added somewhere inside; or changed text."""

    def changed(edits: list[tuple[list[int], str, str, Any]]) -> bytes:
        root = [copy.deepcopy(valid)]
        for path, kind, name, value in edits:
            _edit(root, path, kind, name, value)
        return json.dumps(root[0]).encode()

    path = st.lists(st.integers(0, 30), min_size=1, max_size=6)
    edit = st.tuples(path, st.sampled_from(["set", "drop", "add"]), words, json_values)
    return st.one_of(
        st.lists(edit, min_size=1, max_size=3).map(changed), mutated_text(json.dumps(valid))
    )


def _edit(root: list[Any], path: list[int], kind: str, name: str, value: Any) -> None:
    holder: Any = root
    key: Any = 0
    for step in path:
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder = inner
        key = list(inner)[step % len(inner)] if isinstance(inner, dict) else step % len(inner)
    if kind == "set":
        holder[key] = value
    elif kind == "drop" and holder is not root:
        del holder[key]
    elif kind == "add" and isinstance(holder, dict):
        holder[name] = value

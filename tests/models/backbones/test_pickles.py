"""Pickles of weights are weighed before they are read: some keys would take for ever."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptbench.errors import UserError
from promptbench.models.backbones import pickles, state_dicts

DOUBLED, NESTED = b"2\x86", b"\x85"  # opcodes: a pair of the same, a tuple of one


def keyed(levels: int, step: bytes) -> bytes:
    """A dictionary whose key is a tuple that was made from an empty one by these steps."""
    return b"\x80\x02})" + step * levels + b"K\x01s."


def scripted(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/code/x.py", b"")
        file.writestr("x/data.pkl", data)


def saved(path: Path, data: bytes) -> None:
    torch.save({}, path)
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, data if name.endswith("data.pkl") else content)


def of_old_form(path: Path, data: bytes) -> None:
    torch.save({}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert content.count(b"\x80\x02}q\x00.") == 1
    path.write_bytes(content.replace(b"\x80\x02}q\x00.", data))


@pytest.mark.parametrize("form", [scripted, saved, of_old_form])
@pytest.mark.parametrize(("levels", "step"), [(60, DOUBLED), (50_000, NESTED)])
def test_a_key_of_tuples_is_refused_unread(
    form: object, levels: int, step: bytes, tmp_path: Path
) -> None:
    assert callable(form)
    form(tmp_path / "w.pt", keyed(levels, step))
    with pytest.raises(UserError, match=r"refused to read weights .* it holds a tuple of"):
        state_dicts.read(tmp_path / "w.pt")


ONE_HASH = 2**61 - 1
HEAVY = {
    "more than 20,000 steps": b"\x80\x02" + b"]" * 20_001 + b".",
    "it numbers an object 268,435,455": b"\x80\x02}r\xff\xff\xff\x0f.",
    "it numbers an object 3,000,000": b"}p3000000\n.",
    "1,000 of its keys": pickle.dumps({number * ONE_HASH: None for number in range(9, 2000)}),
    "more than 1,000 of its key": pickle.dumps({(number, 0): None for number in range(1001)}),
    "than 1,000 of its keys": pickle.dumps({(number, 0) for number in range(1001)}),
    "1,000 of its keys are": pickle.dumps(frozenset((number,) for number in range(1001))),
    "neither texts nor plain numbers": pickle.dumps({(number,): 0 for number in range(1001)}, 0),
}


@pytest.mark.parametrize("form", [scripted, saved, of_old_form])
@pytest.mark.parametrize("said", list(HEAVY))
def test_more_memory_or_time_than_weights_take_is_refused_unread(
    form: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(form) and pickles._MOST_STEPS == 2_000_000
    monkeypatch.setattr(pickles, "_MOST_STEPS", 20_000)
    form(tmp_path / "w.pt", HEAVY[said])
    with pytest.raises(UserError, match=f"refused to read weights .*{said}"):
        state_dicts.read(tmp_path / "w.pt")


def test_what_trainings_hold_beside_weights_is_light() -> None:
    """Thousands of parameters by number, histories, and the 128-bit states of random generators."""
    state = {number: {"step": 2**40, "name": str(number)} for number in range(5000)}
    history = [(number, 0.5) for number in range(20_000)]
    streams = [{"state": 2**127 + number} for number in range(16)]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickles.weigh(io.BytesIO(pickle.dumps([state, history, streams], protocol)))


def test_keys_of_a_few_tuples_are_read() -> None:
    pickles.weigh(io.BytesIO(keyed(8, DOUBLED)))
    pickles.weigh(io.BytesIO(keyed(50, NESTED)))


def test_a_wide_tuple_counts_each_time_that_it_is_met() -> None:
    wide = tuple(range(1000))
    pickles.weigh(io.BytesIO(pickle.dumps((wide,) * 90)))
    with pytest.raises(pickles.TooHeavy):
        pickles.weigh(io.BytesIO(pickle.dumps((wide,) * 110)))
    with pytest.raises(pickles.TooHeavy):
        pickles.weigh(io.BytesIO(pickle.dumps(frozenset([(wide,) * 60, (wide, *(wide,) * 60)]))))


def test_lists_and_dictionaries_may_share_and_nest() -> None:
    """They have no hash, so that nobody has to visit their parts."""
    shared: object = []
    for _ in range(200):
        shared = [shared, {"a": shared}]
    pickles.weigh(io.BytesIO(pickle.dumps(shared)))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.tuples(st.integers(), st.text()), inner)
        | st.builds(OrderedDict, st.dictionaries(st.text(), inner))
        | st.frozensets(st.integers())
    ),
    max_leaves=20,
)


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_any_plain_pickle_is_light_and_the_file_stands_behind_it(
    content: object, protocol: int
) -> None:
    file = io.BytesIO(pickle.dumps(content, protocol) + b"rest")
    pickles.weigh(file)
    assert file.read() == b"rest"


@given(st.binary(max_size=60))
def test_any_bytes_are_weighed_or_damaged(data: bytes) -> None:
    try:
        pickles.weigh(io.BytesIO(data))
    except (ValueError, IndexError, KeyError, UnicodeDecodeError):
        return

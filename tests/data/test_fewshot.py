"""The few-shot sampler: the CoOp algorithm, checked against known subsets and its properties."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.core.class_sets import STANDARD
from promptbench.core.protocol import Source
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.data.fewshot import draw, fingerprint, sample, sample_held_out
from promptbench.data.layouts import coop
from promptbench.data.shards.hashes import sha256_of

labels = st.lists(st.integers(0, 6), min_size=1, max_size=120)


@given(labels, st.integers(1, 20), st.integers(0, 5))
def test_takes_shots_of_each_class_or_all_it_has(rows: list[int], shots: int, seed: int) -> None:
    chosen = sample(rows, shots, seed)
    assert len(set(chosen)) == len(chosen)
    sizes, taken = Counter(rows), Counter(rows[i] for i in chosen)
    assert all(taken[label] == min(size, shots) for label, size in sizes.items())


@given(labels, st.integers(1, 20))
def test_classes_come_in_order_of_first_appearance(rows: list[int], shots: int) -> None:
    order = list(dict.fromkeys(rows[i] for i in sample(rows, shots, 1)))
    assert order == list(dict.fromkeys(rows))


def test_one_stream_runs_through_all_classes() -> None:
    rows = [3] * 10 + [1] * 2 + [2] * 10
    stream = random.Random(7)
    expected = [*stream.sample(range(10), 4), 10, 11, *stream.sample(range(12, 22), 4)]
    assert sample(rows, 4, 7) == expected


def test_known_subset() -> None:
    """Frozen: a change of Python's generator or of the algorithm must not pass unseen."""
    assert sample([0] * 8 + [1] * 8, 3, 1) == [2, 4, 0, 12, 8, 11]


@given(st.integers(2, 1000))
def test_halves_cover_all_classes_once(n: int) -> None:
    base, new = STANDARD["base"](n), STANDARD["new"](n)
    assert [*base, *new] == list(STANDARD["all"](n))
    assert len(base) - len(new) in (0, 1)


SPLITS = os.environ.get("PROMPTBENCH_SPLITS")
GOLDEN = json.loads((Path(__file__).with_name("fewshot_fingerprints.json")).read_text())


def split_file(card: DataCard) -> Path:
    return Path(SPLITS or "") / card.source.options.get("split_file", "none")


def subset(rows: list[coop.Row], shots: int, stream: random.Random) -> list[str]:
    return [rows[i][0] for i in draw([label for _, label, _ in rows], shots, stream)]


def held_out(rows: Mapping[str, Sequence[Sequence[Any]]], shots: int, seed: int) -> list[str]:
    """The paths of a validation subset."""
    trained_on, labels = ([row[1] for row in rows[split]] for split in ("train", "val"))
    asked = Source("any", "all", shots).validation_shots
    return [rows["val"][i][0] for i in sample_held_out(trained_on, labels, shots, asked, seed)]


@pytest.mark.parametrize("key", sorted(GOLDEN["fingerprints"]["dtd"]))
def test_validation_subsets_of_a_whole_split_file_equal_the_fields(key: str) -> None:
    packed = Path(__file__).with_name("split_dtd.json.gz").read_bytes()
    rows = json.loads(gzip.decompress(packed))
    shots, seed = (int(part.partition("_")[2]) for part in key.split("-"))
    found = held_out(rows, shots, seed)
    expected = GOLDEN["fingerprints"]["dtd"][key]
    assert (len(found), fingerprint(found)) == (expected["val_n"], expected["val_sha256"])


@pytest.mark.skipif(not SPLITS, reason="PROMPTBENCH_SPLITS names no folder with split_zhou_*.json")
@pytest.mark.parametrize("name", sorted(GOLDEN["fingerprints"]))
def test_subsets_equal_the_fields(name: str) -> None:
    path = split_file(cards.load(name))
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    rows = coop.parse(path.read_text(), str(path))
    for key, expected in GOLDEN["fingerprints"][name].items():
        shots, seed = (int(part.partition("_")[2]) for part in key.split("-"))
        stream = random.Random(seed)
        train = subset(rows["train"], shots, stream)
        val = subset(rows["val"], min(shots, 4), stream)
        assert (len(train), len(val)) == (expected["train_n"], expected["val_n"])
        assert fingerprint(train) == expected["train_sha256"]
        assert fingerprint(val) == expected["val_sha256"]
        assert val == held_out(rows, shots, seed)
        assert train == [
            rows["train"][i][0] for i in sample([r[1] for r in rows["train"]], shots, seed)
        ]


@pytest.mark.skipif(not SPLITS, reason="PROMPTBENCH_SPLITS names no folder with split_zhou_*.json")
@pytest.mark.parametrize("name", sorted(GOLDEN["fingerprints"]))
def test_split_files_agree_with_their_cards(name: str) -> None:
    card = cards.load(name)
    path = split_file(card)
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    rows = coop.parse(path.read_text(), str(path))
    assert {split: len(found) for split, found in rows.items()} == card.splits
    for found in rows.values():
        assert {label: cls for _, label, cls in found} == dict(enumerate(card.classes))
    published = {archive.file: archive.sha256 for archive in card.archives}
    assert sha256_of(path) == published[path.name]


def test_a_synthetic_split_file_gives_the_known_subset() -> None:
    """Frozen by hand-checking the algorithm: classes in order of first appearance (c, a, b)."""
    listed = [[f"{name}/{i}.jpg", "abc".index(name), name] for name in "cab" for i in range(6)]
    rows = coop.parse(json.dumps({"train": listed, "val": listed[:9], "test": listed}), "split")
    stream = random.Random(1)
    assert subset(rows["train"], 2, stream) == [
        "c/1.jpg", "c/4.jpg", "a/0.jpg", "a/2.jpg", "b/0.jpg", "b/3.jpg",
    ]  # fmt: skip
    assert subset(rows["val"], 4, stream)[4:] == ["a/0.jpg", "a/1.jpg", "a/2.jpg"]  # all it has

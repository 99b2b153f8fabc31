"""Pictures of mistakes are the record's own images, or it is said why they are not shown."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptbench.data.images.pictures import decoded, fitted
from promptbench.data.shards import shards, store
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import RunError
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records import Record
from promptbench.records.scores import folders
from promptbench.report import mistakes
from promptbench.report.mistakes import pictures
from promptbench.support.progress import Reporter
from tests.report.mistaken import answers, target_of, written

NAME, SIDE = "fills", 48


@pytest.fixture(scope="module")
def data(cache: Path) -> ShardSet:
    return store.provide(NAME, None, Reporter())


def made(folder: Path, data: ShardSet, **changes: Any) -> Record:
    """A record of the dataset, whose keys are not its own."""
    classes = len(data.card.classes)
    used = {
        "card_version": data.card.version,
        "card_sha256": data.card.digest,
        "shards_sha256": data.index.digest,
    }
    facts = [target_of(folder, answers(1, classes, 3), NAME)]
    return written(folder, facts, data={NAME: used | changes})


def test_pictures_are_those_of_the_keys(tmp_path: Path, data: ShardSet) -> None:
    entries = data.manifest("test")[:40:13]
    found = pictures(made(tmp_path, data), NAME, "test", [e.key for e in entries], None, SIDE)
    assert not found.why and list(found.images) == [entry.key for entry in entries]
    for item in data.items(entries):
        own = fitted(decoded(item), SIDE)
        assert max(own.size) == SIDE and (np.asarray(own) == found.images[item.key]).all()


def test_keys_that_are_not_there_are_said(tmp_path: Path, data: ShardSet) -> None:
    key = data.manifest("test")[0].key
    found = pictures(made(tmp_path, data), NAME, "test", [key, "other", "another"], None, SIDE)
    assert list(found.images) == [key]
    assert found.why == f"2 images of the record are not in {NAME}"


def test_other_images_than_the_records_are_not_shown(tmp_path: Path, data: ShardSet) -> None:
    key = data.manifest("test")[0].key
    record = made(tmp_path, data, shards_sha256="1" * 64)
    found = pictures(record, NAME, "test", [key], None, SIDE)
    assert not found.images and "not those of the record (their hash differs)" in found.why


def test_damaged_shards_are_not_shown(
    tmp_path: Path, data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(data.folder, tmp_path / "copy"))
    entry = data.manifest("test")[0]
    with (folder / entry.shard).open("r+b") as file:
        file.seek(entry.offset + 20)
        file.write(b"?!")
    monkeypatch.setattr(store, "folder_of", lambda card, root: folder)
    found = pictures(made(tmp_path / "r", data), NAME, "test", [entry.key], None, SIDE)
    assert not found.images and "is not the file of its index" in found.why


def test_a_dataset_that_is_not_prepared_is_said(tmp_path: Path, data: ShardSet) -> None:
    used = {"card_version": 1, "card_sha256": "0" * 64, "shards_sha256": "0" * 64}
    own = made(tmp_path, data).model_copy(update={"data": {}})
    found = pictures(own, NAME, "test", ["a"], None, SIDE)
    assert "does not say which images of fills" in found.why
    facts = [target_of(tmp_path / "d", answers(1, 47, 1), "dtd")]
    record = written(tmp_path / "d", facts, data={"dtd": used})
    found = pictures(record, "dtd", "test", ["a"], tmp_path, SIDE)
    assert found.why == (
        "no pictures: dtd is not prepared on this disk (--data names where; "
        "promptbench data prepare dtd)"
    )


def test_a_site_holds_each_picture_once_and_a_bounded_number(
    tmp_path: Path, data: ShardSet
) -> None:
    record = made(tmp_path / "r", data)
    (errors,) = mistakes.errors([record], folders([tmp_path / "r"]))
    keys = [entry.key for entry in data.manifest("test")]
    out = Thumbnails(tmp_path, "pictures", None, most=4)
    first = out.of(errors, keys[:3])
    assert len(first.places) == 3 and not first.why and first.licence.startswith("fills, licence:")
    assert out.of(errors, keys[:3]) == first
    second = out.of(errors, keys[3:6])
    assert len(second.places) == 1 and "the site holds its most" in second.why
    third = out.of(errors, keys[6:9])
    assert not third.places and third.why == "no pictures: the site holds its most, 4 of them"
    files = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    shown = {*first.places.values(), *second.places.values()}
    assert files == sorted(Path(place).name for place in shown) and len(files) == 4


def test_the_samples_of_a_split_are_parsed_once_and_those_of_another_manifest_are_not_taken(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shards.samples_of(data, "test")
    assert list(first) == data.manifest("test")
    monkeypatch.setattr(shards, "parse_manifest", lambda *_: [])
    assert shards.samples_of(dataclasses.replace(data), "test") is first
    splits = data.index.splits
    other = splits["test"].model_copy(update={"manifest": "0" * 64})
    index = data.index.model_copy(update={"splits": {**splits, "test": other}})
    with pytest.raises(RunError, match="sha256 differs"):
        shards.samples_of(dataclasses.replace(data, index=index), "test")

"""Shards that a server damages, enlarges or exchanges: a bound, one sentence, another try."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from promptbench.catalogue import prepared
from promptbench.data import layouts
from promptbench.data.cards import cards, checking, new_card
from promptbench.data.shards import remote, shards, store, writing
from promptbench.data.shards.index import ShardIndex
from promptbench.data.shards.shards import ShardSet
from tests.data import toy
from tests.data.bad_server import MIB, Raw, endless, left, own_cache, raw, sends
from tests.data.test_remote import Messages
from tests.data.toy import SAY_NOTHING, refused

__all__ = ["own_cache", "raw"]  # fixtures

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def served(raw: Raw, tmp_path: Path) -> tuple[Raw, Path]:
    """A prepared dataset `toy` behind a server, and its card `far`."""
    folder = tmp_path / "toy"
    writing.write(toy.card(), folder, toy.source(), writing.WritingOptions(), SAY_NOTHING)
    serve(raw, folder)
    new_card.write("far", f"wds:{raw.url}", new_card.Facts(template="a {}."), SAY_NOTHING)
    raw.sent = 0
    return raw, folder


def serve(raw: Raw, folder: Path) -> None:
    for path in folder.iterdir():
        raw.answers[path.name] = sends(path.read_bytes())  # without a length
    raw.answers["card.toml"] = sends(b"", status="404 Not Found")


def old_index(folder: Path) -> bytes:
    """The index as versions without sizes wrote it."""
    found = shards.read_index(folder / "index.json")
    bare = {"sizes": None, "manifest_size": None}
    splits = {name: part.model_copy(update=bare) for name, part in found.splits.items()}
    changed = found.model_copy(update={"splits": splits})
    return changed.model_dump_json(indent=1, exclude_none=True).encode()


def test_an_index_says_sizes_which_are_part_of_no_digest(served: tuple[Raw, Path]) -> None:
    _, folder = served
    new = shards.read_index(folder / "index.json")
    for name in [path.name for path in folder.iterdir() if path.name != "index.json"]:
        assert new.size_of(name) == (folder / name).stat().st_size
    old = ShardIndex.model_validate_json(old_index(folder))
    assert old.digest == new.digest and old.size_of("test-000000.tar") is None
    facts = [f"{s} {i.manifest} {' '.join(i.shards.values())}" for s, i in new.splits.items()]
    assert new.digest == hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()
    wrong = new.splits["test"].model_dump() | {"sizes": {}}
    with pytest.raises(ValueError, match="one size for each of the shards"):
        type(new.splits["test"]).model_validate(wrong)


def of_age(served: tuple[Raw, Path], age: str) -> tuple[Raw, ShardSet]:
    """The server and its dataset, with an index that says sizes, or an older one without."""
    raw, folder = served
    if age == "old":
        raw.answers["index.json"] = sends(old_index(folder))
        remote.cached_path(raw.url, "index.json").unlink()
    return raw, store.provide("far", None, SAY_NOTHING)


@pytest.mark.parametrize("age", ["new", "old"])
def test_an_endless_shard_stops_at_its_size(
    served: tuple[Raw, Path], own_cache: Path, age: str
) -> None:
    raw, data = of_age(served, age)
    right = raw.answers["test-000000.tar"]
    raw.answers["test-000000.tar"] = endless()
    message = "more than the [0-9]+ bytes of its index" if age == "new" else "is larger than the"
    refused(rf"test-000000\.tar .*{message}", lambda: list(data.stream("test")))
    assert raw.sent < 40 * MIB and sorted(left(own_cache)) == ["index.json", "test.manifest.csv.gz"]
    raw.answers["test-000000.tar"] = right
    assert len(list(data.stream("test"))) == 55


@pytest.mark.parametrize("age", ["new", "old"])
def test_an_endless_manifest_stops_at_its_size(
    served: tuple[Raw, Path], own_cache: Path, age: str
) -> None:
    raw, data = of_age(served, age)
    raw.answers["test.manifest.csv.gz"] = endless()
    refused(r"test\.manifest\.csv\.gz .*(more than|is larger than)", data.manifest, "test")
    assert left(own_cache) == ["index.json"]


@pytest.mark.parametrize("of", ["shards", "manifest"])
def test_sizes_that_a_server_made_larger_are_refused(served: tuple[Raw, Path], of: str) -> None:
    raw, folder = served
    found = shards.read_index(folder / "index.json")
    test, huge = found.splits["test"], 2**33
    sizes = {"sizes": dict.fromkeys(test.shards, huge)} if of == "shards" else {}
    changed = test.model_copy(update=sizes or {"manifest_size": huge})
    splits = {**found.splits, "test": changed}
    text = found.model_copy(update={"splits": splits}).model_dump_json(exclude_none=True)
    remote.cached_path(raw.url, "index.json").write_text(text)
    data = store.provide("far", None, SAY_NOTHING)
    refused("says that test.* has 8589934592 bytes, which it cannot have",
            lambda: list(data.stream("test")))  # fmt: skip


@pytest.mark.parametrize("damage", [b"", b'{"format"', b"<html>sign in</html>"])
def test_a_damaged_copy_of_an_index_is_fetched_again(
    served: tuple[Raw, Path], damage: bytes
) -> None:
    raw, _ = served
    copy = remote.cached_path(raw.url, "index.json")
    copy.write_bytes(damage)
    assert prepared.state_of(cards.load("far"), None).startswith("served, its copy is damaged")
    heard = Messages()
    store.provide("far", None, heard)
    assert len(heard.texts) == 1 and "fetching it again" in heard.texts[0]
    assert shards.read_index(copy).splits["test"].count == 55
    raw.answers["index.json"] = sends(b"<!doctype html>")
    copy.write_bytes(damage)
    refused(rf"{raw.url}/index\.json is not an index, it is a web page", store.provide, "far", None,
            SAY_NOTHING)  # fmt: skip


def test_what_is_being_fetched_is_not_a_difference(served: tuple[Raw, Path]) -> None:
    raw, _ = served
    folder = remote.cached_path(raw.url, "index.json").parent
    (folder / ".test-000000.tar-abcd1234").write_bytes(b"part")
    assert list(checking.differences(store.provide("far", None, SAY_NOTHING), SAY_NOTHING)) == []
    assert not list(folder.glob(".*"))
    (folder / "strange").write_bytes(b"")
    found = checking.differences(store.provide("far", None, SAY_NOTHING), SAY_NOTHING)
    assert list(found) == ["strange: this file does not belong to the dataset"]


def test_a_cached_shard_of_another_size_is_fetched_again(served: tuple[Raw, Path]) -> None:
    raw, _ = served
    data = store.provide("far", None, SAY_NOTHING)
    assert len(list(data.stream("test"))) == 55
    copy = remote.cached_path(raw.url, "test-000000.tar")
    copy.write_bytes(copy.read_bytes()[:1000])
    raw.asked.clear()
    assert len(list(data.stream("test"))) == 55 and raw.asked == ["test-000000.tar"]


def test_a_cached_tar_of_others_that_is_damaged_is_fetched_again(raw: Raw, own_cache: Path) -> None:
    tar = toy.tar(own_cache / "t.tar", [*toy.sample("a", 0), *toy.sample("b", 1)]).read_bytes()
    raw.answers["t.tar"] = sends(tar)
    options = {"splits": {"test": ["t.tar"]}}
    card = toy.card(
        classes=["x", "y"], splits={"test": 2}, source={"kind": "wds", "options": options}
    )
    opened = (layouts.open_source, card, raw.url)
    layouts.open_source(card, raw.url, SAY_NOTHING)
    remote.cached_path(raw.url, "t.tar").write_bytes(tar[:700])
    heard = Messages()
    assert len(layouts.open_source(card, raw.url, heard).samples("test")) == 2
    assert "t.tar is damaged; fetching it again" in heard.texts[0]
    remote.cached_path(raw.url, "t.tar").unlink()
    raw.answers["t.tar"], raw.asked = sends(b"<html>"), []
    refused("not a plain tar, it is a web page", *opened, SAY_NOTHING)
    assert raw.asked == ["t.tar"]  # it had just come

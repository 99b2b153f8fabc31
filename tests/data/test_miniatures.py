"""The fifteen layouts, from the folders that groups have on disk to a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.data.cards import cards
from promptbench.data.shards import store
from promptbench.tracking import Listener
from tests.data import miniatures
from tests.data.test_cards import CLIP, VARIANTS

SOURCES = [name for name in CLIP if name not in VARIANTS]


def call(*arguments: str) -> str:
    found = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return str(found.stdout)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of miniature cards and of the shards that `data prepare` makes of the layouts."""
    folder = tmp_path_factory.mktemp("miniatures")
    for name in CLIP:
        miniatures.build(name, folder / "coop", folder / "cards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "packaged", lambda: folder / "cards")
        where = ("--source", str(folder / "coop"), "--out", str(folder / "root"))
        out = call("data", "prepare", *CLIP, *where)
        assert len(out.splitlines()) == len(CLIP)
    return folder / "cards", folder / "root"


@pytest.fixture
def root(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cards, "packaged", lambda: places[0])
    return places[1]


@pytest.mark.parametrize("name", CLIP)
def test_every_layout_is_prepared_and_verified(name: str, root: Path) -> None:
    assert "all hashes and counts are right" in call("data", "verify", name, "--data", str(root))
    data = store.provide(name, root, Listener())
    n = len(data.card.classes)
    assert data.index.splits["test"].per_class == [miniatures.TEST] * n
    if name not in VARIANTS:
        assert data.index.splits["train"].per_class == [miniatures.TRAIN] * n


def test_digests_follow_from_what_records_hold(root: Path) -> None:
    data = store.provide("dtd", root, Listener())
    card, shards = data.card, data.index.digest
    assert store.digests(["dtd"], root) == {"dtd": store.digest_of(card, shards, None)}
    others = {store.digest_of(card, shards, 288), store.digest_of(card, "0" * 64, None)}
    assert len({card.digest, store.digest_of(card, shards, None), *others}) == 4


def test_digests_of_shards_that_follow_from_the_card_are_the_cards() -> None:
    card = cards.load("fills")
    assert store.digests(["fills"], None) == {"fills": card.digest}
    assert store.digest_of(card, "0" * 64, None) == card.digest


def test_canonical_orders(root: Path) -> None:
    def labels(name: str, split: str) -> list[int]:
        return [entry.label for entry in store.provide(name, root, Listener()).manifest(split)]

    assert labels("oxford_flowers", "train")[0] == 3 and labels("food101", "train")[0] == 0
    assert labels("imagenetv2", "test") == sorted(labels("imagenetv2", "test"))
    imagenet = store.provide("imagenet", root, Listener()).manifest("train")
    keys = [entry.key for entry in imagenet if entry.label == 0]
    assert keys == sorted(keys) and keys[0] == "images/train/n01440764/n01440764_14"


TINY = ("--suite", "clip", "--backbone", "promptbench-tiny", "--weights", "demo", "--seeds", "1")


def test_the_clip_suite_runs_from_start_to_end(root: Path, tmp_path: Path) -> None:
    few = ("--set", "Recipe.epochs=1", "--set", "CoOp.n_ctx=4")  # 32 tokens hold no more
    run = ("run", "--method", "coop", *few, "--shots", "2", *TINY)
    there = ("--data", str(root), "--out", str(tmp_path))
    table = call(*run, "--protocol", "base_to_new", *there)
    assert all(name in table for name in SOURCES)
    variants = ",".join(VARIANTS)
    table = call(*run, "--protocol", "cross_dataset", "--datasets", variants, *there)
    assert all(name in table for name in VARIANTS)
    report = call("report", str(tmp_path), "--format", "csv")
    assert "CoOp" in report and "nan" not in report
    assert call("validate", str(tmp_path)).count("valid  ") == 2 * len(SOURCES) + 2


def test_sets_that_are_not_prepared_are_named_with_the_command(tmp_path: Path) -> None:
    command = ["run", "--method", "coop", "--protocol", "base_to_new", "--suite", "clip"]
    found = CliRunner().invoke(main, [*command, "--data", str(tmp_path)])
    assert found.exit_code == 2
    assert "11 datasets are not prepared" in found.output
    assert "promptbench data prepare imagenet caltech101" in found.output


def test_the_wrong_folder_is_a_clear_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in CLIP:
        where = ("--source", str(tmp_path / "empty"), "--out", str(tmp_path / "out"))
        found = CliRunner().invoke(main, ["data", "prepare", name, *where])
        assert (
            found.exit_code == 2 and "error: " in found.output and "Traceback" not in found.output
        )

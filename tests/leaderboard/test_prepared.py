"""Records of the clip suite, from a dataset that was prepared: verified, submitted, shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.data import fewshot
from promptbench.data.cards import cards
from promptbench.data.shards import shards
from promptbench.leaderboard.checking import known, shard_checks
from promptbench.leaderboard.checking.verdicts import judge
from tests.calling import call
from tests.data import miniatures
from tests.forbidding import forbid
from tests.leaderboard.forging import forge

TINY = ("--suite", "clip", "--backbone", "promptbench-tiny", "--weights", "demo", "--seeds", "1")
FEW = ("--datasets", "dtd", "--shots", "2", "--set", "Recipe.epochs=1", "--set", "CoOp.n_ctx=4")


def stand_in(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the cards in `folder` be those of the package, also for the leaderboard's memory."""
    patch.setattr(cards, "packaged", lambda: folder)
    patch.setattr(known, "card", cards.load)
    patch.setattr(known, "dataset_names", lambda: frozenset(cards.names()))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cards, shards and runs of a miniature of DTD, at full size and made smaller."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(cards.packaged(), folder / "cards", ignore=shutil.ignore_patterns("*.py"))
    (shipped,) = (folder / "cards").glob("**/dtd.toml")
    miniatures.build("dtd", folder / "source", folder / "mini")
    shutil.copyfile(folder / "mini" / "dtd.toml", shipped)
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, folder / "cards")
        for variant, more in (("full", ()), ("small", ("--resize-short", "288"))):
            where = ("--source", folder / "source", "--out", folder / variant)
            prepared = call("data", "prepare", "dtd", *where, *more)
            assert prepared.exit_code == 0, prepared.output
            places = ("--data", folder / variant, "--out", folder / f"runs-{variant}")
            ran = call("run", "--method", "coop", "--protocol", "few_shot", *TINY, *FEW, *places)
            assert ran.exit_code == 0, ran.output
    return folder


@pytest.fixture
def prepared(done: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in(monkeypatch, done / "cards")
    return done


@pytest.mark.parametrize("variant", ["full", "small"])
@pytest.mark.parametrize("with_shards", [True, False])
def test_records_of_prepared_data_are_verified(
    prepared: Path, variant: str, with_shards: bool
) -> None:
    root = prepared / (variant if with_shards else "none")
    root.mkdir(exist_ok=True)
    found = call("leaderboard", "verify", prepared / f"runs-{variant}", "--data", root)
    assert found.exit_code == 0, found.output
    assert found.stdout.count("verified " if with_shards else "consistent ") == 2
    assert ("not checked against shards" in found.stdout) is not with_shards


def test_prepared_data_that_may_not_be_read_are_not_absent(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, prepared / "full" / "dtd")
    for command in (("leaderboard", "verify", prepared / "runs-full"), ("data", "ls")):
        found = call(*command, "--data", prepared / "full")
        assert found.exit_code == 2, found.output
        assert "full/dtd/index.json: Permission denied" in " ".join(found.stderr.split())


def test_records_of_prepared_data_are_submitted_and_shown(prepared: Path, tmp_path: Path) -> None:
    runs, data = prepared / "runs-full", ("--data", prepared / "full")
    sent = call("leaderboard", "submit", runs, "--out", tmp_path / "pr", *data)
    assert sent.exit_code == 0, sent.output
    text = (tmp_path / "pr" / "PULL_REQUEST.md").read_text(encoding="utf-8")
    assert "| clip | few_shot | coop | dtd | 2 | 1 | verified |" in text
    built = call("leaderboard", "build", tmp_path / "pr", "--out", tmp_path / "site", *data)
    assert built.exit_code == 0 and "left out" not in built.stderr, built.output
    copied = {p.read_bytes() for p in records.find([tmp_path / "site" / "records"])}
    assert copied == {p.read_bytes() for p in records.find([runs])}


def test_the_size_of_stored_images_is_that_of_the_shards(prepared: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(prepared / "runs-full", tmp_path / "runs"))
    (original,) = records.find([runs / "clip" / "few_shot" / "coop"])
    path = forge(
        original, tmp_path / "forged", lambda r, _: r["data"]["dtd"].update(resize_short=300)
    )
    verdict = judge(path, prepared / "full")
    assert verdict.state == "refused" and "stored at 300 pixels, it says" in verdict.reasons[0]


def test_the_few_shots_of_a_seed_are_those_of_no_other(prepared: Path) -> None:
    data = shards.open_set(cards.load("dtd"), prepared / "full" / "dtd")
    entries = data.manifest("train")
    labels = [entry.label for entry in entries]
    (path,) = records.find([prepared / "runs-full" / "clip" / "few_shot" / "coop"])
    own = records.read(path)
    for seed in (1, 2, 3):
        keys = [entries[place].key for place in fewshot.sample(labels, 2, seed)]
        source = own.source.model_copy(update={"keys": keys})
        drawn = own.model_copy(update={"source": source})
        for other in (1, 2, 3):
            record = drawn.model_copy(update={"seed": other})
            found = list(shard_checks.reasons(record, {}, {"dtd": data}))
            subset = f"the few-shot subset is not the one of seed {other} with 2 shots"
            assert found == ([] if other == seed else [subset])


@pytest.mark.parametrize("change", [{"shards_sha256": "0" * 64}, {"resize_short": 288}])
def test_other_shards_make_another_training(
    prepared: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    runs = Path(shutil.copytree(prepared / "runs-full", tmp_path / "runs"))
    (path,) = records.find([runs / "clip" / "few_shot" / "coop"])
    record = json.loads(path.read_text(encoding="utf-8"))
    record["data"]["dtd"] |= change
    path.write_text(json.dumps(record), encoding="utf-8")
    verdict = judge(path, tmp_path / "none")
    assert verdict.state == "refused" and "training id is not that" in verdict.reasons[0]

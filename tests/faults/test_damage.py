"""Files that have changed on disk: noticed by their hash, moved aside, computed again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import promptbench
from promptbench import records
from promptbench.errors import RunError
from promptbench.running.failures import CellsFailed
from promptbench.running.predicting.feature_cache import FeatureCache
from promptbench.storage import integrity
from tests.faults import driver
from tests.faults.driver import TINY
from tests.short_form import first

# Snapshots after every step, each of which looks at all towers, only where one is damaged.
ONE: dict[str, Any] = {"seeds": [1], "baseline": False, "checkpoint_minutes": 5}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    driver.run(out, **ONE)
    return driver.numbers(out)


def flip(path: Path, place: int = -40) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name",
    first(
        2,
        ["record.json", "predictions/counts-new.csv.gz", "learned.safetensors", integrity.SUMS],
    ),
)
def test_a_damaged_cell_is_not_done(
    undisturbed: dict[str, Any], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.run(tmp_path, **ONE)
    (record,) = records.find([tmp_path])
    flip(record.parent / name)
    driver.run(tmp_path, **{**ONE, "quiet": False})
    said = " ".join(capsys.readouterr().err.split())
    assert "record.json is damaged" in said and "moved to record.json.damaged-1" in said
    assert driver.numbers(tmp_path) == undisturbed
    assert (record.parent / "record.json.damaged-1").is_file()


@pytest.mark.parametrize("name", ["learned.safetensors", "training.json"])
def test_a_damaged_training_is_trained_again(
    undisturbed: dict[str, Any], tmp_path: Path, name: str
) -> None:
    driver.run(tmp_path, **ONE)
    (training,) = (tmp_path / "demo" / "trainings").iterdir()
    (record,) = records.find([tmp_path])
    record.unlink()
    flip(training / name)
    driver.run(tmp_path, **ONE)
    assert (training / "training.json.damaged-1").is_file()
    assert driver.numbers(tmp_path) == undisturbed


@pytest.mark.parametrize("place", first(2, [40, -1, 3, 200]))
def test_a_damaged_checkpoint_is_moved_aside_and_training_begins_anew(
    undisturbed: dict[str, Any], tmp_path: Path, place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = {**ONE, "checkpoint_minutes": 0}
    fault |= {"set": [*TINY["set"], "Noisy.fault='nan'", "Noisy.at=4"]}
    with pytest.raises(CellsFailed, match="diverged"):
        driver.run(tmp_path, **fault)
    (checkpoint,) = tmp_path.rglob("checkpoint.pt")
    whole = checkpoint.read_bytes()
    flip(checkpoint, place)
    with pytest.raises(CellsFailed, match="diverged"):  # at the same step: it began again
        driver.run(tmp_path, retry_failed=True, **{**fault, "quiet": False})
    assert "checkpoint.pt is damaged" in " ".join(capsys.readouterr().err.split())
    assert checkpoint.with_name("checkpoint.pt.damaged-1").is_file()
    assert integrity.unsealed(whole) and checkpoint.is_file()


def test_damaged_cached_features_are_computed_again(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, bound=2**20)
    cache.put("key", torch.ones(3, 4))
    assert cache.get("key", 3) is not None
    flip(tmp_path / "key.safetensors", -1)  # still a valid file of floats
    with pytest.warns(UserWarning, match="hash"):
        assert cache.get("key", 3) is None
    assert not (tmp_path / "key.safetensors").exists()


SHORT: dict[str, Any] = {
    "datasets": ["counts"],
    "seeds": [1],
    "shots": 1,
    "set": ["Recipe.epochs=1"],
    "baseline": False,
    "device": "cpu",
    "quiet": True,
}


def features(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cache / "features").glob("*.safetensors")}


def test_a_damaged_shard_ends_the_run_before_any_number_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> dict[str, Any]:
        promptbench.run("coop", "base_to_new", out=out, **SHORT)
        return driver.numbers(out)

    run(tmp_path / "any")  # the cache of all tests has the dataset now
    own = tmp_path / "cache"
    (prepared,) = cache.glob("data/counts-*")
    shutil.copytree(prepared, own / "data" / prepared.name)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(own))
    before, cached = run(tmp_path / "before"), features(own)
    assert len(cached) == 2  # of two targets
    out = tmp_path / "after"
    for split in ("test", "train"):
        shard = own / "data" / prepared.name / f"{split}-000000.tar"
        whole = shard.read_bytes()
        flip(shard, 700)
        with pytest.raises(RunError, match=f"{split}-000000.tar of dataset counts is not") as found:
            run(out)
        assert found.value.exit_code == 2
        assert not [path for path in out.rglob("*") if path.suffix in (".json", ".gz", ".log")]
        assert features(own) == cached
        shard.write_bytes(whole)
    assert run(out) == before and features(own) == cached

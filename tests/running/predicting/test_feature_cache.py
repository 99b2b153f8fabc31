"""The folder of feature files: bounded, shared, and never trusted when damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import promptbench
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.running.predicting.feature_cache import FeatureCache


def some(features: Tensor | None) -> Tensor:
    assert features is not None
    return features


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_features_come_back_as_the_tower_gave_them(dtype: torch.dtype, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 2**20)
    given = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    cache.put("k", given)
    found = some(cache.get("k", 5))
    assert found.dtype == dtype and torch.equal(found, given)


def test_least_recently_used_files_go(tmp_path: Path) -> None:
    one = torch.zeros(100, 10)  # 4,000 bytes and a header
    cache = FeatureCache(tmp_path, 9000)
    for age, key in enumerate(("a", "b")):
        cache.put(key, one)
        os.utime(tmp_path / f"{key}.safetensors", (age, age))
    assert cache.get("a", 100) is not None  # used now: b is older
    cache.put("c", one)
    assert {p.stem for p in tmp_path.iterdir()} == {"a", "c"}
    cache.put("huge", torch.zeros(10_000))
    assert cache.get("huge", 10_000) is None and cache.get("a", 100) is not None


def test_broken_or_foreign_files_are_not_used(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 2**20)
    cache.put("k", torch.zeros(5, 2))
    assert cache.get("k", 6) is None
    (tmp_path / "k.safetensors").write_bytes(b"cut off")
    with pytest.warns(UserWarning, match="cannot use the cached features"):
        assert cache.get("k", 5) is None
    assert cache.get("k", 5) is None


def test_files_of_other_users_are_read_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shared folder neither times nor files of others may be changed."""
    cache = FeatureCache(tmp_path, 2**20)
    cache.put("good", torch.ones(5, 2))
    cache.put("damaged", torch.ones(5, 2))
    (tmp_path / "damaged.safetensors").write_bytes(b"cut off")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "utime", forbidden)
    monkeypatch.setattr(Path, "unlink", forbidden)
    assert torch.equal(some(cache.get("good", 5)), torch.ones(5, 2))
    with pytest.warns(UserWarning, match="cannot use the cached features"):
        assert cache.get("damaged", 5) is None
    FeatureCache(tmp_path, 1)._trim()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_good_file_that_cannot_be_read_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache(tmp_path, 2**20)
    cache.put("k", torch.ones(5, 2))

    def unreadable(self: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", unreadable)
        with pytest.warns(UserWarning, match="cannot use the cached features"):
            assert cache.get("k", 5) is None
    assert torch.equal(some(cache.get("k", 5)), torch.ones(5, 2))


def test_cache_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FeatureCache(tmp_path).put("before", torch.ones(5, 2))
    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "0")
    off = FeatureCache(tmp_path)
    off.put("k", torch.zeros(5, 2))
    assert [path.stem for path in tmp_path.iterdir()] == ["before"]
    assert off.get("before", 5) is None  # nor is what an earlier run stored read, or removed
    monkeypatch.delenv("PROMPTBENCH_FEATURES_MB")
    assert FeatureCache(tmp_path).get("before", 5) is not None
    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "lots")
    with pytest.raises(UserError, match="must be a whole number"):
        FeatureCache(tmp_path)


def test_a_bound_that_is_no_number_stops_plan_and_run_before_any_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "abc")
    with pytest.raises(UserError, match=r"PROMPTBENCH_FEATURES_MB must be .* not 'abc'"):
        promptbench.run("zeroshot", "few_shot", datasets=["counts"], out=tmp_path, quiet=True)
    asked = ("--method", "zeroshot", "--protocol", "few_shot", "--out", str(tmp_path))
    for command in (("plan",), ("run", "--dry-run"), ("run",)):
        found = CliRunner().invoke(main, [*command, *asked])
        assert found.exit_code == 2 and "PROMPTBENCH_FEATURES_MB" in found.stderr
    assert not list(tmp_path.iterdir())

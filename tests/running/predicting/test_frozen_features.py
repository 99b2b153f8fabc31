"""Frozen image features: computed once, and the same numbers either way."""

from __future__ import annotations

import dataclasses
import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import promptbench
from promptbench.contract import OTHER, TRAIN, tiny_towers
from promptbench.core import source_code
from promptbench.core.method import Method
from promptbench.core.protocol import Target
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.methods.alignednorm import AlignedNorm
from promptbench.methods.zeroshot import ZeroShot
from promptbench.models.towers.image import VisionTower
from promptbench.records import Record
from promptbench.running.lab import compute as computing
from promptbench.running.lab.compute import resolve
from promptbench.running.predicting.feature_cache import FeatureCache
from promptbench.running.predicting.frozen_features import FrozenFeatures, of_target
from promptbench.running.predicting.predict import Predictions, predict
from promptbench.storage.leases import Lease
from promptbench.tracking import Listener

COUNT = 23
STREAM = torch.Generator().manual_seed(3)
IMAGES = torch.randn(COUNT, 3, 16, 16, generator=STREAM)


def batches(size: int) -> Iterator[Batch]:
    for start in range(0, COUNT, size):
        images = IMAGES[start : start + size].clone()
        keys = tuple(str(start + i) for i in range(len(images)))
        yield Batch(images, torch.zeros(len(images), dtype=torch.long), keys)


def predicted(
    method: Method, size: int = 10, features: FrozenFeatures | None = None
) -> Predictions:
    task = Listener().task("predict", COUNT, "images")
    compute = resolve("cpu", "fp32")
    with task as running:
        return predict(method, OTHER, batches(size), method.logits, compute, running, features)


@pytest.mark.parametrize("cls", [ZeroShot, AlignedNorm])
def test_predictions_do_not_depend_on_the_batch_size(cls: type[Method]) -> None:
    torch.manual_seed(0)
    method = cls(tiny_towers(), TRAIN)
    found = [predicted(method, size) for size in (1, 7, 10, COUNT)]
    assert len(set(found[0].predicted)) > 1  # the classes are told apart
    for other in found[1:]:
        assert other.predicted == found[0].predicted
        assert other.keys == found[0].keys


def test_known_features_replace_the_pass_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache(tmp_path, 2**20)
    method = ZeroShot(tiny_towers(), TRAIN)
    first = predicted(method, features=FrozenFeatures(cache, "k", COUNT))
    assert first == predicted(method)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["k.safetensors"]

    def no_pass(self: VisionTower, images: Tensor) -> Tensor:
        raise AssertionError("the images were looked at again")

    monkeypatch.setattr(VisionTower, "_embed", no_pass)
    assert predicted(method, features=FrozenFeatures(cache, "k", COUNT)) == first
    with pytest.raises(AssertionError, match="looked at again"):
        predicted(method, features=FrozenFeatures(cache, "another", COUNT))


def test_known_features_of_a_low_precision_keep_its_dtype(tmp_path: Path) -> None:
    """A method reads the same numbers whether they are computed or known."""
    cache, tower, read = FeatureCache(tmp_path, 2**20), tiny_towers().image, []
    compute = resolve("cpu", "bf16")
    for _ in range(2):
        with FrozenFeatures(cache, "k", COUNT) as features:
            with torch.inference_mode(), compute.autocast():
                tokens = features.announce(tower, IMAGES)
                read.append(tower.features(tokens))
                features.note(tokens)
            features.finish()
    assert [rows.dtype for rows in read] == [torch.bfloat16] * 2
    assert torch.equal(read[0], read[1])


def test_whatever_determines_the_last_bits_determines_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other bytes; another processor, number of threads or batch sums in another order."""
    split = SimpleNamespace(shards={"test-000000.tar": "e"})
    data: Any = SimpleNamespace(
        card=SimpleNamespace(name="toy", digest="a"),
        index=SimpleNamespace(digest="b", splits={"test": split}),
    )
    towers: Any = SimpleNamespace(name="tiny", sha256="c", preprocess=Target("toy", "all", "none"))
    keys: list[str] = []

    def key_of(batch: int = 100) -> str:
        target = Target("toy", "all", "none")
        of_target(towers, data, target, resolve("cpu", "fp32"), COUNT, batch)
        return keys[-1]

    monkeypatch.setattr(FeatureCache, "get", lambda _, key, __: keys.append(key))
    usual = key_of()
    assert key_of() == usual != key_of(batch=50)
    split.shards["test-000000.tar"] = "f"
    assert key_of() != usual
    split.shards["test-000000.tar"] = "e"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        assert key_of() != usual
    with monkeypatch.context() as patch:
        patch.setattr(source_code, "of_training", lambda: "towers that compute otherwise")
        assert key_of() != usual
    monkeypatch.setattr(computing, "processor", lambda: "another")
    assert key_of() != usual


def test_features_of_other_weights_images_or_precision_have_another_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each fact of the key, changed by itself, and back again."""
    target = Target("toy", "all", "none")
    split = SimpleNamespace(shards={"test-000000.tar": "e"})
    data: Any = SimpleNamespace(
        card=SimpleNamespace(name="toy", digest="a"),
        index=SimpleNamespace(digest="b", splits={"test": split}),
    )
    towers: Any = SimpleNamespace(name="tiny", sha256="c", preprocess=target)
    keys: list[str] = []
    monkeypatch.setattr(FeatureCache, "get", lambda _, key, __: keys.append(key))

    def key(precision: str = "fp32", count: int = COUNT, **of: Any) -> str:
        scored = dataclasses.replace(target, **of)
        compute = dataclasses.replace(resolve("cpu", "fp32"), precision=precision)
        of_target(towers, data, scored, compute, count, 100)
        return keys[-1]

    usual = key()
    found = {usual, key("bf16"), key("fp16"), key(count=COUNT - 1), key(classes="base")}
    changes: list[tuple[Any, str, Any]] = [
        (towers, "sha256", "d"),
        (towers, "name", "other"),
        (towers, "preprocess", dataclasses.replace(target, dataset="squash")),
        (data.card, "digest", "d"),
        (data.card, "name", "other"),
        (data.index, "digest", "d"),
    ]
    for where, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            found.add(key())
        assert key() == usual
    assert len(found) == 5 + len(changes)


class InPlace(ZeroShot):
    """Writes into the features that it is given, as `features /= features.norm()` does."""

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        features = self.towers.image.features(self.towers.image.tokens(images))
        features.mul_(0.5)
        return super().logits(images, prepared)


def test_what_a_method_writes_into_features_is_not_stored(tmp_path: Path) -> None:
    clean, written = FeatureCache(tmp_path / "a", 2**20), FeatureCache(tmp_path / "b", 2**20)
    towers = tiny_towers()
    predicted(ZeroShot(towers, TRAIN), features=FrozenFeatures(clean, "k", COUNT))
    towers.forget()
    predicted(InPlace(towers, TRAIN), features=FrozenFeatures(written, "k", COUNT))
    ours, theirs = clean.get("k", COUNT), written.get("k", COUNT)
    assert ours is not None and theirs is not None and torch.equal(ours, theirs)


def test_what_nobody_vouches_for_is_not_stored(tmp_path: Path) -> None:
    def changed() -> None:
        raise UserError("changed")

    cache = FeatureCache(tmp_path, 2**20)
    with pytest.raises(UserError, match="changed"):
        predicted(
            ZeroShot(tiny_towers(), TRAIN), features=FrozenFeatures(cache, "k", COUNT, changed)
        )
    assert cache.get("k", COUNT) is None


def test_methods_with_visual_edits_take_no_part(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 2**20)
    torch.manual_seed(0)
    method = AlignedNorm(tiny_towers(), TRAIN)
    plain = predicted(method)
    assert predicted(method, features=FrozenFeatures(cache, "k", COUNT)) == plain
    assert not list(tmp_path.iterdir())
    cache.put("k", torch.zeros(COUNT, 24))  # known features must not leak into edited passes
    assert predicted(method, features=FrozenFeatures(cache, "k", COUNT)) == plain


def test_of_two_at_once_one_computes_and_the_other_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stands at its first batch until the first has stored them, then knows the rest."""
    cache = FeatureCache(tmp_path, 2**20)
    method = ZeroShot(tiny_towers(), TRAIN)
    tower = method.towers.image
    first = FrozenFeatures(cache, "k", COUNT)
    second = FrozenFeatures(cache, "k", COUNT)
    looked_at: list[int] = []
    embed = VisionTower._embed

    def counted(self: VisionTower, images: Tensor) -> Tensor:
        looked_at.append(len(images))
        return embed(self, images)

    def pass_of(features: FrozenFeatures, size: int) -> None:
        with features:
            for batch in batches(size):
                tokens = features.announce(tower, batch.images)
                tower.features(tokens)
                features.note(tokens)
            features.finish()

    with first:
        tokens = first.announce(tower, IMAGES)
        tower.features(tokens)
        first.note(tokens)
        monkeypatch.setattr(VisionTower, "_embed", counted)
        other = threading.Thread(target=pass_of, args=(second, 10))
        other.start()
        other.join(0.5)
        assert other.is_alive() and looked_at == [10]
        first.finish()
    other.join(60)
    assert not other.is_alive() and looked_at == [10]


def test_a_lease_that_another_user_owns_costs_time_and_not_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = ZeroShot(tiny_towers(), TRAIN)
    plain = predicted(method)

    def forbidden(self: Lease) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", self.path)

    monkeypatch.setattr(Lease, "take", forbidden)
    features = FrozenFeatures(FeatureCache(tmp_path, 2**20), "k", COUNT)
    with pytest.warns(
        UserWarning, match=r"not kept: cannot write into \S+ \(Permission denied\), so"
    ):
        assert predicted(method, features=features) == plain


def test_a_run_with_known_features_ends_in_the_same_numbers(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> list[Record]:
        options: dict[str, Any] = {"datasets": ["counts"], "shots": 4, "seeds": [1]}
        return promptbench.run(
            "zeroshot", "base_to_new", out=tmp_path / name, quiet=True, **options
        )

    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "0")
    without = run("without")
    monkeypatch.delenv("PROMPTBENCH_FEATURES_MB")
    run("first")
    assert list((cache / "features").glob("*.safetensors"))
    hit = run("second")
    for a, b in zip(without, hit, strict=True):
        assert [t.predictions_sha256 for t in a.targets] == [
            t.predictions_sha256 for t in b.targets
        ]

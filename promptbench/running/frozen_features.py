"""Frozen image features of a test set, computed once per machine.

Cells whose method leaves the image tower alone (zero-shot, CoOp, KgCoOp, a linear probe) read the
same features of a target's images. Whoever asks the image tower for unedited features takes part:
`predict` announces a batch, the tower answers from what is known, and a pass in which all batches
were asked for is written to the cache. Files are named by a hash of everything that determines the
features; the least recently used ones go when the folder outgrows its bound. Processes may share
it: files are written in one piece, and of several that need the same features one computes them
while the others wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import promptbench
from promptbench.backbones import Backbone
from promptbench.data.shards import ShardSet
from promptbench.data.store import cache_folder
from promptbench.errors import UserError
from promptbench.protocol import Target
from promptbench.running.compute import Compute
from promptbench.storage import integrity, locks
from promptbench.storage.files import sweep, write_atomically
from promptbench.towers import ImageTower, Tokens

_BOUND_MB = 2048  # 20 times ImageNet's validation set at 512 dimensions


class FeatureCache:
    """A folder of feature files, at most `bound` bytes of them.

    Users may share it: files of others are read, and left alone where they may not be changed.
    The bound is PROMPTBENCH_FEATURES_MB (default 2048); 0 switches the cache off.
    """

    def __init__(self, folder: Path | None = None, bound: int | None = None) -> None:
        self._folder = folder or cache_folder() / "features"
        self._bound = bound_here() if bound is None else bound

    def get(self, key: str, count: int) -> Tensor | None:
        """The features [count, embed_dim] stored under `key` in the tower's dtype, or None."""
        path = self._path(key)
        try:
            features = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, integrity.Damaged) as error:
            warnings.warn(f"cannot use the cached features {path}: {error}", stacklevel=2)
            if not isinstance(error, OSError):  # damaged; what cannot be read may be whole
                _remove(path)
            return None
        with suppress(OSError):  # another user's, or read-only: its age stays
            os.utime(path)  # used now
        return features if len(features) == count else None

    def put(self, key: str, features: Tensor) -> None:
        """Store features and drop the least recently used files beyond the bound."""
        features = features.contiguous()
        data = save({"features": features, "sha256": _sha256(features)})
        if not self.takes(len(data)):
            return
        try:
            write_atomically(self._path(key), lambda file: file.write(data))
        except UserError as error:  # a cache that cannot be written costs time, not the run
            warnings.warn(str(error), stacklevel=2)
            return
        self._trim()

    def takes(self, size: int) -> bool:
        """Whether a file of `size` bytes stays below the bound."""
        return size <= self._bound

    def lock(self, key: str) -> Path:
        """The lock of whoever computes what is to be stored under `key`."""
        return locks.place(self._folder, "features", key)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"

    def _trim(self) -> None:
        sweep(self._folder, age=3600)
        found = []
        for path in self._folder.glob("*.safetensors"):
            try:
                about = path.stat()
            except FileNotFoundError:  # another process trims as well
                continue
            found.append((about.st_mtime_ns, about.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._bound:
                return
            if _remove(path):
                total -= size


class FrozenFeatures:
    """The frozen features of one target's images, in their order: known, or being collected.

    A context: whoever collects holds the lock of the features until the block ends.
    """

    def __init__(self, cache: FeatureCache, key: str, count: int) -> None:
        self._cache, self._key = cache, key
        self._known = cache.get(key, count)
        self._collected: list[Tensor] | None = []
        self._place, self._count = 0, count
        self._claim = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.close()

    def announce(self, tower: ImageTower, images: Tensor) -> Tokens:
        """The tokens of the next batch, with their features where they are known."""
        tokens = tower.tokens(images)
        if self._known is not None:
            rows = self._known[self._place : self._place + len(images)]
            tokens.pooled = rows.to(images.device)
        self._place += len(images)
        return tokens

    def note(self, tokens: Tokens) -> None:
        """Keep what the tower was asked for; one batch without that ends the collecting.

        The first batch shows whether the method takes part. If another process is collecting the
        same features, it is waited for, and they are known from the second batch on.
        """
        if tokens.pooled is None:
            self._collected = None
            self._claim.close()
            return
        if self._known is not None or self._collected is None:
            return
        if not self._collected:
            self._begin(tokens.pooled)
        if self._collected is not None:
            self._collected.append(tokens.pooled.cpu())

    def _begin(self, first: Tensor) -> None:
        if not self._cache.takes(first.element_size() * self._count * first.shape[-1]):
            self._collected = None
            return
        try:
            self._claim.enter_context(locks.held(self._cache.lock(self._key)))
        except UserError as error:  # a cache that cannot be written costs time, not the run
            warnings.warn(str(error), stacklevel=2)
        self._known = self._cache.get(self._key, self._count)
        if self._known is not None:
            self._collected = None
            self._claim.close()

    def finish(self) -> None:
        """Store a complete collection."""
        if self._collected and self._known is None:
            features = torch.cat(self._collected)
            if len(features) == self._count:
                self._cache.put(self._key, features)


def of_target(
    backbone: Backbone, data: ShardSet, target: Target, compute: Compute, count: int, batch: int
) -> FrozenFeatures:
    """The frozen features of a target's first `count` images, computed `batch` at a time.

    The order of sums hangs on the processor, its threads and the batch, as the last bits do.
    """
    facts = {
        "version": [promptbench.__version__, torch.__version__],
        "backbone": [backbone.name, backbone.sha256, asdict(backbone.preprocess)],
        "data": [data.card.name, data.card.digest, data.index.digest],
        "images": [target.split, target.classes, count],
        "precision": compute.precision,
        "device": [compute.device_name, torch.get_num_threads(), batch],
    }
    return FrozenFeatures(FeatureCache(), _digest(facts), count)


def _read(path: Path) -> Tensor:
    stored: dict[str, Tensor] = load(path.read_bytes())
    if not torch.equal(stored["sha256"], _sha256(stored["features"])):
        raise integrity.Damaged("its hash differs")
    return stored["features"]


def _remove(path: Path) -> bool:
    """Remove a file, if it may be removed; whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _sha256(features: Tensor) -> Tensor:
    """The hash of the numbers, [32] uint8: kept as a tensor beside them."""
    data = features.contiguous().view(torch.uint8).numpy()  # numpy knows no bfloat16
    digest = hashlib.sha256(data.tobytes()).digest()
    return torch.frombuffer(bytearray(digest), dtype=torch.uint8)


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def bound_here() -> int:
    """The bound in bytes that PROMPTBENCH_FEATURES_MB sets.

    Raises:
        UserError: it is no number.
    """
    value = os.environ.get("PROMPTBENCH_FEATURES_MB", str(_BOUND_MB))
    if not value.isdecimal():
        raise UserError(
            "PROMPTBENCH_FEATURES_MB must be a whole number of MiB (0 switches the cache off), "
            f"not {value!r}"
        )
    return int(value) * 2**20

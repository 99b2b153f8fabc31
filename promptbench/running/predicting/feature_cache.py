"""A folder of feature files, bounded: the least recently used go.

Processes may share it: files are written in one piece, and what is damaged is not used.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from promptbench.data.shards.store import cache_folder
from promptbench.errors import UserError
from promptbench.storage import integrity, leases
from promptbench.storage.files import sweep, write_whole

_BOUND_MB = 2048  # 20 times ImageNet's validation set at 512 dimensions
_VARIABLE = "PROMPTBENCH_FEATURES_MB"


class FeatureCache:
    """A folder of feature files, at most `bound` bytes of them.

    Users may share it: files of others are read, and left alone where they may not be changed.
    The bound is PROMPTBENCH_FEATURES_MB (default 2048); 0 switches the cache off: nothing is read,
    written or removed.
    """

    def __init__(self, folder: Path | None = None, bound: int | None = None) -> None:
        self._folder = folder or cache_folder() / "features"
        self._bound = bound_here() if bound is None else bound

    def get(self, key: str, count: int) -> Tensor | None:
        """The features [count, embed_dim] stored under `key` in the tower's dtype, or None."""
        if not self._bound:  # switched off: what earlier runs stored is not looked at
            return None
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
            write_whole(self._path(key), data)
        except UserError as error:
            self.unwritable(error)
            return
        self._trim()

    def unwritable(self, error: UserError) -> None:
        """Say, in the same words each time, that features are not kept: it costs time, no run."""
        why = getattr(error.__cause__, "strerror", None) or error
        warnings.warn(
            f"image features are not kept: cannot write into {self._folder} ({why}), so that later "
            f"cells compute them again; {_VARIABLE}=0 switches this off",
            stacklevel=3,
        )

    def takes(self, size: int) -> bool:
        """Whether a file of `size` bytes stays below the bound."""
        return size <= self._bound

    def lease(self, key: str) -> Path:
        """The lease of whoever computes what is to be stored under `key`."""
        return leases.place(self._folder, "features", key)

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


def bound_here() -> int:
    """The bound in bytes that PROMPTBENCH_FEATURES_MB sets.

    Raises:
        UserError: it is not a number.
    """
    value = os.environ.get(_VARIABLE, str(_BOUND_MB))
    if not value.isdecimal():
        raise UserError(
            f"{_VARIABLE} must be a whole number of MiB (0 switches the cache off), not {value!r}"
        )
    return int(value) * 2**20

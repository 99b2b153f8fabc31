"""Products of float32 in full float32: no TF32, no bfloat16 inside, no reduced sums.

torch has two sets of switches: the older ones (`allow_tf32`, `set_float32_matmul_precision`) and,
since 2.9, `fp32_precision` per backend and operation. Where they contradict each other, reading an
older one raises an error, also within torch's compiler. Both sets are therefore written, the older
one first, since it writes into the newer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

_backends: Any = torch.backends  # older versions of torch lack some of these attributes
_FULL = "ieee"
_SUMS = (  # of cuBLAS: may sums of half-precision products be rounded on the way?
    "allow_fp16_reduced_precision_reduction",
    "allow_bf16_reduced_precision_reduction",
    "allow_fp16_accumulation",
)


def require_full() -> None:
    """Switch everything off that would make a product of float32 less than that."""
    torch.set_float32_matmul_precision("highest")
    _backends.cuda.matmul.allow_tf32 = False
    _backends.cudnn.allow_tf32 = False
    for place in _newer():
        place.fp32_precision = _FULL
    for name in _sums():
        setattr(_backends.cuda.matmul, name, False)


@contextmanager
def restored() -> Iterator[None]:
    """Leave the switches as they were before the block."""
    older = _older()
    newer = [(place, place.fp32_precision) for place in _newer()]
    sums = {name: _sum(name) for name in _sums()}
    try:
        yield
    finally:
        if "matmul" in older:
            torch.set_float32_matmul_precision(older["matmul"])
        if "cudnn" in older:
            _backends.cudnn.allow_tf32 = older["cudnn"]
        for place, value in newer:
            place.fp32_precision = value
        for name, value in sums.items():
            setattr(_backends.cuda.matmul, name, value)


def _older() -> dict[str, Any]:
    """The older switches, where they can be read: not where the newer ones contradict them."""
    found: dict[str, Any] = {}
    with suppress(RuntimeError):
        found["matmul"] = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        found["cudnn"] = _backends.cudnn.allow_tf32
    return found


def _newer() -> list[Any]:
    """Whatever has an `fp32_precision`, from the general to the particular."""
    places = [_backends]
    for backend, operations in (
        (_backends.cuda, ("matmul",)),
        (_backends.cudnn, ("conv", "rnn")),
        (_backends.mkldnn, ("matmul", "conv", "rnn")),
    ):
        places += [backend, *(getattr(backend, name, None) for name in operations)]
    return [place for place in places if hasattr(place, "fp32_precision")]


def _sums() -> list[str]:
    return [name for name in _SUMS if hasattr(_backends.cuda.matmul, name)]


def _sum(name: str) -> Any:
    """A switch of sums as its setter takes it: newer ones have a second part."""
    matmul = _backends.cuda.matmul
    value, second = getattr(matmul, name), f"{name}_split_k"
    return (value, getattr(matmul, second)) if hasattr(matmul, second) else value

"""The golden vectors of tests/golden: cases, weights, parameters and comparison.

Numbers recorded with the reference implementations on a tiny CLIP whose weights follow from a
written rule (tests/golden/manifest.json). Errors are relative to the largest magnitude of a tensor.
On a GPU: `PROMPTBENCH_TEST_DEVICE=cuda pytest tests/methods/test_golden.py`, where float32 sums in
another order.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from promptbench.core.method import ClassSet, Method
from promptbench.models.backbones import load_tokenizer
from promptbench.models.towers import Towers
from promptbench.running.lab import arithmetic

FOLDER = Path(__file__).parent / "golden"
DEVICE = torch.device(os.environ.get("PROMPTBENCH_TEST_DEVICE", "cpu"))
VALUE, GRAD, STEP = 1e-5 if DEVICE.type == "cpu" else 1e-4, 1e-4, 1e-2


def _module(name: str) -> ModuleType:
    """A file of the folder, which another of them may import by its name."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tinyclip = _module("tinyclip")
tinyclip_rn = _module("tinyclip_rn")

MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text())
SALT: str = MANIFEST["salt"]
NAMES = tuple(MANIFEST["classnames"])
NEW_NAMES = tuple(MANIFEST["new_classnames"])
LABELS = torch.tensor(MANIFEST["labels"], device=DEVICE)


def cases(*methods: str) -> list[tuple[str, str]]:
    return [(m, c) for m in methods for c in MANIFEST["methods"][m]["cases"]]


if DEVICE.type == "cuda":
    arithmetic.settle(DEVICE, None)


@functools.cache
def towers(arch: str, logit_scale: float | None = None) -> Towers:
    """Towers of the written rule; `logit_scale` is the natural logarithm of a scale but 100."""
    made = tinyclip_rn if arch in tinyclip_rn.RN_ARCHS else tinyclip
    model = made.open_clip_model(arch, SALT).to(DEVICE)
    if logit_scale is not None:
        model.logit_scale.data.fill_(logit_scale)
    return Towers(model, load_tokenizer("ViT-B-16-quickgelu"))


class Case:
    """One recorded case: its settings, its tensors, and the reference's parameters."""

    def __init__(self, method: str, case: str) -> None:
        self.name = case
        self.entry = MANIFEST["methods"][method]["cases"][case]
        self.config: dict[str, Any] = self.entry["config"]
        self.towers = towers(self.entry["arch"], self.entry.get("logit_scale"))
        resnet = tinyclip_rn.RN_ARCHS.get(self.entry["arch"], {"image": 32})
        self.images: Tensor = tinyclip.images(SALT, len(LABELS), resnet["image"]).to(DEVICE)
        template = self.entry.get("dataset_template", "a photo of a {}.")
        names, new_names = self.entry.get("classnames"), self.entry.get("new_classnames")
        self.classes = ClassSet(tuple(names or NAMES), template)
        self.new_classes = ClassSet(tuple(new_names or NEW_NAMES), template)
        stored = load_file(FOLDER / f"{method}.safetensors")
        self.tensors = {
            k[len(case) + 1 :]: v for k, v in stored.items() if k.startswith(f"{case}/")
        }

    def parameters(self) -> dict[str, Tensor]:
        """Reference parameter name -> value."""
        values = {}
        for name, about in self.entry.get("parameters", {}).items():
            shape = [int(size) for size in about["shape"].split("x")]
            value = self.tensors.get(f"param/{name}")
            if value is None:
                value = tinyclip.fill(SALT, f"param/{name}", shape, 0.0, about["std"])
            values[name] = value
        return values

    def error(self, name: str, produced: Tensor) -> float:
        """Largest deviation from the recorded tensor, relative to its largest magnitude."""
        golden = self.tensors[name].double()
        assert produced.shape == golden.shape, f"{name}: {produced.shape} is not {golden.shape}"
        scale = golden.abs().max().clamp_min(1e-12)
        return float((produced.detach().cpu().double() - golden).abs().max() / scale)

    def check(self, name: str, produced: Tensor, tolerance: float = VALUE) -> None:
        error = self.error(name, produced)
        assert error <= tolerance, f"{name}: relative error {error:.2e} > {tolerance:.0e}"


def steps(method: Method, optimizer: torch.optim.Optimizer, case: Case) -> Iterator[Tensor]:
    """Total loss before each of three steps on the fixed batch, and after the third."""
    for number in range(4):
        prepared = method.prepare(case.classes)
        total = method.total(method.losses(case.images, LABELS, prepared))
        yield total.detach()
        if number < 3:
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

"""Modules that a run rarely calls are imported at the first call, and not before."""

import subprocess
import sys

import pytest
import torch

from promptbench.core.optimizers import eager
from promptbench.support.later import Later, called_later

_KINDS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)


def test_a_name_of_a_module_that_comes_later_is_imported_when_it_is_called() -> None:
    sys.modules.pop("colorsys", None)
    with called_later("colorsys"):
        from colorsys import rgb_to_hls
    assert "colorsys" not in sys.modules and isinstance(rgb_to_hls, Later)
    assert rgb_to_hls(1.0, 1.0, 1.0) == (0.0, 1.0, 0.0)


def test_what_a_class_that_comes_later_holds_is_found() -> None:
    with called_later("plistlib"):
        from plistlib import UID
    assert UID(3).data == 3 and callable(UID.__call__)


def test_what_is_imported_or_not_installed_is_as_usual() -> None:
    import json

    with called_later("json", "no_such_package_anywhere"):
        from json import loads

        with pytest.raises(ImportError):
            import no_such_package_anywhere  # type: ignore[import-not-found]  # noqa: F401
    assert loads is json.loads


def test_an_import_that_fails_leaves_no_stand_in() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(ZeroDivisionError), called_later("colorsys"):
        raise ZeroDivisionError
    assert "colorsys" not in sys.modules


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("fused", [False, True])
def test_an_eager_optimiser_takes_the_steps_of_torchs(kind: type, fused: bool) -> None:
    results = []
    for cls in (kind, eager(kind)):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(7, 5))
        optimizer = cls([{"params": [p], "lr": 0.1, "weight_decay": 0.01}], fused=fused)
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            (p**3).sum().backward()
            optimizer.step()
        other = cls([p], lr=0.3, fused=fused)
        other.load_state_dict(optimizer.state_dict())
        results.append((p.detach().clone(), other.param_groups[0]["lr"], type(other).__name__))
    assert torch.equal(results[0][0], results[1][0]) and results[0][1:] == results[1][1:]


_A_STEP = """
import sys, torch
from promptbench.core.recipe import Recipe
from promptbench.demo import model
from promptbench.running.lab import arithmetic
class Method(torch.nn.Module):
    groups = {}
    def __init__(self):
        super().__init__()
        self.p = torch.nn.Parameter(torch.ones(3))
with arithmetic.restored():
    arithmetic.settle(torch.device("cpu"), 1)
    model.build(1)
    method = Method()
    for kind in ("sgd", "adamw"):
        optimizer = Recipe(optimizer=kind).build_optimizer(method)
        optimizer.zero_grad()
        method.p.sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
print([n for n in ("torch._dynamo", "torch._inductor", "timm", "wandb") if n in sys.modules])
"""


def test_a_training_on_clips_own_towers_imports_neither_compiler_nor_other_zoos() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _A_STEP], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr

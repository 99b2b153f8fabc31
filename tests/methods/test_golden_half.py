"""Parity in half precision: the recorded logits with the towers cast, as a run has them.

`PROMPTBENCH_TEST_DEVICE=cuda` compares on a GPU.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest

from promptbench.core.method import Method
from promptbench.methods.zeroshot import ZeroShot
from promptbench.running.lab.calling import evaluating, learning
from promptbench.running.lab.compute import Compute
from tests.golden_set import DEVICE, Case, cases, towers
from tests.methods import golden_adapters, test_golden_deltas, test_golden_prompts
from tests.methods.golden_adapters import ADAPTERS
from tests.methods.test_golden_deltas import DELTAS
from tests.methods.test_golden_prompts import PROMPTS

# Of cosines. With these weights open_clip's own towers are off by 6e-3 and 9e-4 under autocast.
TOLERANCE = {"bf16": 2e-2, "fp16": 2e-3}


def opened(method: str, case: Case) -> Method:
    """The method with the reference's parameter values."""
    built: Any
    if method.startswith("zeroshot"):
        built = ZeroShot(case.towers, case.classes)
    elif method in ADAPTERS:
        built, _ = golden_adapters.build(method, case)
    else:
        module = test_golden_deltas if method in DELTAS else test_golden_prompts
        built, _ = module.build(case, method)
    method_: Method = built.eval()
    return method_


# A method's first case is short, in one of the precisions, which take turns.
CASES = [
    pytest.param(*case, precision, marks=[pytest.mark.long] if number or (i + j) % 2 else [])
    for i, method in enumerate(("zeroshot", "zeroshot_rn", *ADAPTERS, *DELTAS, *PROMPTS))
    for number, case in enumerate(cases(method))
    for j, precision in enumerate(TOLERANCE)
]


@pytest.mark.parametrize(("method", "name", "precision"), CASES)
def test_logits(method: str, name: str, precision: Literal["bf16", "fp16"]) -> None:
    compute, case = Compute(DEVICE, precision), Case(method, name)
    case.towers = towers.__wrapped__(case.entry["arch"], case.entry.get("logit_scale"))
    case.towers.cast(compute.dtype)
    built = learning(compute, opened, method, case)
    ours = "logits_fusion" if "logits_fusion" in case.tensors else "logits"
    for wanted, classes in ((ours, case.classes), (f"new/{ours}", case.new_classes)):
        if wanted in case.tensors:
            prepared = evaluating(compute, built.prepare, classes)
            logits = evaluating(compute, built.logits, case.images, prepared)
            gap = (logits.cpu() - case.tensors[wanted]).abs().max() / case.towers.logit_scale.cpu()
            assert gap <= TOLERANCE[precision], f"{wanted}: cosines are off by {gap:.1e}"

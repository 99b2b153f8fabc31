"""A training of three epochs against a loop that is written out, update rules and all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import promptbench
from promptbench import records
from promptbench.core.registry import METHODS

PLUGIN = Path(__file__).with_name("witness.py")
EPOCHS, LR, WARM, DECAY, MOMENTUM = 3, 0.5, 0.05, 0.02, 0.7
RECIPE = {
    "epochs": EPOCHS, "warmup_epochs": 1, "warmup_lr": WARM, "lr": LR, "weight_decay": DECAY,
    "momentum": MOMENTUM, "batch_size": 2,
}  # fmt: skip
State = dict[str, Any]


def sgd(value: Tensor, grad: Tensor, lr: float, state: State) -> Tensor:
    """SGD as PyTorch has it: the decay joins the gradient, and momentum is not dampened."""
    grad = grad + DECAY * value
    state["v"] = MOMENTUM * state["v"] + grad if state else grad
    return value - lr * state["v"]


def adamw(value: Tensor, grad: Tensor, lr: float, state: State) -> Tensor:
    """Loshchilov and Hutter (arXiv 1711.05101), algorithm 2: the decay apart from the moments."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * grad
    v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * grad**2
    step = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return value * (1 - lr * DECAY) - lr * step


def adam(value: Tensor, grad: Tensor, lr: float, state: State) -> Tensor:
    """Kingma and Ba (arXiv 1412.6980), algorithm 1: the decay joins the gradient; a large eps."""
    t = state["t"] = state.get("t", 0) + 1
    grad = grad + DECAY * value
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * grad
    v = state["v"] = 0.999 * state.get("v", 0) + 0.001 * grad**2
    return value - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-2)


def rate(epoch: float) -> float:
    """Epoch 0 warms up; then a cosine whose period is all epochs, passed ones counted after it."""
    return WARM if epoch < 1 else LR * (1 + math.cos(math.pi * (epoch - 1) / EPOCHS)) / 2


AVERAGE = (1.5, 1.0)  # mean and standard deviation, in epochs counted from 1
SHARES = [math.exp(-((e - AVERAGE[0]) ** 2) / 2) for e in range(1, EPOCHS + 1)]


@pytest.mark.parametrize(
    ("rule", "average", "schedule"),
    [
        *((sgd, None, "epoch"), (adamw, None, "epoch"), (sgd, AVERAGE, "epoch")),
        *((adam, None, "epoch"), (sgd, None, "step")),
    ],
)
def test_three_epochs_are_the_written_loop(
    rule: Any, average: Any, schedule: str, tmp_path: Path
) -> None:
    changes = {**RECIPE, "optimizer": rule.__name__, "average": average, "schedule": schedule}
    changes |= {"eps": 1e-2} if rule is adam else {}
    (record,) = promptbench.run(
        "witness", "few_shot", plugin=[str(PLUGIN)], datasets=["counts"], shots=2, seeds=[1],
        limit=10, out=tmp_path, baseline=False, quiet=True,
        set=[f"Recipe.{k}={v!r}" for k, v in changes.items()],
    )  # fmt: skip
    method: Any = METHODS.load("witness").cls
    per_epoch, rest = divmod(len(method.steps), EPOCHS)
    assert per_epoch > 1 and rest == 0 and record.training.steps == len(method.steps)
    value, state, losses, ends = method.start[0].clone(), State(), [], []
    for number, step in enumerate(method.steps):
        leaf = value.clone().requires_grad_()
        loss = method.loss(step, leaf)
        (grad,) = torch.autograd.grad(loss, leaf)
        passed = number / per_epoch if schedule == "step" else number // per_epoch
        value = rule(value, grad, rate(passed), state)
        losses.append(loss.item())
        if (number + 1) % per_epoch == 0:
            ends.append(value)
    if average is not None:
        value = sum(w * end for w, end in zip(SHARES, ends, strict=True)) / sum(SHARES)
    (path,) = records.find([tmp_path])
    # Sums in float32 differ between processors, which so many steps make some millionths.
    torch.testing.assert_close(
        load_file(path.with_name(records.PARAMETERS))["shift"], value, rtol=1e-5, atol=4e-6
    )
    means = torch.tensor(losses).view(EPOCHS, per_epoch).mean(1).tolist()
    assert [epoch["ce"] for epoch in record.training.losses] == pytest.approx(means, rel=1e-5)
    trained = [("prepare", True), ("losses", True)] * len(method.steps)
    assert method.calls[: len(trained)] == trained
    scored = method.calls[len(trained) :]
    assert ("logits", False) in scored and not any(training for _, training in scored)

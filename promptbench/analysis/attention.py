"""Where attention goes: mass between groups of tokens, entropy, saturation.

A row of the weights is the distribution of one query of one head over all keys. Mass is its sum
over the keys of a group, entropy -sum w log w in nats, and a row is saturated if its largest weight
is above 0.9. All are means over images, heads, and the queries of a group.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from promptbench.running.observing.passes import ROLES, Role, Seen

SATURATED = 0.9


def entropy(weights: Tensor) -> Tensor:
    """-sum w log w over the last dimension, in nats; 0 log 0 = 0."""
    return -torch.xlogy(weights, weights).sum(dim=-1)


@dataclass
class AttentionSums:
    """Sums over rows, by block and query group, in the order of `_QUANTITIES`."""

    counts: dict[tuple[int, Role], int] = field(default_factory=lambda: defaultdict(int))
    sums: dict[tuple[int, Role], Tensor] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        """The weights [n, heads, length, length] of a block."""
        weights = seen.view.weights
        groups = [seen.places(role) for role in ROLES]
        masses = [weights[..., places].sum(dim=-1) for places in groups]
        spread, even = entropy(weights), math.log(weights.shape[-1])
        largest = (weights.amax(dim=-1) > SATURATED).float()
        measured = torch.stack([*masses, spread, spread / even, largest], dim=-1)
        for role, places in zip(ROLES, groups, strict=True):
            if places:
                rows = measured[:, :, places].flatten(0, 2).double().cpu()
                key = (seen.number, role)
                self.counts[key] += len(rows)
                self.sums[key] = self.sums.get(key, torch.zeros(())) + rows.sum(dim=0)

    def numbers(self) -> Iterator[tuple[Role, int, str, float]]:
        """(query group, block, quantity, value); no mass on prompts where there are none."""
        for (block, role), total in self.sums.items():
            means = (total / self.counts[block, role]).tolist()
            for quantity, value in zip(_QUANTITIES, means, strict=True):
                if quantity == "to_prompt" and (block, "prompt") not in self.counts:
                    continue
                yield role, block, quantity, value


_QUANTITIES = (
    *(f"to_{role}" for role in ROLES),
    "entropy",
    "relative_entropy",  # of that of an even distribution, log of the number of keys
    "saturated",
)

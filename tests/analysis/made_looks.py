"""Looks made by hand, for tests of analyses: two methods on two seeds, without a run."""

from __future__ import annotations

import torch
from torch import Tensor

from promptbench.analysis.analysis import Look, ScoredTarget
from promptbench.analysis.attention import AttentionSums
from promptbench.analysis.sweep import Sweep
from promptbench.core.metric import DEFAULT
from promptbench.core.protocol import Target
from promptbench.models.towers import View
from promptbench.running.observing.norms import NormSums
from promptbench.running.observing.passes import Role, Seen

BLOCKS, CLASSES, IMAGES, WIDTH = (1, 2, 3), ("ant", "bee", "=cat"), 18, 8
ROLES: tuple[Role, ...] = ("cls", "prompt", "prompt", "patch", "patch")


def swept(name: str, rng: torch.Generator, prompted: bool = True) -> Sweep:
    """What the images of a target might have shown; without prompts the tower is left alone."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    norms, attention = NormSums(), AttentionSums()
    roles = ROLES if prompted else tuple(role for role in ROLES if role != "prompt")
    for block in BLOCKS:
        x, attended = draw(IMAGES, len(roles), WIDTH), draw(IMAGES, len(roles), WIDTH)
        weights = draw(IMAGES, 2, len(roles), len(roles)).softmax(dim=-1)
        seen = Seen(block, roles, View(x, attended, weights))
        norms.add(seen)
        attention.add(seen)
    if prompted:
        norms.add_readout("ln_post", draw(IMAGES, WIDTH), draw(IMAGES, 2, WIDTH))
        norms.add_readout("projection", draw(IMAGES, WIDTH), draw(IMAGES, 2, WIDTH))
    frozen = draw(IMAGES, WIDTH)
    tuned = {"cls": frozen + 0.1 * draw(IMAGES, WIDTH) if prompted else frozen}
    if prompted:
        tuned["rep"] = draw(IMAGES, WIDTH)
    return Sweep(
        target=Target("shapes", name, "none" if name == "base" else "classes"),  # type: ignore[arg-type]
        classes=CLASSES,
        features=tuned,
        frozen=frozen,
        labels=torch.arange(IMAGES) % len(CLASSES),
        norms=norms,
        attention=attention,
        edited=prompted,
        untrained={key: value + 0.1 for key, value in tuned.items()} if prompted else {},
    )


def look(title: str, seed: int, epoch: int | None = None, prompted: bool = True) -> Look:
    """A run under base_to_new; the same arguments show the same."""
    rng = torch.Generator().manual_seed(1000 * seed + len(title) + 10 * (epoch or 0))
    targets = {"base": 60.0 + seed, "new": 50.0 + seed}
    return Look(
        title=title,
        method=title.lower(),
        dataset="shapes",
        seed=seed,
        epoch=epoch,
        sweeps={name: swept(name, rng, prompted) for name in targets},
        scored=tuple(
            ScoredTarget(name, DEFAULT, value, (("ant", value),)) for name, value in targets.items()
        ),
    )


def looks() -> list[Look]:
    """Finished runs, and an epoch of each."""
    epochs = (None, 1)
    return [look(title, seed, e) for title in ("A", "B_$x$") for seed in (1, 2) for e in epochs]

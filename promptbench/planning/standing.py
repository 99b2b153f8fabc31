"""What a suite's numbers are when another backbone, other weights or other data are put in it.

Published numbers are of one backbone, with one checkpoint, on real images. Whatever differs from
that takes a suite's `comparable` away and is said in its `banner`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from promptbench.config.suites import Suite, load, of_backbone
from promptbench.data.cards import cards

if TYPE_CHECKING:
    from promptbench.records import Record


def as_used(
    suite: Suite, backbone: str, weights: str, sha256: str, datasets: Iterable[str]
) -> Suite:
    """The suite with `comparable` and `banner` as they are for this backbone and these data.

    Args:
        weights: as records call them: a tag, or the name of a file whose hash is `sha256`.
    """
    own, named = load(suite.name), list(datasets)
    generated = [name for name in named if name in cards.generated()]
    usual = backbone == own.backbone and own.has_weights(weights, sha256)
    if usual and (not generated if own.comparable else generated == named):
        return suite.model_copy(update={"comparable": own.comparable, "banner": own.banner})
    words = [*_of_data(generated, named), _of_backbone(backbone, weights)]
    text = f"{' under '.join(words)}; not comparable with published numbers"
    return suite.model_copy(update={"comparable": False, "banner": text})


def _of_data(generated: list[str], named: list[str]) -> list[str]:
    if not generated or generated == named:
        return ["generated images"] if generated else []
    return [f"generated images ({', '.join(generated)}) among others"]


def _of_backbone(backbone: str, weights: str) -> str:
    home = of_backbone(backbone)
    if home is None or home.comparable:
        return f"{backbone} ({weights})"
    return f"a tiny CLIP that knows generated images only ({backbone}, {weights})"


def of_records(records: Sequence[Record]) -> Suite:
    """The suite that records of one backbone were computed in, as they used it."""
    used = dict.fromkeys(
        name
        for record in records
        for name in (record.source.dataset, *(target.dataset for target in record.targets))
    )
    backbone = records[0].backbone
    suite = load(records[0].suite)
    return as_used(suite, backbone.name, backbone.weights, backbone.sha256, used)

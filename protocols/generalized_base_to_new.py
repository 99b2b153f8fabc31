"""Base-to-new in an open label space: the models of base-to-new, scored over all class names.

Images of base and of new classes compete among the union of base and new names, as in generalised
zero-shot learning (Xian et al., arXiv 1707.00600): nothing says at test time to which half an
image belongs, so that decoupled inference does not exist here.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.api import Target
from promptbench.protocols.base_to_new import BaseToNew


class GeneralizedBaseToNew(BaseToNew):
    """Args: datasets: the datasets, one leg each."""

    title = "Generalised base-to-new (all class names compete)"
    version = 1
    trains_as = "base_to_new"
    split_known = False

    def __init__(self, datasets: Sequence[str] = ()) -> None:
        super().__init__(datasets)

    def targets(self, dataset: str) -> tuple[Target, Target]:
        base = Target(dataset, "base", "none", names="all")
        return base, Target(dataset, "new", "classes", names="all")

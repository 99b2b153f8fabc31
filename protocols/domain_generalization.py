"""Domain generalisation (Zhou et al., arXiv 2203.05557): learn one source, score its variants.

The training is that of cross-data-set transfer; the targets show classes of the source in other
domains (photographs taken anew, sketches, renditions). A variant with fewer classes is scored over
its own names. The average is over the variants, without the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import gin
from promptbench.protocols.cross_dataset import CrossDataset


@gin.configurable
class DomainGeneralization(CrossDataset):
    """Args: source: the data set learnt from. targets: its variants, scored."""

    title = "Domain generalisation"
    version = 1
    trains_as = "cross_dataset"
    shift = "domain"

    def __init__(self, source: str = "", targets: Sequence[str] = ()) -> None:
        super().__init__(source, targets)

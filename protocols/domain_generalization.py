"""Domain generalisation (Zhou et al., arXiv 2203.05557): learn one source, score its variants.

The training is that of cross-dataset transfer; the targets show classes of the source in other
domains (photographs taken again, sketches, renditions). A variant with fewer classes is scored over
its own names. The average is over the variants, without the source.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.api import Leg, UserError, class_names
from promptbench.protocols.cross_dataset import CrossDataset


class DomainGeneralization(CrossDataset):
    """Args: source: the dataset learned from. targets: its variants, scored."""

    title = "Domain generalisation"
    version = 1
    trains_as = "cross_dataset"
    shift = "domain"

    def __init__(self, source: str = "", targets: Sequence[str] = ()) -> None:
        super().__init__(source, targets)

    def legs(self, shots: int, only: Sequence[str] | None = None) -> list[Leg]:
        """All legs.

        Raises:
            UserError: a dataset whose classes are not the source's, so that it is not a variant.
        """
        foreign = [name for name in only or () if name not in (self.source, *self.targets)]
        classes = set(class_names(self.source)) if foreign else set()
        for name in foreign:
            if not classes.issuperset(class_names(name)):
                raise UserError(
                    f"{name} is not a variant of {self.source}: it has other classes; variants are "
                    f"{', '.join(self.targets)}, or datasets of your own with only classes "
                    f"of {self.source} (for other datasets: --protocol cross_dataset)"
                )
        return super().legs(shots, only)

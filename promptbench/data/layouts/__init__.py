"""Importers: where a dataset's images come from, one module per kind of source."""

from promptbench.data.layouts.base import Draft, ImageSource, LayoutOptions, Sample, options_of
from promptbench.data.layouts.kinds import OWN_KINDS, draft, open_source
from promptbench.data.layouts.splits import (
    WHOLE,
    counts,
    divided,
    label_order,
    splits_found,
    with_holdout,
)

__all__ = [
    "OWN_KINDS",
    "WHOLE",
    "Draft",
    "LayoutOptions",
    "Sample",
    "ImageSource",
    "counts",
    "divided",
    "draft",
    "label_order",
    "open_source",
    "options_of",
    "splits_found",
    "with_holdout",
]

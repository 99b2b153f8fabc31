"""What a metric says of itself, in words: unit, direction, what it needs, and what is averaged."""

from __future__ import annotations

import math

from promptbench.core.metric import NEEDS, Metric


def facts(metric: Metric) -> dict[str, str]:
    """Return what `promptbench info` shows of a metric beside its definition."""
    return {
        "unit": metric.unit or "none",
        "better": metric.better,
        "values": _range(*metric.bounds),
        "decimals": str(metric.decimals),
        "needs": f"{metric.needs}: {NEEDS[metric.needs]}",
        "one number of": (
            "base and new test images together, where their names compete"
            if metric.pooled
            else "each target, such as base and new"
        ),
        "base and new": _of_both(metric),
        "over datasets": "the arithmetic mean, each dataset counting once",
    }


def _range(low: float, high: float) -> str:
    least = "any" if math.isinf(low) else f"from {low:g}"
    if math.isinf(high):
        return least if math.isinf(low) else f"{least} on"
    return f"up to {high:g}" if math.isinf(low) else f"{least} to {high:g}"


def _of_both(metric: Metric) -> str:
    """How the values on base and new classes are put together."""
    if metric.pooled:
        return "one value"
    return "HM, the harmonic mean" if metric.harmonic else "two values, no harmonic mean"

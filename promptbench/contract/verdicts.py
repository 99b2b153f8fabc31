"""What came out of the checks of a method."""

from __future__ import annotations

from dataclasses import dataclass

from promptbench.contract.bench import Bench, Build
from promptbench.contract.checks import CHECKS, Broken
from promptbench.seeding import seeded


@dataclass(frozen=True)
class Verdict:
    """What came out of one check: the point in words, whether it held, and the number."""

    point: str
    held: bool
    detail: str


def examine(build: Build) -> list[Verdict]:
    """All checks of a method, each on a bench of its own; one that breaks stops no other."""
    verdicts = []
    for check in CHECKS:
        point = (check.__doc__ or check.__name__).strip().splitlines()[0]
        try:
            with seeded(0, "check"):  # logits that draw are found out, each time alike
                verdicts.append(Verdict(point, True, check(Bench.of(build))))
        except Exception as error:  # whatever a plugin raises is the finding
            where = "" if isinstance(error, Broken) else f"{type(error).__name__}: "
            verdicts.append(Verdict(point, False, f"{where}{error}"))
    return verdicts

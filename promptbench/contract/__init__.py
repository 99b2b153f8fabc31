"""What any plugin must hold: methods on a tiny CLIP with random weights, metrics on answers drawn
at random (`metrics`)."""

from promptbench.contract.bench import Bench, Build
from promptbench.contract.examination import CHECKS, SIGHT, Check, examine, world_of
from promptbench.contract.towers import tiny_towers
from promptbench.contract.verdicts import TOLERANCE, Broken, CheckResult
from promptbench.contract.world import OTHER, TRAIN, World

__all__ = [
    "CHECKS",
    "OTHER",
    "SIGHT",
    "TOLERANCE",
    "TRAIN",
    "Bench",
    "Broken",
    "Build",
    "Check",
    "CheckResult",
    "World",
    "examine",
    "tiny_towers",
    "world_of",
]

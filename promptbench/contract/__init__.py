"""What any method must hold, checked on a tiny CLIP with random weights."""

from promptbench.contract.bench import OTHER, TRAIN, Bench, Build
from promptbench.contract.checks import CHECKS, TOLERANCE, Broken, Check
from promptbench.contract.towers import tiny_towers
from promptbench.contract.verdicts import Verdict, examine

__all__ = [
    "CHECKS",
    "OTHER",
    "TOLERANCE",
    "TRAIN",
    "Bench",
    "Broken",
    "Build",
    "Check",
    "Verdict",
    "examine",
    "tiny_towers",
]

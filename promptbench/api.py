"""What the author of a plugin imports: the whole public interface of promptbench, in one place.

    from promptbench.api import (ClassSet, Method, Towers, unit)

The promise: what stands here keeps its meaning within a version of the API. The version grows when
something is removed or changes its meaning, not when something is added. A module states the
version it was written for as `PROMPTBENCH_API = 1`; a module of another version is refused with
what has changed since. What does not stand here may change with any release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptbench.analysis import figures
    from promptbench.analysis.analysis import Analysis, Look, ScoredTarget
    from promptbench.analysis.figures import Drawing, Drawn
    from promptbench.analysis.rows import Number, average, select
    from promptbench.core.api_version import API_VERSION, CHANGES
    from promptbench.core.class_sets import Rule, portion
    from promptbench.core.method import (
        ClassSet,
        Count,
        CountOrZero,
        Decoupled,
        EmbedsClasses,
        EmbedsImages,
        GradientOf,
        Gradients,
        Method,
        Paradigm,
        Share,
        Solver,
        Starter,
        Weight,
        full_precision,
        normal,
        unit,
    )
    from promptbench.core.metric import Answers, Metric
    from promptbench.core.protocol import (
        Column,
        Leg,
        Protocol,
        Shift,
        Source,
        Target,
        average_title,
        harmonic_mean,
        mean_of,
        score,
    )
    from promptbench.core.selection import Observation, Selection, State
    from promptbench.core.shots import ByShots
    from promptbench.data.cards.cards import class_names
    from promptbench.errors import UserError
    from promptbench.models import deltas, edits
    from promptbench.models.deltas import Affine, Delta, Deltas
    from promptbench.models.edits import Edit, Edits
    from promptbench.models.moves import Moves
    from promptbench.models.towers import (
        Capture,
        TextTower,
        Tokens,
        Tower,
        Towers,
        imagenet_templates,
    )
    from promptbench.report import text as report_text
    from promptbench.report.format import Format
    from promptbench.report.grid import Grid
    from promptbench.report.table import Heading, Row, Table
    from promptbench.running.executor import Executor, Work
    from promptbench.statistics import Estimate
    from promptbench.support.progress import Task
    from promptbench.support.prose import counted
    from promptbench.tracking import Epoch, Tracker, TrackerOptions

# Where each name is made. It is imported when it is asked for: a protocol or a format needs no
# torch, and commands that only read records do not wait for it.
_HOMES = {
    "promptbench.analysis.analysis": ("Analysis", "Look", "ScoredTarget"),
    "promptbench.analysis.figures": ("Drawing", "Drawn"),
    "promptbench.analysis.rows": ("Number", "average", "select"),
    "promptbench.core.api_version": ("API_VERSION", "CHANGES"),
    "promptbench.core.class_sets": ("Rule", "portion"),
    "promptbench.core.method": (
        "ClassSet",
        "Count",
        "CountOrZero",
        "Decoupled",
        "EmbedsClasses",
        "EmbedsImages",
        "GradientOf",
        "Gradients",
        "Method",
        "Paradigm",
        "Share",
        "Solver",
        "Starter",
        "Weight",
        "full_precision",
        "normal",
        "unit",
    ),
    "promptbench.core.metric": ("Answers", "Metric"),
    "promptbench.core.protocol": (
        "Column",
        "Leg",
        "Protocol",
        "Shift",
        "Source",
        "Target",
        "average_title",
        "harmonic_mean",
        "mean_of",
        "score",
    ),
    "promptbench.core.selection": ("Observation", "Selection", "State"),
    "promptbench.core.shots": ("ByShots",),
    "promptbench.data.cards.cards": ("class_names",),
    "promptbench.errors": ("UserError",),
    "promptbench.models.deltas": ("Affine", "Delta", "Deltas"),
    "promptbench.models.edits": ("Edit", "Edits"),
    "promptbench.models.moves": ("Moves",),
    "promptbench.models.towers": (
        "Capture",
        "TextTower",
        "Tokens",
        "Tower",
        "Towers",
        "imagenet_templates",
    ),
    "promptbench.report.format": ("Format",),
    "promptbench.report.grid": ("Grid",),
    "promptbench.report.table": ("Heading", "Row", "Table"),
    "promptbench.running.executor": ("Executor", "Work"),
    "promptbench.statistics": ("Estimate",),
    "promptbench.support.progress": ("Task",),
    "promptbench.support.prose": ("counted",),
    "promptbench.tracking": ("Epoch", "Tracker", "TrackerOptions"),
}
_MODULES = {
    "deltas": "promptbench.models.deltas",
    "edits": "promptbench.models.edits",
    "figures": "promptbench.analysis.figures",
    "report_text": "promptbench.report.text",
}

__all__ = [
    "API_VERSION",
    "Affine",
    "Analysis",
    "Answers",
    "ByShots",
    "CHANGES",
    "Capture",
    "ClassSet",
    "Column",
    "Count",
    "CountOrZero",
    "Decoupled",
    "Delta",
    "Deltas",
    "Drawing",
    "Drawn",
    "Edit",
    "Edits",
    "EmbedsClasses",
    "EmbedsImages",
    "Epoch",
    "Estimate",
    "Executor",
    "Format",
    "GradientOf",
    "Gradients",
    "Grid",
    "Heading",
    "Leg",
    "Look",
    "Method",
    "Metric",
    "Moves",
    "Number",
    "Observation",
    "Paradigm",
    "Protocol",
    "Row",
    "Rule",
    "ScoredTarget",
    "Selection",
    "Share",
    "Shift",
    "Solver",
    "Source",
    "Starter",
    "State",
    "Table",
    "Target",
    "Task",
    "TextTower",
    "Tokens",
    "Tower",
    "Towers",
    "Tracker",
    "TrackerOptions",
    "UserError",
    "Weight",
    "Work",
    "average",
    "average_title",
    "class_names",
    "counted",
    "deltas",
    "edits",
    "figures",
    "full_precision",
    "harmonic_mean",
    "imagenet_templates",
    "mean_of",
    "normal",
    "portion",
    "report_text",
    "score",
    "select",
    "unit",
]


def __getattr__(name: str) -> Any:
    """Import a name of the interface from where it is made."""
    if name in _MODULES:
        found: Any = import_module(_MODULES[name])
    else:
        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

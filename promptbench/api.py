"""What the author of a plugin imports: the whole public interface of promptbench, in one place.

    from promptbench.api import (ClassSet, Method, Towers, unit)

The promise: what stands here keeps its meaning within a version of the API. The version grows when
something is removed or changes its meaning, not when something is added. A module states the
version it was written for as `PROMPTBENCH_API = 1`; a module of another version is refused with
what has changed since. What does not stand here may change with any release.
"""

from __future__ import annotations

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
    GradientOf,
    Gradients,
    Method,
    Paradigm,
    Share,
    Shift,
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
from promptbench.models.towers import Capture, TextTower, Tokens, Tower, Towers, imagenet_templates
from promptbench.report import text as report_text
from promptbench.report.format import Format
from promptbench.report.grid import Grid
from promptbench.report.table import Heading, Row, Table
from promptbench.running.executor import Executor, Work
from promptbench.statistics import Estimate
from promptbench.support.progress import Task
from promptbench.support.prose import counted
from promptbench.tracking import Epoch, Tracker, TrackerOptions

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

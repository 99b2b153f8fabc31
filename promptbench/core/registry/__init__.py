"""What strangers can add: one registry for each kind of plugin, all alike.

A new kind is one line here, a base class, and a folder of built-in members; the core names none of
them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from promptbench.core.api_version import check_version
from promptbench.core.registry.registry import BUILT_IN, Plugin, Registry, imported, origin_of
from promptbench.errors import UserError, unknown

__all__ = [
    "ANALYSES",
    "BUILT_IN",
    "EXECUTORS",
    "FORMATS",
    "FROM_FILES",
    "METHODS",
    "METRICS",
    "PROTOCOLS",
    "SELECTIONS",
    "Plugin",
    "Registry",
    "TRACKERS",
    "add_file",
    "add_files",
    "files",
    "located",
]

METHODS: Registry[Any] = Registry(
    "method", "promptbench.methods", "promptbench.methods", "promptbench.core.method:Method"
)
PROTOCOLS: Registry[Any] = Registry(
    "protocol",
    "promptbench.protocols",
    "promptbench.protocols",
    "promptbench.core.protocol:Protocol",
)
ANALYSES: Registry[Any] = Registry(
    "analysis",
    "promptbench.analyses",
    "promptbench.analyses",
    "promptbench.analysis.analysis:Analysis",
)
EXECUTORS: Registry[Any] = Registry(
    "executor",
    "promptbench.executors",
    "promptbench.executors",
    "promptbench.running.executor:Executor",
)
FORMATS: Registry[Any] = Registry(
    "report format",
    "promptbench.formats",
    "promptbench.formats",
    "promptbench.report.format:Format",
)
METRICS: Registry[Any] = Registry(
    "metric", "promptbench.metrics", "promptbench.metrics", "promptbench.core.metric:Metric"
)
SELECTIONS: Registry[Any] = Registry(
    "selection rule",
    "promptbench.selections",
    "promptbench.selections",
    "promptbench.core.selection:Selection",
)
TRACKERS: Registry[Any] = Registry(
    "tracker",
    "promptbench.trackers",
    "promptbench.trackers",
    "promptbench.tracking.tracker:Tracker",
)

# The kinds that `--plugin FILE` accepts.
FROM_FILES: tuple[Registry[Any], ...] = (
    METHODS,
    PROTOCOLS,
    METRICS,
    SELECTIONS,
    TRACKERS,
    EXECUTORS,
    ANALYSES,
    FORMATS,
)


def add_file(path: Path) -> tuple[Registry[Any], str]:
    """Add a plugin that is not installed, a Python file, to the registry of its kind.

    The kind is that of the class with a title that the file defines; its name is the file's.

    Raises:
        UserError: no such file, one that cannot be imported, that holds no plugin or several, or
            whose name is taken.
    """
    name, origin = origin_of(path)
    module = imported("plugin", name, origin)
    check_version(f"plugin {name!r} ({origin.provider})", module)
    found = {kind.kind: kind for kind in FROM_FILES for _ in kind.classes_in(module)}
    count = sum(len(kind.classes_in(module)) for kind in FROM_FILES)
    if count != 1:
        kinds = " or ".join(kind.base_name for kind in FROM_FILES)
        raise UserError(
            f"{origin.file} must define exactly one {kinds} with a title to be the plugin {name!r},"
            f" but it defines {count}"
        )
    (kind,) = found.values()
    kind.add_file(path)
    return kind, name


def add_files(paths: Iterable[Path | str]) -> None:
    """Add plugins that are not installed: what every command and `promptbench.run` do at first.

    Raises:
        UserError: as `add_file`.
    """
    for path in paths:
        add_file(Path(path))


def files() -> list[Path]:
    """The files that were added in this process, for others that work on the same cells."""
    return [path for kind in FROM_FILES for path in kind.files()]


def located(plugin: str, kinds: Collection[str]) -> tuple[Registry[Any], str]:
    """Find a plugin of one of some kinds by its name, or by the path of its file, which is added.

    Raises:
        UserError: as `add_file`, a file of another kind, or a name that none or several have.
    """
    called = " or ".join(", ".join(kinds).rsplit(", ", 1))
    if plugin.endswith(".py"):
        found, name = add_file(Path(plugin))
        if found.kind not in kinds:
            raise UserError(f"{plugin} is a {found.kind}; give a {called}")
        return found, name
    known = {kind.kind: kind for kind in FROM_FILES if kind.kind in kinds}
    names = {name: kind.names() for name, kind in known.items()}
    having = [kind for kind, own in names.items() if plugin in own]
    if not having:
        every = [name for own in names.values() for name in own]
        raise unknown(called, plugin, every, "or give the .py file of one that is not installed")
    if len(having) > 1:
        both = " and a ".join(having)
        raise UserError(f"a {both} are called {plugin!r}; give the file of the one that is meant")
    return known[having[0]], plugin

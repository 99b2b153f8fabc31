"""Finding plugins: built-ins by scanning a folder, third parties by entry points.

A plugin is a module with one class of the kind's base class and a gin file beside it of the same
name; the module's name is the plugin's name. Listing names imports nothing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from promptbench.errors import UserError, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A loaded plugin: its class, its gin file (None if it ships none) and who provides it."""

    name: str
    cls: type[T]
    gin_file: Path | None
    provider: str


@dataclass(frozen=True)
class Registry(Generic[T]):
    """All plugins of one kind.

    Args:
        kind: "method" or "protocol", for messages.
        package: the package whose modules are the built-in plugins.
        group: the entry-point group of third parties.
        base: "module:Class" of the base class.
    """

    kind: str
    package: str
    group: str
    base: str

    def modules(self) -> dict[str, tuple[str, str]]:
        """name -> (module, provider).

        Raises:
            UserError: two providers claim the same name.
        """
        found: dict[str, tuple[str, str]] = {}
        folder = importlib.import_module(self.package).__path__
        for module in pkgutil.iter_modules(folder):
            if not module.name.startswith("_"):
                found[module.name] = (f"{self.package}.{module.name}", "promptbench")
        for entry in importlib.metadata.entry_points(group=self.group):
            provider = entry.dist.name if entry.dist else "unknown"
            if entry.name in found:
                raise UserError(
                    f"{self.kind} {entry.name!r} is provided twice: by {found[entry.name][1]} and "
                    f"by {provider}; uninstall one or ask its author to rename it"
                )
            found[entry.name] = (entry.module, provider)
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """All names, without importing any plugin."""
        return list(self.modules())

    def load(self, name: str) -> Plugin[T]:
        """Import the plugin `name`.

        Raises:
            UserError: unknown name (with the nearest), or a module that is no plugin.
        """
        modules = self.modules()
        if name not in modules:
            raise unknown(self.kind, name, modules)
        path, provider = modules[name]
        module = importlib.import_module(path)
        cls = self._plugin_class(module, name)
        gin_file = Path(inspect.getfile(module)).with_suffix(".gin")
        return Plugin(name, cls, gin_file if gin_file.is_file() else None, provider)

    def _plugin_class(self, module: Any, name: str) -> type[T]:
        base_module, base_name = self.base.split(":")
        base = getattr(importlib.import_module(base_module), base_name)
        own: list[Any] = [
            cls
            for cls in vars(module).values()
            if inspect.isclass(cls)
            and issubclass(cls, base)
            and cls.__module__ == module.__name__
            and hasattr(cls, "title")
        ]
        if len(own) != 1:
            raise UserError(
                f"{module.__name__} must define exactly one {base_name} with a title to be the "
                f"{self.kind} {name!r}, but it defines {len(own)}"
            )
        found: type[T] = own[0]
        return found


METHODS: Registry[Any] = Registry(
    "method", "promptbench.methods", "promptbench.methods", "promptbench.method:Method"
)
PROTOCOLS: Registry[Any] = Registry(
    "protocol", "promptbench.protocols", "promptbench.protocols", "promptbench.protocol:Protocol"
)

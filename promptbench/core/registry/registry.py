"""Finding plugins: built-ins by scanning a folder, third parties by entry points or by file.

A plugin is a module with one class of the kind's base class and a gin file beside it of the same
name; the module's name is the plugin's name. Listing names imports nothing.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from promptbench.core import source_code
from promptbench.core.api_version import check_version
from promptbench.core.registry import modules, skeletons
from promptbench.errors import UserError, unknown
from promptbench.support.seeding import seeded

T = TypeVar("T")
BUILT_IN = "promptbench"


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A loaded plugin: its class, its gin file (None if it ships none) and who provides it.

    The provider of a third party's plugin holds a hash of its module, and ids of cells hold the
    provider: a plugin that its author has changed is computed again.
    """

    name: str
    cls: type[T]
    gin_file: Path | None
    provider: str

    @property
    def source_sha256(self) -> str | None:
        """The hash of its code, as this process has loaded it (`source_code.of_method`)."""
        return source_code.of_method(self.cls.__module__, self.gin_file)


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from: an importable module, or a file."""

    module: str
    provider: str
    file: Path | None = None


@dataclass(frozen=True)
class Registry(Generic[T]):
    """All plugins of one kind.

    Args:
        kind: what a plugin is called in messages, such as "method".
        package: the package whose modules are the built-in plugins.
        group: the entry-point group of third parties.
        base: "module:Class" of the base class.
    """

    kind: str
    package: str
    group: str
    base: str
    _files: dict[str, Origin] = field(default_factory=dict, repr=False)

    def add_file(self, path: Path) -> str:
        """Add a plugin that is not installed, a Python file; its name is the file's.

        Raises:
            UserError: no such file, or a name that is taken.
        """
        name, origin = origin_of(path)
        taken = self._origins().get(name)
        if taken is not None and (taken.file is None or taken.file != origin.file):
            raise self._clash(name, taken.provider, str(origin.file))
        self._files[name] = origin
        return name

    def add_path(self, name: str) -> str:
        """The name of a plugin given by name, or by the path of its file, which is added."""
        return self.add_file(Path(name)) if name.endswith(".py") else name

    def files(self) -> list[Path]:
        """The files of the plugins that are not installed."""
        return [origin.file for origin in self._files.values() if origin.file is not None]

    def names(self) -> list[str]:
        """All names, without importing any plugin."""
        return sorted(self._origins())

    def provider(self, name: str) -> str | None:
        """Who provides a plugin, without importing it; None where there is none of this name."""
        origin = self._origins().get(name)
        return origin.provider if origin else None

    def about(self, name: str) -> str:
        """Return the first line of a plugin's docstring, which is read and not imported.

        Empty where there is none, or the file cannot be read: loading the plugin says why.
        """
        origin = self._origins()[name]
        try:
            spec = None if origin.file else importlib.util.find_spec(origin.module)
            file = origin.file or Path((spec and spec.origin) or "")
            text = ast.get_docstring(ast.parse(file.read_bytes())) or ""
        except Exception:  # the package around a module is imported, and may raise anything
            return ""
        return text.partition("\n")[0].removesuffix(".")

    def stated(self, name: str, what: str) -> Any:
        """The value of an attribute of a plugin's class, such as its title.

        Where it stands as a literal in the source of a built-in one, it is read and not imported. A
        third party's class may compute it: that one is always imported.

        Raises:
            UserError: as `load`, of one that is imported.
        """
        if self.provider(name) == BUILT_IN:
            try:
                return skeletons.stated(self._origins()[name].module, what)
            except skeletons.UnreadError:
                pass
        return getattr(self.load(name).cls, what)

    def text_of(self, name: str) -> str:
        """The docstring of a plugin's module, which is imported as for `stated`; "" without one.

        Raises:
            UserError: as `load`, of one that is imported.
        """
        if self.provider(name) == BUILT_IN:
            with suppress(skeletons.UnreadError):
                return skeletons.text_of(self._origins()[name].module)
        return inspect.getdoc(sys.modules[self.load(name).cls.__module__]) or ""

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Name the plugin whose code runs in the block in what it raises.

        Raises:
            UserError: whatever a third party's plugin raises, with its file and line; errors of
                the built-in ones pass as they are.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # a plugin may raise anything
            provider = self._origins()[name].provider
            if provider == BUILT_IN:
                raise
            raise UserError(
                f"the {self.kind} {name!r} of {provider} failed: {type(error).__name__}: "
                f"{modules.with_place(error)}"
            ) from error

    def load(self, name: str) -> Plugin[T]:
        """Import the plugin `name`.

        Raises:
            UserError: unknown name (with the nearest), a module that cannot be imported or is no
                plugin, or one written for another version of the plugin API.
        """
        origins = self._origins()
        if name not in origins:
            raise unknown(self.kind, name, origins)
        origin = origins[name]
        module = imported(self.kind, name, origin)
        if origin.provider != BUILT_IN:
            check_version(f"{self.kind} {name!r} ({origin.provider})", module)
        cls = self._plugin_class(module, name)
        file = Path(inspect.getfile(module))
        gin_file = file.with_suffix(".gin")
        provider = origin.provider
        if provider != BUILT_IN and origin.file is None:
            provider = f"{provider}, file {modules.digest(file)}"
        found = Plugin(name, cls, gin_file if gin_file.is_file() else None, provider)
        _ = found.source_sha256  # now: files may change while the process lives
        return found

    def _origins(self) -> dict[str, Origin]:
        found: dict[str, Origin] = {}
        folders = tuple(importlib.import_module(self.package).__path__)
        for name in _modules_in(_dated(folders)):
            if not name.startswith("_"):
                found[name] = Origin(f"{self.package}.{name}", BUILT_IN)
        for entry in _installed(importlib.metadata.entry_points, _places(), self.group):
            provider = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            if not entry.name.isidentifier():  # it becomes a folder's name
                raise UserError(
                    f"{provider} provides a {self.kind} called {entry.name!r}, which is not a name "
                    "(letters, digits, underscores); uninstall or fix it"
                )
            if entry.name in found:
                raise self._clash(entry.name, found[entry.name].provider, provider)
            found[entry.name] = Origin(entry.module, provider)
        for name, origin in self._files.items():
            if name in found:
                raise self._clash(name, found[name].provider, str(origin.file))
            found[name] = origin
        return found

    def _clash(self, name: str, first: str, second: str) -> UserError:
        return UserError(
            f"{self.kind} {name!r} is provided twice: by {first} and by {second}; remove one or "
            "rename it"
        )

    def _plugin_class(self, module: ModuleType, name: str) -> type[T]:
        own = self.classes_in(module)
        if len(own) != 1:
            raise UserError(
                f"{inspect.getfile(module)} must define exactly one {self.base_name} with a title "
                f"to be the {self.kind} {name!r}, but it defines {len(own)}"
            )
        return own[0]

    @property
    def base_name(self) -> str:
        """What the base class of the kind is called."""
        return self.base.partition(":")[2]

    def classes_in(self, module: ModuleType) -> list[type[T]]:
        """The classes that a module defines as plugins of this kind: those with a title."""
        module_of_base = importlib.import_module(self.base.partition(":")[0])
        base: type[T] = getattr(module_of_base, self.base_name)
        return [
            cls
            for cls in vars(module).values()
            if inspect.isclass(cls)
            and issubclass(cls, base)
            and cls.__module__ == module.__name__
            and hasattr(cls, "title")
        ]


def _places() -> tuple[tuple[str, int], ...]:
    """Where packages lie, and when something was last installed there."""
    return _dated(tuple(sys.path))


def _dated(folders: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((folder, _changed(folder)) for folder in folders)


def _changed(folder: str) -> int:
    try:
        state = os.stat(folder or ".")  # noqa: PTH116 - of every record that is read
    except OSError:
        return 0
    return state.st_mtime_ns if stat.S_ISDIR(state.st_mode) else 0


@functools.lru_cache(maxsize=64)  # every look reads the folder
def _modules_in(places: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules([place for place, _ in places]))


@functools.lru_cache(maxsize=64)  # every look reads the metadata of all packages
def _installed(
    look: Callable[..., Any], places: tuple[tuple[str, int], ...], group: str
) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(look(group=group))


def origin_of(path: Path) -> tuple[str, Origin]:
    """The name and origin of a plugin that is a Python file; nothing is imported.

    Raises:
        UserError: no such file, or one whose name a plugin cannot have.
    """
    path = path.expanduser().resolve()
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"the plugin {path} is not a Python file that exists")
    if not path.stem.isidentifier() or path.stem.startswith("_"):
        raise UserError(f"{path.name}: a plugin's file is named like it, e.g. my_method.py")
    digest = modules.digest(path)
    return path.stem, Origin(f"promptbench_plugin_{path.stem}_{digest}", f"file {digest}", path)


def imported(kind: str, name: str, origin: Origin) -> ModuleType:
    """The module of a plugin, imported under the seed of its name, for it may draw as well, such as
    a default value. Those of promptbench do not, and need not wait for torch to be seeded.

    Raises:
        UserError: what a third party's module raises, with its file and line.
    """
    if origin.module in sys.modules:
        return sys.modules[origin.module]
    try:
        with nullcontext() if origin.provider == BUILT_IN else seeded(0, "import", name):
            if origin.file is None:
                return importlib.import_module(origin.module)
            return modules.of_file(origin.module, origin.file)
    except UserError:
        raise
    except Exception as error:  # a plugin may raise anything at its import
        if origin.provider == BUILT_IN:
            raise
        raise UserError(
            f"the {kind} {name!r} of {origin.file or origin.provider} cannot be imported: "
            f"{type(error).__name__}: {modules.with_place(error)}"
        ) from error

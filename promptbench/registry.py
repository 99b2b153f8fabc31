"""Finding plugins: built-ins by scanning a folder, third parties by entry points or by file.

A plugin is a module with one class of the kind's base class and a gin file beside it of the same
name; the module's name is the plugin's name. Listing names imports nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from promptbench import source_code
from promptbench.api import check_version
from promptbench.errors import UserError, unknown
from promptbench.seeding import seeded

T = TypeVar("T")
BUILT_IN = "promptbench"


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A loaded plugin: its class, its gin file (None if it ships none) and who provides it.

    The provider of a third party's plugin holds a hash of its module, and ids of cells hold the
    provider: a plugin that its author has changed is computed anew.
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
class _Origin:
    """Where a plugin comes from: an importable module, or a file."""

    module: str
    provider: str
    file: Path | None = None


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
    _files: dict[str, _Origin] = field(default_factory=dict, repr=False)

    def add_file(self, path: Path) -> str:
        """Add a plugin that is not installed, a Python file; its name is the file's.

        Raises:
            UserError: no such file, or a name that is taken.
        """
        path = path.expanduser().resolve()
        name = path.stem
        if path.suffix != ".py" or not path.is_file():
            raise UserError(f"the plugin {path} is not a Python file that exists")
        if not name.isidentifier() or name.startswith("_"):
            raise UserError(
                f"{path.name}: a plugin's file is named like it, e.g. my_{self.kind}.py"
            )
        digest = _digest(path)
        origin = _Origin(f"promptbench_plugin_{name}_{digest}", f"file {digest}", path)
        taken = self._origins().get(name)
        if taken is not None and (taken.file is None or taken.file != path):
            raise self._clash(name, taken.provider, str(path))
        self._files[name] = origin
        return name

    def add_path(self, name: str) -> str:
        """The name of a plugin given by name, or by the path of its file, which is added."""
        return self.add_file(Path(name)) if name.endswith(".py") else name

    def names(self) -> list[str]:
        """All names, without importing any plugin."""
        return sorted(self._origins())

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
        with seeded(0, "import", name):  # a module may draw as well, such as a default value
            module = self._imported(name, origin)
        if origin.provider != BUILT_IN:
            check_version(f"{self.kind} {name!r} ({origin.provider})", module)
        cls = self._plugin_class(module, name)
        _ensure_configurable(cls)
        file = Path(inspect.getfile(module))
        gin_file = file.with_suffix(".gin")
        provider = origin.provider
        if provider != BUILT_IN and origin.file is None:
            provider = f"{provider}, file {_digest(file)}"
        found = Plugin(name, cls, gin_file if gin_file.is_file() else None, provider)
        _ = found.source_sha256  # now: files may change while the process lives
        return found

    def _origins(self) -> dict[str, _Origin]:
        found: dict[str, _Origin] = {}
        folder = importlib.import_module(self.package).__path__
        for module in pkgutil.iter_modules(folder):
            if not module.name.startswith("_"):
                found[module.name] = _Origin(f"{self.package}.{module.name}", BUILT_IN)
        for entry in importlib.metadata.entry_points(group=self.group):
            provider = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            if not entry.name.isidentifier():  # it becomes a folder's name
                raise UserError(
                    f"{provider} provides a {self.kind} called {entry.name!r}, which is no name "
                    "(letters, digits, underscores); uninstall or mend it"
                )
            if entry.name in found:
                raise self._clash(entry.name, found[entry.name].provider, provider)
            found[entry.name] = _Origin(entry.module, provider)
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

    def _imported(self, name: str, origin: _Origin) -> ModuleType:
        if origin.module in sys.modules:
            return sys.modules[origin.module]
        try:
            if origin.file is None:
                return importlib.import_module(origin.module)
            return _module_of_file(origin.module, origin.file)
        except UserError:
            raise
        except Exception as error:  # a plugin may raise anything at its import
            if origin.provider == BUILT_IN:
                raise
            raise UserError(
                f"the {self.kind} {name!r} of {origin.file or origin.provider} cannot be imported: "
                f"{type(error).__name__}: {_with_place(error)}"
            ) from error

    def _plugin_class(self, module: ModuleType, name: str) -> type[T]:
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
                f"{inspect.getfile(module)} must define exactly one {base_name} with a title to be "
                f"the {self.kind} {name!r}, but it defines {len(own)}"
            )
        found: type[T] = own[0]
        return found


def _with_place(error: Exception) -> str:
    """What an error says, with file and line; a syntax error names its own."""
    if isinstance(error, SyntaxError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error} ({Path(where.filename).name}, line {where.lineno})"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _module_of_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and gin look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:  # also an interrupt must leave no half-made module to be found
        del sys.modules[name]
        raise
    return module


def _ensure_configurable(cls: type[Any]) -> None:
    """Let gin configure a class whose author left @gin.configurable out."""
    import gin
    from gin import config as gin_config

    if gin_config._REGISTRY.get_match(f"{cls.__module__}.{cls.__name__}") is None:
        gin.configurable(cls)


METHODS: Registry[Any] = Registry(
    "method", "promptbench.methods", "promptbench.methods", "promptbench.method:Method"
)
PROTOCOLS: Registry[Any] = Registry(
    "protocol", "promptbench.protocols", "promptbench.protocols", "promptbench.protocol:Protocol"
)

"""The plan file: what workers carry out, and what it was made by, as plain JSON.

It lies below the output folder, `.work/ID/plan.json`; what lies beside it: `places`.
"""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from promptbench.core import registry
from promptbench.data.shards import store
from promptbench.errors import UserError, first_problem, unknown
from promptbench.models import backbones
from promptbench.planning import class_texts
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import EVERY, Request
from promptbench.storage.files import write_whole
from promptbench.storage.reading import parse_json, read_bytes
from promptbench.support import version
from promptbench.workers.plan import pins, places, roster
from promptbench.workers.plan.pins import Pins
from promptbench.workers.plan.places import PLAN, folder_of
from promptbench.workers.plan.roster import Entry

Options = TypeVar("Options", Request, Machine)
_VERSION = 1
_MOST = 64 * 2**20  # bytes of a plan file: settings of some thousand requests


@dataclass(frozen=True)
class Order:
    """Requests with all that workers need to know to compute their cells as one process would.

    Args:
        id: names it within its output folder.
        requests: what is asked for, in the order of the plans.
        machine: how workers do it; `jobs` is the number of processes of each of them.
        precision: what cells are computed in, which their ids depend on.
        pins: code, settings and packages at the submission; workers with others refuse.
        cells: what the requests came to, for those who look on; empty for one that was read.
        data: of each request the digests of its datasets (`store.digests`), so that a worker
            without some of them can take the cells that need others.
    """

    id: str
    requests: tuple[Request, ...]
    machine: Machine
    precision: str
    pins: Pins
    cells: tuple[Entry, ...] = field(default=(), compare=False, repr=False)
    data: tuple[Mapping[str, str], ...] = ()

    @property
    def folder(self) -> Path:
        """Where the plan file lies, and what belongs to it."""
        return folder_of(self.machine.out, self.id)

    @property
    def path(self) -> Path:
        """The plan file."""
        return self.folder / PLAN

    def text(self) -> str:
        """The plan file's text."""
        return json.dumps(
            {
                "version": _VERSION,
                "id": self.id,
                "precision": self.precision,
                "requests": [_asked(request) for request in self.requests],
                "machine": _plain(self.machine),
                "pins": dict(self.pins),
                "data": [dict(each) for each in self.data],
            },
            indent=1,
        )

    def write(self) -> Path:
        """Write the plan file, after its cells; its path.

        Raises:
            OutputError: the output folder cannot be written.
        """
        roster.write(self.folder, self.cells)
        write_whole(self.path, self.text().encode())
        return self.path


def make(plans: Sequence[Plan], machine: Machine, precision: str) -> Order:
    """The order for the cells of plans; paths in it are whole, so that it holds elsewhere.

    Raises:
        UserError: a plan that was not made from a request.
    """
    requests = [plan.request for plan in plans if plan.request is not None]
    if len(requests) < len(plans):
        raise UserError("a single record is recomputed where you are; leave --on out")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return Order(
        id=f"{now}-{secrets.token_hex(3)}",
        requests=tuple(_whole(request) for request in requests),
        machine=replace(
            machine,
            out=machine.out.absolute(),
            plugin=tuple(path.absolute() for path in machine.plugin),
            on=None,
            jobs=1,
            machine=None,
            address=None,
            quiet=False,
            retry_failed=False,  # done before; a worker that comes later must not do it again
        ),
        precision=precision,
        pins=pins.of_here(plans),
        cells=roster.of_plans(plans),
        data=tuple(store.digests(made.datasets(), made.root) for made in plans),
    )


def _whole(request: Request) -> Request:
    """A request that means the same wherever it is read."""
    weights = request.weights
    if weights is not None and backbones.is_path(weights):
        weights = str(Path(weights).expanduser().absolute())
    return replace(
        request,
        methods=(EVERY,) if request.every else request.methods,
        data=None if request.root is None else str(request.root.absolute()),
        weights=weights,
        gin=tuple(path.absolute() for path in request.gin),
        class_texts=class_texts.whole(request.class_texts),
    )


def _asked(request: Request) -> dict[str, Any]:
    """A request as JSON; "all" methods stay so, since those that do not fit are left out of it."""
    return _plain(request) | ({"methods": [EVERY]} if request.every else {})


def _plain(options: Request | Machine) -> dict[str, Any]:
    """The options that are not at their default, as JSON has them."""
    found = {}
    for each in fields(options):
        value = getattr(options, each.name)
        if each.init and value != each.default:
            found[each.name] = _jsonable(value)
    return found


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_jsonable(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def read(path: Path, out: Path | None = None) -> Order:
    """Read a plan file, after registering the plugin files that it names.

    Args:
        out: where the output folder of the plan lies on this machine, if elsewhere.

    Raises:
        UserError: it cannot be read, is not a plan file, or asks for what is not here.
    """
    path = path / PLAN if path.is_dir() else path
    try:
        return _from_plain(parse_json(read_bytes(path, _MOST, "the plan file")), out)
    except ValidationError as error:
        said = first_problem(error, "the file")
        raise UserError(
            f"{path} is not a plan file: {said} (`promptbench run --on ...` writes them)"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is not a plan file: {error}") from error


class _File(BaseModel, extra="forbid", strict=True):
    version: int
    id: str
    precision: str
    requests: list[dict[str, Any]]
    machine: dict[str, Any]
    pins: dict[str, str | None]
    data: list[dict[str, str]] = []


def _from_plain(plain: Any, out: Path | None) -> Order:
    if isinstance(plain, dict) and plain.get("version", _VERSION) != _VERSION:
        raise ValueError(
            f"it has version {plain['version']}, and promptbench {version.__version__} reads "
            f"version {_VERSION}; submit it again"
        )
    found = _File.model_validate(plain)
    options = found.machine | ({} if out is None else {"out": out})
    registry.add_files([Path(name) for name in options.get("plugin", ())])
    return Order(
        id=found.id,
        requests=tuple(_made(Request, each) for each in found.requests),
        machine=_made(Machine, options),
        precision=found.precision,
        pins=found.pins,
        data=tuple(found.data),
    )


def _made(kind: type[Options], options: Mapping[str, Any]) -> Options:
    known = [each.name for each in fields(kind) if each.init]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return kind(**options)


def all_of(out: Path) -> list[Path]:
    """The plan files of an output folder, the oldest first."""
    return [folder / PLAN for folder in places.folders(out)]

"""What a plan file pins: code, packages and cells, so that every worker computes the same.

Numbers depend on them. A worker with others refuses, and says which.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence

from promptbench.core import source_code
from promptbench.planning.plan import Plan
from promptbench.running.lab import environment
from promptbench.support import version

Pins = Mapping[str, str | None]  # None: not known there
_VERSION, _PYTHON = "promptbench", "python"
_SOURCES, _REVISION = "sources of promptbench", "revision"
_METHOD, _RULE, _TEXTS, _CELLS = "method", "selection rule", "class texts", "cells"
_HASHES = (_SOURCES, _METHOD, _RULE, _CELLS)  # nobody reads them: what differs is said in words


def of_here(plans: Sequence[Plan]) -> dict[str, str | None]:
    """What this process would compute the plans with: versions, and hashes of sources and cells."""
    found: dict[str, str | None] = {
        _VERSION: version.__version__,
        _REVISION: environment.git_revision(),
        _SOURCES: source_code.of_package(),
        _PYTHON: ".".join(platform.python_version_tuple()[:2]),
        **environment.versions(),
    }
    for cell in (cell for made in plans for cell in made.cells):
        found[f"{_METHOD} {cell.method.name}"] = cell.method.source_sha256
        for rule in (*cell.rules, cell.selection):
            found[f"{_RULE} {rule.name}"] = rule.source_sha256
        for dataset, texts in cell.class_texts.items():
            found[f"{_TEXTS} of {dataset} ({cell.method.name})"] = texts.sha256
    for number, made in enumerate(plans):
        ids = "".join(cell.id for cell in made.cells)
        name = f"{_CELLS} of {made.protocol_name} ({made.title or number + 1})"
        found[name] = hashlib.sha256(ids.encode()).hexdigest()
    return found


def differences(pinned: Pins, here: Pins) -> list[str]:
    """What differs, a few words each; cells only where nothing else explains it.

    A revision that is not known on either side (a node without git) is no difference.
    """
    found = [name for name in dict.fromkeys([*pinned, *here]) if _differs(name, pinned, here)]
    others = [name for name in found if not name.startswith(_CELLS)]
    return [_said(name, pinned, here) for name in others or found]


def _differs(name: str, pinned: Pins, here: Pins) -> bool:
    theirs, mine = pinned.get(name), here.get(name)
    if name == _REVISION and None in (theirs, mine):
        return False
    return theirs != mine


def _said(name: str, pinned: Pins, here: Pins) -> str:
    if name.startswith(_CELLS):
        return (
            f"other {name} (its settings, cards, shards or weights are others than at the "
            "submission)"
        )
    if name.startswith(_HASHES):
        return f"other sources of {name.removeprefix('sources of ')}"
    if name.startswith(_TEXTS):
        told = (str(pins.get(name))[:12] for pins in (here, pinned))
        return "other {} ({} instead of {})".format(name, *told)
    return f"{name} {here.get(name) or 'missing'} instead of {pinned.get(name) or 'none'}"

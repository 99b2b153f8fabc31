"""Files and folders that may not be read, as after `chmod 000`, also for root."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_OF_THE_FOLDER_ABOVE = ((os, "stat"), (os, "lstat"))
_OF_ITSELF = ((os, "open"), (os, "scandir"), (os, "listdir"), (io, "open"), (builtins, "open"))


def forbid(monkeypatch: pytest.MonkeyPatch, *places: Path) -> None:
    """Let nobody read these files, nor list these folders and reach anything below them."""
    for module, name in (*_OF_THE_FOLDER_ABOVE, *_OF_ITSELF):
        own, itself = getattr(module, name), (module, name) in _OF_ITSELF
        monkeypatch.setattr(module, name, _guarded(own, itself, places))


def _guarded(own: Callable[..., Any], itself: bool, places: tuple[Path, ...]) -> Callable[..., Any]:
    def call(path: Any = ".", *given: Any, **more: Any) -> Any:
        if isinstance(path, str | os.PathLike):
            here = Path(path)
            above = {here, *here.parents} if itself else set(here.parents)
            if above.intersection(places):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return own(path, *given, **more)

    return call

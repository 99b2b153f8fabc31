"""What a worker sees on its machine: the part of `promptbench machine check` that runs there.

Its findings are plain data, written as JSON into the folder that it was given.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from promptbench.errors import UserError
from promptbench.storage import leases
from promptbench.storage.files import write_whole
from promptbench.storage.reading import parse_json, read_bytes
from promptbench.support import allotted, whereabouts

TASK, BEAT = "task.json", "beat"
_RACE = "0" * 64
HUB, WANDB = "the Hugging Face hub", "Weights & Biases"
_MOST = 2**20  # bytes of a file of a check
_PAUSE = 0.25  # seconds between looks
_BEATS = 4  # of the one that wins, seen by the other
_BEAT_SECONDS = 1.1  # file systems may keep whole seconds only
_NETWORK_SECONDS = 4.0


def probe(folder: Path, patience: float = 120.0) -> Path:
    """Look around, race the other workers of the check for a claim, and write what was found.

    Args:
        folder: that of the check, or a copy of it on a machine that does not see it, where nobody
            can be raced.
        patience: seconds to wait for the others.

    Raises:
        UserError: the folder is not that of a check, or cannot be written from here.
    """
    try:
        task = parse_json(read_bytes(folder / TASK, _MOST, "the task of a check"))
        token, count = str(task["token"]), int(task["count"])
        apart = folder != Path(task["folder"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is not the folder of a check: {error}") from error
    name = f"{whereabouts.host()}-{os.getpid()}"
    found: dict[str, Any] = {
        "token": token,
        "host": whereabouts.host(),
        "job": whereabouts.job(),
        "apart": apart,
        "clock": None if apart else clock_difference(folder, name),
        **_devices(),
        "pins": _pins(),
        "data": _readable(task.get("data")),
        "scratch": _writable(task.get("scratch")),
        "network": {name: _reaches(address) for name, address in _services().items()},
    }
    write_whole(folder / f"ready-{name}", b"")
    found["claim"] = None if apart else race(folder, count, patience)
    path = folder / f"found-{name}.json"
    write_whole(path, json.dumps(found, indent=1).encode())
    return path


def clock_difference(folder: Path, name: str) -> float:
    """Seconds by which this machine's clock is ahead of that of a folder's file system."""
    path = folder / f"clock-{name}"
    before = time.time()
    write_whole(path, b"")
    after, written = time.time(), path.stat().st_mtime
    ahead = before - written
    return ahead if ahead > 0 else min(after - written, 0.0)


def race(
    folder: Path,
    count: int,
    patience: float,
    pause: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """Race for a lease, as for a cell, with the others; what came of it.

    The winner lets a file beat, and the others say whether they see that.
    """
    waited = 0.0
    while (there := len(list(folder.glob("ready-*")))) < count and waited < patience:
        pause(_PAUSE)
        waited += _PAUSE
    if there < count:
        return {"others": there - 1, "won": None, "beats": None}
    with leases.claimed(leases.place(folder, "check", _RACE)) as won:
        if won is None or (folder / BEAT).exists():  # or it was won, and is over already
            return {"others": there - 1, "won": False, "beats": _beats(folder / BEAT, pause)}
        for _ in range(2 * _BEATS):
            (folder / BEAT).touch()
            pause(_BEAT_SECONDS)
    return {"others": there - 1, "won": True, "beats": None}


def _beats(path: Path, pause: Callable[[float], None]) -> int:
    """How often a file's time was seen to change, up to enough."""
    seen: set[int] = set()
    for _ in range(int(3 * _BEATS * _BEAT_SECONDS / _PAUSE)):
        with suppress(FileNotFoundError):  # the winner has just begun
            seen.add(path.stat().st_mtime_ns)
        if len(seen) > _BEATS // 2:
            break
        pause(_PAUSE)
    return max(len(seen) - 1, 0)


def _devices() -> dict[str, Any]:
    import torch

    gpus: Sequence[Mapping[str, Any]] = []
    if torch.cuda.is_available():
        of = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        gpus = [{"name": each.name, "gib": round(each.total_memory / 2**30, 1)} for each in of]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"gpus": gpus, "visible": visible, "cpus": allotted.cores()}


def _pins() -> Mapping[str, str | None]:
    from promptbench.workers.plan import pins

    return pins.of_here([])


def _readable(root: str | None) -> Mapping[str, Any] | None:
    if root is None:
        return None
    try:
        return {"path": root, "entries": sum(1 for _ in Path(root).expanduser().iterdir())}
    except OSError as error:
        return {"path": root, "problem": error.strerror or str(error)}


def _writable(folder: str | None) -> Mapping[str, Any]:
    """The scratch folder of the profile as a shell has it here, else the cache's."""
    text = folder or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = Path(os.path.expandvars(text)).expanduser()
    if "$" in str(path):
        return {"path": str(path), "problem": "a variable in it is not set there"}
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return {"path": str(path)}
    except OSError as error:
        return {"path": str(path), "problem": error.strerror or str(error)}


def _services() -> Mapping[str, str]:
    """The addresses of services that a run may ask, as their packages have them here."""
    found = {}
    with suppress(ImportError):
        from huggingface_hub import constants

        found[HUB] = str(constants.ENDPOINT)
    with suppress(ImportError):
        import wandb

        found[WANDB] = str(wandb.Settings().base_url)
    return found


def _reaches(address: str) -> bool:
    parts = urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_NETWORK_SECONDS):
            return True
    except OSError:
        return False

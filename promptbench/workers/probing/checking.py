"""`promptbench machine check`: one tiny job through a profile's executor, and what it means."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.planning.profiles import Profile
from promptbench.running import executor
from promptbench.running.executor import Executor
from promptbench.storage.files import ensure_writable, write_whole
from promptbench.storage.reading import parse_json, read_bytes
from promptbench.support.prose import counted
from promptbench.support.whereabouts import named
from promptbench.workers.plan import pins, places
from promptbench.workers.plan.pins import Pins
from promptbench.workers.probing.probe import TASK, WANDB, clock_difference

Level = Literal["ok", "note", "problem"]
_WORKERS = 2  # the fewest between which leases can be tried
_FAR = 30.0  # seconds between clocks from which on it is worth a word
_PAUSE = 1.0
_BEFORE_ASKING = 20.0  # seconds until an engine is asked whether it still has the workers
_MOST = 2**20
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, and what was found."""

    level: Level
    subject: str
    text: str


def machine_of(profile: Profile) -> Machine:
    """How a run with a profile and nothing else is done."""
    options = {key: value for key, value in profile.options.items() if key != "data"}
    made = Machine(**options, machine=profile.path)
    return replace(made, out=made.out.absolute())


def check(
    profile: Profile,
    patience: float,
    tell: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> list[Finding]:
    """Start workers through the executor of a profile, and judge what they see.

    Args:
        patience: seconds to wait for them, in a queue as well.
        tell: hears what is being waited for.

    Raises:
        UserError: nothing can be started, or the output folder cannot be written.
    """
    machine = machine_of(profile)
    by = executor.chosen(machine)
    engine = by.cls()
    ensure_writable(machine.out)
    folder = machine.out / places.WORK / f"check-{secrets.token_hex(4)}"
    token = secrets.token_hex(16)
    task = {
        "token": token,
        "folder": str(folder),
        "count": _WORKERS,
        "data": profile.options.get("data"),
        "scratch": profile.scratch,
    }
    write_whole(folder / TASK, json.dumps(task).encode())
    job, complete = "", False
    try:
        ahead = clock_difference(folder, "here")
        argv = ("promptbench", "machine", "probe", str(folder))
        job = engine.submit(argv, folder, machine, _WORKERS)
        tell(f"{job} started on {by.name}; waiting for what {_WORKERS} workers see in {folder}")
        found, silence = _heard(folder, engine, patience, pause)
        complete = len(found) == _WORKERS
        lines = findings(found, token, pins.of_here([]), ahead, machine, silence)
        return list(dict.fromkeys(lines))  # workers of one node see the same
    finally:
        if complete or not job:
            shutil.rmtree(folder, ignore_errors=True)
        else:  # who still waits in a queue would find nobody; logs stay for who asks why
            tell(_cancelled(engine, folder))


def _cancelled(engine: Executor, folder: Path) -> str:
    try:
        return engine.cancel(folder)
    except UserError as error:
        return str(error)


def _heard(
    folder: Path, engine: Executor, patience: float, pause: Callable[[float], None]
) -> tuple[list[Found], str]:
    """What workers found, and why the others are silent where the engine knows."""
    waited, silence = 0.0, None
    while len(list(folder.glob("found-*.json"))) < _WORKERS and waited < patience:
        if silence := engine.ended(folder) if waited >= _BEFORE_ASKING else None:
            break
        pause(_PAUSE)
        waited += _PAUSE
    paths = folder.glob("found-*.json")  # again: the last words may have come before the end
    try:
        found = [parse_json(read_bytes(path, _MOST, "the findings")) for path in sorted(paths)]
    except ValueError as error:
        raise UserError(f"what a worker wrote into {folder} cannot be read: {error}") from error
    waiting = f"the job waits, has failed (logs: {folder}), or the others do not see {folder}"
    return found, silence or waiting


def findings(
    found: Sequence[Found],
    token: str,
    here: Pins,
    ahead: float,
    machine: Machine,
    silence: str = "",
) -> Iterator[Finding]:
    """What workers found, line by line.

    Args:
        token: what was written here for them to read.
        here: the code and packages of this process.
        ahead: seconds by which the clock here is ahead of the output folder's.
        silence: why not all answered, if so.
    """
    if len(found) < _WORKERS:
        yield Finding("problem", "workers", f"{len(found)} of {_WORKERS} answered: {silence}")
    yield _clock("the clock here", ahead)
    for each in found:
        yield from _of_worker(each, token, here, machine)
    if len(found) == _WORKERS:
        yield _leases(found)


def _of_worker(found: Found, token: str, here: Pins, machine: Machine) -> Iterator[Finding]:
    who = named(found["host"], found["job"])
    yield _output(f"{who}: folder", found, token, machine)
    yield _devices(who, found, machine)
    others = pins.differences(here, found["pins"])
    same = "as here" if not others else f"not as here: {'; '.join(others)}"
    yield Finding("problem" if others else "ok", f"{who}: versions", same)
    if found["clock"] is not None:
        yield _clock(f"{who}: clock", found["clock"])
    if found["data"] is not None:
        yield _folder(f"{who}: data", found["data"], "problem")
    yield _folder(f"{who}: scratch", found["scratch"], "note")
    for service, reached in found["network"].items():
        reach = "reached" if reached else "not reached: prepare data and weights beforehand"
        if not reached and service == WANDB:
            reach = "not reached: track wandb:offline, and `promptbench wandb sync` later"
        yield Finding("ok" if reached else "note", f"{who}: {service}", reach)


def _output(subject: str, found: Found, token: str, machine: Machine) -> Finding:
    if found["token"] != token:
        return Finding("problem", subject, "another folder of this name")
    if found["apart"]:
        handed = "cells are handed out from here, and what they give comes back as bytes"
        return Finding("note", subject, f"{machine.out} is not seen there: {handed}")
    return Finding("ok", subject, f"{machine.out} is read and written there")


def _devices(who: str, found: Found, machine: Machine) -> Finding:
    gpus, wants = found["gpus"], machine.device.startswith("cuda")
    seen = ", ".join(f"{gpu['name']} ({gpu['gib']} GiB)" for gpu in gpus) or "no GPU"
    visible = found["visible"]
    given = "" if visible is None else f"; CUDA_VISIBLE_DEVICES={visible!r}"
    cpus = counted(found["cpus"], "CPU core")
    return Finding(
        "problem" if wants and not gpus else "ok" if gpus else "note",
        f"{who}: devices",
        f"{seen}, {cpus}{given}",
    )


def _clock(subject: str, ahead: float) -> Finding:
    if abs(ahead) < 1:
        return Finding("ok", subject, "that of the output folder")
    how = "ahead of" if ahead > 0 else "behind"
    text = f"{abs(ahead):.0f} s {how} that of the output folder"
    if abs(ahead) < _FAR:
        return Finding("ok", subject, text)
    return Finding("note", subject, f"{text}; claims are not affected, times in logs are")


def _folder(subject: str, found: Found, level: Level) -> Finding:
    if "problem" in found:
        return Finding(level, subject, f"{found['path']}: {found['problem']}")
    entries = f", {found['entries']} entries" if "entries" in found else ""
    return Finding("ok", subject, f"{found['path']}{entries}")


def _leases(found: Sequence[Found]) -> Finding:
    """Whether exactly one of the workers won their race, and the others saw its file beat."""
    claims = [each["claim"] for each in found if not each["apart"]]
    if len(claims) < len(found):
        return Finding("ok", "claims", "not needed by workers that do not see the output folder")
    hosts = len({each["host"] for each in found})
    where = "between two nodes" if hosts > 1 else "between two workers of one node"
    if any(claim["won"] is None for claim in claims):
        return Finding("note", "claims", "not tried, since the workers did not run together")
    winners = sum(claim["won"] for claim in claims)
    if winners != 1:
        text = f"{winners} of {len(claims)} workers hold the same claim {where}"
        return Finding("problem", "claims", f"{text}: this file system cannot be shared in a run")
    if any(claim["beats"] == 0 for claim in claims if not claim["won"]):
        text = f"a heartbeat was not seen {where}: this file system keeps what it has read too long"
        return Finding("problem", "claims", text)
    return Finding("ok", "claims", f"hold {where}, and heartbeats are seen")

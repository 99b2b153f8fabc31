"""Ray itself: reaching a cluster, its nodes, and an actor on one of them. The only file to ask it.

Bad addresses are found by looking first, since Ray itself tries for minutes.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promptbench.api import UserError
from promptbench.executors._ray.actor import RayHand, run_command
from promptbench.support.safe_text import shortened
from promptbench.support.stopping import SIGNALS

_PORT = "6379"
_REACH = 5.0  # seconds to answer a connection
_HEALTH = 20.0  # and to say that a cluster is behind it; Python needs some of them to begin
_STORE = 128 * 2**20  # bytes for what comes back, of a cluster that is started here


@dataclass(frozen=True)
class Node:
    """A node that is alive: its id in Ray, what people call it, and what it has."""

    id: str
    name: str
    gpus: float
    cpus: float


@contextmanager
def connected(address: str | None) -> Iterator[str]:
    """A connection to a cluster inside the block; what to call it.

    Without an address it is the one that RAY_ADDRESS or this machine has, else one that is
    started for the run.

    Raises:
        UserError: Ray is not installed, nobody answers, or another version does.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError("--on ray needs Ray; pip install 'promptbench-vlm[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that is started here
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"--on ray: Ray is installed, and cannot be imported ({error}); pip install "
            "--force-reinstall 'promptbench-vlm[ray]'"
        ) from error

    if ray.is_initialized():
        if address is not None:
            raise UserError(
                f"--address {address}: this process is connected to a Ray cluster already"
            )
        yield "the Ray that this process is connected to"
        return
    with _own_signals():
        called = _connect(_Asked.of(address))
    try:
        yield called
    finally:
        with _own_signals():
            ray.shutdown()


@dataclass(frozen=True)
class _Asked:
    """The address that somebody asked for, and by what; None: that of this machine."""

    address: str | None
    by: str = ""

    @classmethod
    def of(cls, option: str | None) -> _Asked:
        """That of the option, else of the variable that Ray knows; an empty variable says none."""
        if option is not None:
            return cls(option, f"--address {shortened(option) or '(empty)'}")
        variable = os.environ.get("RAY_ADDRESS") or None
        return cls(variable, f"RAY_ADDRESS={shortened(variable or '')}")


def _connect(asked: _Asked) -> str:
    import ray

    address = asked.address
    options: dict[str, Any] = {
        "logging_level": "ERROR",
        "log_to_driver": False,
        "configure_logging": False,
    }
    if address not in (None, "auto", "local"):
        _refuse_unreachable(str(address), asked.by)
    elif address != "local":
        found = _health(None) != "none"  # with a token, which Ray then finds by itself
        if not found and address == "auto":
            raise UserError(f"{asked.by}: no Ray runs on this machine (`ray start --head`)")
        address = "auto" if found else "local"
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(address=address, **options)
    except (RuntimeError, ConnectionError, ValueError, OSError, ImportError) as error:
        said = shortened(" ".join(str(error).split()), 300)
        raise UserError(f"Ray at {address} cannot be used from here: {said}") from error
    if address == "local":
        return "Ray, started on this machine for this run"
    return f"Ray at {ray.get_runtime_context().gcs_address}"


def _refuse_unreachable(address: str, by: str) -> None:
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UserError(
            f"{by}: it must be the host and port of the cluster's head, "
            f"such as head:{_PORT}, from a machine that is one of its nodes (`ray start --address "
            "...`), or auto"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _REACH):
            pass
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{by}: nobody answers there ({why}); `ray start --head` on the head prints the address"
        ) from error
    health = _health(address)
    if health == "asks for a token":
        raise UserError(
            f"{by}: the cluster asks for a token: set RAY_AUTH_MODE=token here, with the head's "
            "~/.ray/auth_token in your own or in RAY_AUTH_TOKEN (Ray sends none to an address that "
            "is typed unless told to)"
        )
    if health == "none":
        raise UserError(
            f"{by}: something answers there, but within {_HEALTH:.0f} s no Ray "
            "cluster that this Ray understands; `ray start --head` on the head prints the address, "
            "and its Ray and Python must have the versions of these"
        )


def _health(address: str | None) -> Literal["answers", "asks for a token", "none"]:
    """What a cluster answers, asked in a process that can be ended."""
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "health-check"]
    if address is not None:
        command += ["--address", address]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_HEALTH)
    except subprocess.TimeoutExpired:
        return "none"
    if done.returncode == 0:
        return "answers"
    return "asks for a token" if b"AuthenticationError" in done.stderr else "none"


@contextmanager
def _own_signals() -> Iterator[None]:
    """Put back the handlers of signals that Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def nodes() -> dict[str, Node]:
    """The nodes that are alive, by their ids; names of several on one host are told apart."""
    import ray

    alive = [each for each in ray.nodes() if each["Alive"]]
    names = [_name(each) for each in alive]
    return {
        each["NodeID"]: Node(
            each["NodeID"],
            name if names.count(name) == 1 else f"{name}/{each['NodeID'][:4]}",
            float(each["Resources"].get("GPU", 0)),
            float(each["Resources"].get("CPU", 0)),
        )
        for each, name in zip(alive, names, strict=True)
    }


def _name(node: dict[str, Any]) -> str:
    given = node.get("NodeName") or ""
    return given if given not in ("", node["NodeManagerAddress"]) else node["NodeManagerHostname"]


def actor(node: Node, cpus: float, gpus: float, scratch: str | None) -> Any:
    """An actor on a node, once its share of CPUs and GPUs is free there."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    kind = ray.remote(RayHand)
    return kind.options(
        num_cpus=cpus,
        num_gpus=gpus,
        max_restarts=0,  # what replaces it is another one, with what is known of its end
        max_concurrency=4,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
    ).remote(scratch)


def start(
    node: Node,
    cpus: float,
    gpus: float,
    command: Sequence[str],
    folder: Path,
    files: Mapping[str, bytes],
) -> Any:
    """A call of `run_command` on a node, once its share is free there."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return (
        ray.remote(run_command)
        .options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        .remote(list(command), str(folder), dict(files))
    )


def put(value: Any) -> Any:
    """A value that several actors get, sent to each node once."""
    import ray

    return ray.put(value)


def first_of(calls: list[Any], seconds: float) -> list[Any]:
    """The calls that have ended, after at most so many seconds."""
    import ray

    return (
        ray.wait(calls, num_returns=len(calls), timeout=0)[0]
        or (ray.wait(calls, num_returns=1, timeout=seconds)[0])
    )


def result(call: Any) -> Any:
    """What a call has returned.

    Raises:
        Unreachable: whether it was carried out is not known, nor whether the actor lives.
        Gone: the actor has died, or never came to be; with the reason.
    """
    import ray
    from ray.exceptions import ActorUnavailableError, RayError

    try:
        return ray.get(call)
    except ActorUnavailableError as error:
        raise Unreachable(_reason(error)) from error
    except RayError as error:
        raise Gone(_reason(error)) from error


class Gone(Exception):
    """An actor that has died, or never came to be."""


class Unreachable(Gone):
    """An actor whose answer was lost, which may live."""


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "ModuleNotFoundError" in text and "promptbench" in text:
        return "promptbench is not installed there for the Python that Ray runs"
    for mark in ("cause: ", "Error: "):
        text = text.rpartition(mark)[2]
    return shortened(text, 200)


def end(actor: Any) -> None:
    """End an actor at once."""
    import ray

    with suppress(Exception):  # it has ended, or the cluster has
        ray.kill(actor)

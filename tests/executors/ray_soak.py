"""Kills over a grid on a two-node Ray: workers, their actors, nodes, the run itself.

    python -m tests.executors.ray_soak REFERENCE --kills 12 --shared

Further options are those of `promptbench run`. REFERENCE is the output folder of the same command
with --jobs 2. Prints the figures of docs/reliability.md; takes some minutes, and is not part of the
test suite.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from promptbench import records
from tests.executors import ray_cluster
from tests.executors.ray_cluster import Nodes

_HAND = "promptbench.workers.handing_out.hand"
_MARK = f"PROMPTBENCH_SOAK_{os.getpid()}"
_KINDS = ("worker", "worker", "actor", "actor", "node", "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--shared", action="store_true", help="both nodes see the output folder")
    parser.add_argument("--pause", type=float, default=5, help="seconds between, up to four times")
    parser.add_argument("--seed", type=int, default=0)
    given, options = parser.parse_known_args()  # the others are those of promptbench run
    os.environ[_MARK] = "1"  # how our processes are known
    with (
        tempfile.TemporaryDirectory(prefix="ray-soak-") as name,
        ray_cluster.started(Path(name)) as nodes,
    ):
        for each in ("b", "c"):
            nodes.add_blind(each)
        out = Path(name) / "runs" if given.shared else nodes.hidden / "runs"
        killed = _run(nodes, out, options, given.kills, given.pause, random.Random(given.seed))
        print(f"killed: {killed}")
        _compare(given.reference, out)


def _run(
    nodes: Nodes, out: Path, options: list[str], kills: int, pause: float, stream: random.Random
) -> dict[str, int]:
    """How often what was killed, until every cell has its record; and how often the run ended by
    itself since all workers had died several times, and was typed again."""
    command = [sys.executable, "-m", "promptbench.cli", "run", *options, "--out", str(out)]
    command += ["--on", "ray", "--address", nodes.address]
    killed = dict.fromkeys([*_KINDS, "typed again"], 0)
    run = subprocess.Popen(command)
    next_one = time.monotonic() + 20
    while True:
        if run.poll() is not None:
            if run.returncode not in (-signal.SIGKILL, 2) or killed["typed again"] > kills:
                break
            killed["typed again"] += run.returncode == 2
            run = subprocess.Popen(command)
        time.sleep(0.2)
        if sum(killed[kind] for kind in set(_KINDS)) < kills and time.monotonic() > next_one:
            kind = stream.choice(_KINDS)
            if _kill(kind, run, nodes, stream):
                killed[kind] += 1
                print(f"--- killed: {kind}", flush=True)
                next_one = time.monotonic() + stream.uniform(pause, 4 * pause)
    assert run.returncode == 0, run.returncode
    return killed


def _kill(kind: str, run: subprocess.Popen[bytes], nodes: Nodes, stream: random.Random) -> bool:
    if kind == "run":
        run.kill()
        run.wait()
        return True
    if kind == "node":
        name = stream.choice(sorted(nodes.blind))
        nodes.remove_blind(name)
        nodes.add_blind(f"{name}x")
        return True
    found = _processes(_HAND)
    if kind == "actor":
        found = [_parent(number) for number in found]
    if not found:
        return False
    chosen = stream.choice(found)
    if chosen == 1:
        return False
    os.kill(chosen, signal.SIGKILL)
    return True


def _parent(process: int) -> int:
    """The actor of a worker; 1 if that has ended."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _processes(what: str) -> list[int]:
    """The processes of the cluster that are called so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (path.parent / "environ").read_bytes()
        except OSError:
            continue
        if what in command and f"{_MARK}=1".encode() in environment:
            found.append(int(path.parent.name))
    return found


def _compare(reference: Path, out: Path) -> None:
    expected, found = _files(reference), _files(out)
    differing = [name for name in expected.keys() & found.keys() if expected[name] != found[name]]
    cells = {records.read(path).cell_id for path in records.find([out])}
    print(
        f"records {len(cells)} of {len(records.find([reference]))}, twice "
        f"{len(records.find([out])) - len(cells)}, files lost {len(expected.keys() - found.keys())}"
        f", differing {len(differing)} {differing[:3]}"
    )


def _files(out: Path) -> dict[str, object]:
    """What must be equal: the numbers of records, and the bytes of all that lies beside them."""
    found: dict[str, object] = {}
    for path in records.find([out]):
        assert records.damage(path.parent) is None, path
        found[str(path.relative_to(out))] = records.read(path).numbers()
        for other in [*path.parent.glob("predictions/*"), *path.parent.glob("*.safetensors")]:
            found[str(other.relative_to(out))] = other.read_bytes()
    return found


if __name__ == "__main__":
    main()

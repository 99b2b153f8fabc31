"""The same questions in another process, which has no history: its logits are the method's own.

What a method keeps in its module, its class or the interpreter, and what hangs on the order of a
set or on the time, differs there. The process is started first and asked for its answer last.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from promptbench.contract.bench import Bench, Build
from promptbench.contract.examination import one_thread
from promptbench.contract.verdicts import Broken, CheckResult, close
from promptbench.contract.world import World
from promptbench.support.seeding import seeded

POINT = "In another process, asked in another order, an image has the same logits."
_PATIENCE = 300  # seconds that the other process may take
_CHUNK = 3


@dataclass(frozen=True)
class Elsewhere:
    """A process that answers, and where its answer will lie."""

    process: subprocess.Popen[bytes]
    answer: Path

    def verdict(self, build: Build, seed: int) -> CheckResult:
        """Compare its logits with those that the method has here."""
        try:
            _, told = self.process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return CheckResult(POINT, False, f"no answer within {_PATIENCE} s")
        if self.process.returncode:
            last = told.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            return CheckResult(POINT, False, f"it failed there: {last[0]}")
        theirs = load_file(self.answer)["logits"]
        try:
            return CheckResult(
                POINT, True, close(_logits(build, seed), theirs, "logits of two processes")
            )
        except Broken as broken:
            return CheckResult(POINT, False, str(broken))


@contextmanager
def asked(name: str, seed: int) -> Iterator[Elsewhere]:
    """Ask a method, given by name or by the path of its file, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="promptbench-check-") as folder:
        answer = Path(folder) / "answer.safetensors"
        job = json.dumps({"method": name, "seed": seed, "answer": str(answer)})
        with subprocess.Popen(
            [sys.executable, "-m", "promptbench.contract.elsewhere", job],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(seed % 2**32)},
        ) as process:
            try:
                yield Elsewhere(process, answer)
            finally:
                process.kill()


def answer(job: dict[str, Any]) -> None:
    """Answer in this process: the images backwards, a few at a time, in one go."""
    from promptbench.contract.bench import build_of
    from promptbench.core.registry import METHODS
    from promptbench.planning.settings import default_settings

    plugin = METHODS.load(METHODS.add_path(job["method"]))
    build = build_of(plugin, default_settings(plugin))
    with one_thread(), seeded(job["seed"], "check"):
        bench = _bench(build, job["seed"])
        batches = bench.images.flip(0).split(_CHUNK)
        logits = torch.cat(bench.stream(bench.scored, batches)).flip(0)
    save_file({"logits": logits.float().contiguous()}, job["answer"])


def _logits(build: Build, seed: int) -> Tensor:
    with one_thread(), seeded(seed, "check"):
        bench = _bench(build, seed)
        bench.stream(bench.train, [bench.world.others])
        return bench.logits(bench.scored).float()


def _bench(build: Build, seed: int) -> Bench:
    return Bench.of(build, World.drawn(seed, "elsewhere"))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        answer(json.loads(sys.argv[1]))

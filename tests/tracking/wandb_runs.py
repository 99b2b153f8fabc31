"""Runs that were logged to Weights & Biases offline, and what their files hold."""

from __future__ import annotations

import contextlib
import io
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from promptbench import records
from promptbench.records import Record
from tests.tracking import wandb_file

SMALL: dict[str, Any] = {
    "datasets": ["counts"], "shots": 1, "seeds": [1], "set": ["Recipe.epochs=2"], "quiet": True,
}  # fmt: skip

NORMS = {  # where the MMRL family has prompt tokens
    f"norms/{name}/block{block:02d}"
    for name in ("cls", "prompt", "ratio")
    for block in range(6, 13)
}


def record_of(out: Path) -> tuple[Path, Record]:
    (path,) = records.find([out / "demo" / "few_shot" / "alignednorm"])
    return path, records.read(path)


def run_file(folder: Path, record: Record) -> dict[str, Any]:
    return run_of(folder, record.cell_id[:24])


def run_of(folder: Path, name: str) -> dict[str, Any]:
    """What the only file of a run holds."""
    import wandb

    wandb.teardown()  # the core writes behind our back; afterwards the files are complete
    (path,) = folder.glob(f"wandb/offline-run-*/run-{name}.wandb")
    return wandb_file.read(path)


def norms(logged: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in logged.items() if key.startswith("norms/")}


class Broken(types.ModuleType):
    """A client whose every call fails, or only those of a run."""

    class Error(Exception):
        pass

    def __init__(self, at: str) -> None:
        super().__init__("wandb")
        self._at = at

    def Settings(self, **_: Any) -> None:
        return None

    def init(self, **_: Any) -> Any:
        if self._at == "init":
            raise OSError("no route to host")

        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("the service has gone")

        return types.SimpleNamespace(
            log=fail, finish=fail, summary=types.SimpleNamespace(update=fail)
        )


class Offline(types.ModuleType):
    """A client that writes a file per run, which is open until the run is finished."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.Table = self.Image = self.Settings = lambda *_, **__: None

    def Artifact(self, name: str, type: str, metadata: dict[str, Any]) -> Any:
        new_file = lambda _: contextlib.nullcontext(io.StringIO())  # noqa: E731
        return types.SimpleNamespace(
            add_file=lambda _: None, new_file=new_file, manifest=MagicMock()
        )

    def init(self, dir: str, id: str, **_: Any) -> Any:
        file = (Path(dir) / f"{id}.txt").open("a")

        def log(values: dict[str, Any], step: int) -> None:
            file.write(f"{step}\n")

        def finish(exit_code: int) -> None:
            assert not file.closed, "it was finished before"
            file.close()

        return types.SimpleNamespace(
            starting_step=0,
            log=log,
            summary={},
            log_artifact=lambda _: None,
            _log_artifact=lambda *_, **__: None,
            alert=lambda **_: None,
            finish=finish,
        )

"""`promptbench doctor`: versions, devices, what is missing and what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from promptbench.config import suites
from promptbench.data.cards import cards
from promptbench.data.decoded.folder import VARIABLE, Folder
from promptbench.data.shards import store
from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.planning import settings
from promptbench.running.lab import environment
from promptbench.running.lab.compute import processor
from promptbench.storage.files import ensure_writable, file_sha256
from promptbench.support import allotted, compat, version
from promptbench.support.prose import counted

Level = Literal["ok", "note", "problem"]
_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do, if anything."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


def report(console: Console) -> int:
    """Print all findings; 1 if something keeps promptbench from running, else 0."""
    view = Table("", "what", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("found", "what to do"):
        view.add_column(heading, overflow="fold")  # paths are longer than a narrow terminal
    worst = 0
    for finding in findings():
        style = _STYLES[finding.level]
        mark = f"[{style}]{finding.level}[/]"
        view.add_row(mark, finding.subject, escape(finding.text), escape(finding.remedy))
        worst = max(worst, int(finding.level == "problem"))
    console.print(view)
    return worst


def findings() -> Iterator[Finding]:
    """All checks, in order."""
    yield Finding("ok", "promptbench", f"{version.__version__}, Python {platform.python_version()}")
    for name, found in environment.versions().items():
        yield Finding("ok", name, found)
    yield _torchvision()
    yield from _devices()
    yield _wandb()
    yield _demo()
    yield _cache()
    yield _images()
    yield _data_root()
    yield from _clip_suite()


def _torchvision() -> Finding:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if compat.torchvision_ops_load():
            return Finding("ok", "torchvision ops", "load beside this torch")
        try:
            compat.import_open_clip()
        except (ImportError, RuntimeError) as error:
            return Finding(
                "problem",
                "torchvision ops",
                f"open_clip cannot be imported: {error}",
                "install a torchvision of torch's release from the same index as torch",
            )
    return Finding(
        "note",
        "torchvision ops",
        "built for another torch and do not load; promptbench uses transforms only and goes on",
        "nothing, unless other code needs them: then install matching builds from one index",
    )


def _devices() -> Iterator[Finding]:
    import torch

    threads = torch.get_num_threads()
    text = f"{processor()}, {os.cpu_count()} cores, {counted(threads, 'thread')}"
    if (allotted_here := allotted.cores()) != os.cpu_count():
        text += f"; this process may use {counted(allotted_here, 'core')}"
    yield Finding("ok", "CPU", text)
    if not torch.cuda.is_available():
        built = torch.version.cuda
        remedy = "a CPU is enough for the demo suite; ViT-B/16 wants a GPU"
        text = (
            f"torch is built for CUDA {built}, but sees no GPU" if built else "torch is a CPU build"
        )
        yield Finding("note", "GPU", text, remedy)
    for number in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(number).total_memory / 2**30
        name = torch.cuda.get_device_name(number)
        yield Finding("ok", f"GPU cuda:{number}", f"{name}, {memory:.0f} GiB")


def _wandb() -> Finding:
    if importlib.util.find_spec("wandb"):
        return Finding("ok", "wandb", "installed (optional)")
    return Finding(
        "note", "wandb", "not installed", "pip install 'promptbench-vlm[wandb]' for --wandb"
    )


def _demo() -> Finding:
    path = Path(demo_model.WEIGHTS)
    if not path.is_file():
        return Finding("problem", "demo weights", f"{path} is missing", "reinstall promptbench-vlm")
    return Finding("ok", "demo weights", f"sha256 {file_sha256(path)[:16]}")


def _cache() -> Finding:
    folder = store.cache_folder()
    try:
        ensure_writable(folder)
    except UserError:
        return Finding("problem", "cache", f"{folder} cannot be written", "set PROMPTBENCH_CACHE")
    free = shutil.disk_usage(folder).free / 2**30
    return Finding("ok", "cache", f"{folder}, {free:.0f} GiB free")


def _images() -> Finding:
    """The cache of decoded images: what is kept, and the bound."""
    try:
        folder = Folder()
    except UserError as error:
        return Finding("problem", "decoded images", str(error), f"correct {VARIABLE}")
    if not folder.is_on:
        return Finding("note", "decoded images", f"not kept: {VARIABLE} is 0", "")
    held, bound = folder.held_bytes() / 2**30, folder.bound / 2**30
    text = f"{held:.1f} GiB kept, of at most {bound:.1f} ({VARIABLE})"
    return Finding("ok", "decoded images", text)


def _data_root() -> Finding:
    root = os.environ.get("PROMPTBENCH_DATA")
    if not root:
        remedy = "set PROMPTBENCH_DATA or pass --data for real datasets"
        return Finding("note", "data root", "not set; runs use the demo suite", remedy)
    if not Path(root).is_dir():
        return Finding(
            "problem", "data root", f"{root} is not a folder", "correct PROMPTBENCH_DATA"
        )
    return Finding("ok", "data root", root)


def _clip_suite() -> Iterator[Finding]:
    suite = suites.load("clip")
    named = [cards.load(name) for name in settings.datasets_of(suite.name)]
    missing = [card.name for card in named if not store.is_prepared(card, None)]
    if missing:
        text = f"{len(missing)} of {len(named)} datasets are not prepared: {', '.join(missing)}"
        yield Finding("note", "clip data", text, "promptbench data prepare NAME --source DIR")
    else:
        yield Finding("ok", "clip data", f"all {len(named)} datasets are prepared")
    text = f"{suite.backbone} / {suite.weights}"
    remedy = "fetched by open_clip at first use; without a network pass --weights PATH"
    yield Finding("note", "clip weights", text, remedy)

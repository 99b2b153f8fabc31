"""Finished trainings: how others see them, and that their files read alike in every locale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import promptbench
from promptbench import records
from promptbench.planning import plan
from promptbench.planning.request import Request
from promptbench.running.training import folder as training

FEW: dict[str, Any] = {"datasets": ["counts"], "shots": 1, "set": ["Recipe.epochs=1"], "seeds": [1]}
# Two protocols share a training, so that one cell loads it; `reproduce` reads a record.
WITHOUT_DEFAULT_ENCODINGS = """
import sys, warnings
from pathlib import Path
import promptbench
from promptbench.planning.machine import Machine
from promptbench.reproduction import reproduce

ours = r"promptbench\\.(records|running|lab|training|predicting|reproduction|storage|tracking)"
warnings.filterwarnings("error", category=EncodingWarning, module=ours)
options = {"datasets": ["counts"], "shots": 1, "set": ["Recipe.epochs=1"], "quiet": True}
protocols = ["base_to_new", "generalized_base_to_new"]
promptbench.run("coop", protocols, baseline=False, seeds=[1], out=sys.argv[1], **options)
record = sorted(Path(sys.argv[1]).rglob("record.json"))[0]
print(reproduce(record, Machine(quiet=True)).outcome)
"""


def test_a_training_is_trained_once_its_files_are_complete(tmp_path: Path) -> None:
    request = Request(["coop"], "base_to_new", baseline=False, **FEW)
    (cell,) = plan.build(request, "fp32", tmp_path).cells
    assert not training.is_trained(cell, tmp_path)
    here: dict[str, Any] = {"device": "cpu", "quiet": True, **FEW}
    promptbench.run("coop", "base_to_new", baseline=False, out=tmp_path, **here)
    assert training.is_trained(cell, tmp_path)
    assert not training.is_underway(cell, tmp_path)
    (cell.training_folder(tmp_path) / "training.json").unlink()  # it is written last
    assert (cell.training_folder(tmp_path) / records.PARAMETERS).is_file()
    assert not training.is_trained(cell, tmp_path)


def test_no_file_is_read_or_written_in_the_encoding_of_the_locale(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "warn_default_encoding", "-c", WITHOUT_DEFAULT_ENCODINGS]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "identical"

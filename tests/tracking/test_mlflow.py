"""Runs of MLflow, read back from its file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError
from promptbench.tracking import TrackerOptions
from tests.tracking.recorded import EPOCHS, Recorded, recorded

# Its store uses what its own libraries call deprecated; the tracker filters that for itself, which
# `test_contract.py` sees.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs: MLflow takes seconds to make one."""
    client = pytest.importorskip("mlflow").MlflowClient
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    made = client(tracking_uri=f"sqlite:///{path}")
    made._tracking_client.store.engine.dispose()
    return path


@pytest.fixture
def facts(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return recorded(tmp_path)


def tracker(out: Path, argument: str = "") -> Any:
    return TRACKERS.load("mlflow").cls(out, TrackerOptions(argument))


@contextmanager
def runs(uri: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The client and the runs of a store, by their status."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("promptbench")
    found = client.search_runs([experiment.experiment_id])
    yield client, {run.info.status: run for run in found}
    client._tracking_client.store.engine.dispose()


def test_a_cell_that_goes_on_has_every_epoch_once(
    facts: Recorded, empty: Path, tmp_path: Path
) -> None:
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty, tmp_path / "mlflow")
    cell = facts.cells[0]
    killed = tracker(tmp_path)
    killed.cell_started(cell)
    killed.epoch_ended(cell, EPOCHS[0])
    again = tracker(tmp_path)
    again.cell_started(cell)
    again.training_resumed(cell, EPOCHS[:1])
    again.epoch_ended(cell, EPOCHS[1])
    again.cell_ended(cell, facts.record)
    with runs(f"sqlite:///{tmp_path}/mlflow/mlflow.db") as (client, found):
        assert set(found) == {"KILLED", "FINISHED"}
        run = found["FINISHED"]
        history = client.get_metric_history(run.info.run_id, "losses/ce")
        assert [(point.step, point.value) for point in history] == [(1, 1.5), (2, 1.0)]
        assert run.data.tags["promptbench.cell"] == cell.id
        assert run.data.params["method"] == "coop" and run.data.params["recipe.epochs"]
        scores = [name for name in run.data.metrics if name.startswith("accuracy/")]
        assert len(scores) == len(facts.record.targets)
        name = "promptbench-record.json"
        path = client.download_artifacts(run.info.run_id, name, str(tmp_path))
        assert records.find([tmp_path]) == []  # a copy is not a record of the run
        assert json.loads(Path(path).read_text())["cell_id"] == facts.record.cell_id
    killed.close()
    again.close()


def test_a_cell_that_fails_and_a_place_of_ones_own(
    facts: Recorded, empty: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{shutil.copy(empty, tmp_path / 'elsewhere.db')}"
    failing = tracker(tmp_path, uri)
    failing.cell_started(facts.cells[1])
    failing.cell_failed(facts.cells[1], "no", tmp_path / "log")
    failing.close()
    with runs(uri) as (_, found):
        assert found["FAILED"].data.tags["promptbench.failed"] == "no" and len(found) == 1
    assert not (tmp_path / "mlflow").exists()


def test_the_same_cell_of_another_folder_is_left_alone(
    facts: Recorded, empty: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{shutil.copy(empty, tmp_path / 'shared.db')}"
    theirs, ours = tracker(tmp_path / "theirs", uri), tracker(tmp_path / "ours", uri)
    theirs.cell_started(facts.cells[0])
    ours.cell_started(facts.cells[0])
    with runs(uri) as (_, found):
        assert set(found) == {"RUNNING"}
    theirs.close()
    ours.close()


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"needs the package mlflow: pip install '.*\[mlflow"):
        tracker(tmp_path)

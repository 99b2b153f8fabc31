"""Ray on two nodes: one sees the output folder, one does not; numbers are those of one process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.core.registry import FROM_FILES
from promptbench.errors import UserError
from promptbench.planning import edge
from promptbench.planning.grids import Grid
from promptbench.running.failures import CellsFailed
from promptbench.running.session import execute
from promptbench.tracking import Listener
from promptbench.workers.handing_out.board import Board, Task
from tests.executors.ray_cluster import Nodes
from tests.faults import driver

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.xdist_group("ray"),  # one cluster for all of them
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray's own sockets and files
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Told(Listener):
    """Keeps what a run says, and calls back when a cell starts."""

    def __init__(self, at_start: Any = None) -> None:
        self.said: list[str] = []
        self.started: list[str] = []
        self.ended: list[str] = []
        self._at_start = at_start

    def message(self, text: str) -> None:
        self.said.append(text)

    def cell_started(self, cell: Any) -> None:
        self.started.append(cell.label)
        if self._at_start is not None:
            self._at_start(cell)

    def cell_ended(self, cell: Any, record: Any) -> None:
        self.ended.append(cell.label)


def run(nodes: Nodes, out: Path, told: Told, **changes: Any) -> list[records.Record]:
    """The tiny grid on the cluster."""
    options = {**driver.TINY, "on": "ray", "address": nodes.address, "precision": "fp32", **changes}
    grid = Grid((options.pop("methods"),), (options.pop("protocols"),))
    requests, machine = edge.asked(grid, {**options, "out": out})
    return execute(requests, machine, told)


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("here")
    driver.run(out)
    for kind in FROM_FILES:  # the plugin's file, which a test has elsewhere
        kind._files.clear()
    return driver.numbers(out)


@pytest.fixture
def both_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell is handed out before a worker of either kind asks for one."""
    asked: set[bool] = set()
    usual = Board.next

    def later(self: Board, without: Any, claims_itself: bool) -> Task | None:
        asked.add(claims_itself)
        return usual(self, without, claims_itself) if len(asked) == 2 else None

    monkeypatch.setattr(Board, "next", later)


def test_both_nodes_compute_what_one_process_does(
    nodes: Nodes, expected: dict[str, Any], both_first: None
) -> None:
    """Node b sees neither the output folder nor the plugin and the gin file, which lie there."""
    plugin = nodes.hidden / "noisy.py"
    shutil.copy(driver.NOISY, plugin)
    settings = nodes.hidden / "own.gin"
    settings.write_text("Recipe.epochs = 3\n")
    told, out = Told(), nodes.hidden / "runs"
    run(nodes, out, told, plugin=[plugin], gin=[settings])
    assert driver.numbers(out) == expected
    assert f"a sees {out}, and writes there" in told.said
    assert f"b does not see {out}: what it computes is sent here" in told.said
    assert {label[:3] for label in told.ended} == {"a: ", "b: "}
    assert not list(out.glob("**/*.damaged-*")) and not list(out.glob("**/.*-????????"))


def test_a_shared_folder_is_written_by_all_nodes(nodes: Nodes, expected: dict[str, Any]) -> None:
    told, out = Told(), nodes.hidden.parent / "shared"
    run(nodes, out, told)
    assert driver.numbers(out) == expected
    sees = {text for text in told.said if " see" in text}  # a slow node may come too late
    assert sees and sees <= {f"{name} sees {out}, and writes there" for name in "ab"}


def test_a_cell_that_kills_its_workers_is_left_alone(
    nodes: Nodes, expected: dict[str, Any]
) -> None:
    told, out = Told(), nodes.hidden / "deadly"
    faults = ("Noisy.fault='SIGKILL'", "Noisy.at=2")
    options = {**driver.TINY, "seeds": [1], "set": [*driver.TINY["set"], *faults]}
    with pytest.raises(CellsFailed) as raised:
        run(nodes, out, told, **{k: options[k] for k in ("seeds", "set")})
    assert "1 of 2 cells failed; 1 has its record" in str(raised.value)
    assert "its process ended (signal 9), 2 times" in str(raised.value)
    assert sum("signal 9); another worker goes on" in text for text in told.said) == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nobody answers there"),
        ("nowhere", "must be the host and port"),
        ("ray://head:10001", "must be the host and port"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(
    tmp_path: Path, address: str, said: str
) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=said):
        driver.run(tmp_path, on="ray", address=address, precision="fp32")
    assert not list(tmp_path.glob(".work/*"))

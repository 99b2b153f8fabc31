"""Ray on two nodes: one sees the output folder, one does not; numbers are those of one process."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import promptbench
from promptbench import records
from promptbench.core.registry import FROM_FILES
from promptbench.errors import UserError
from promptbench.executors._ray import engine
from promptbench.planning import edge
from promptbench.planning.grids import Grid
from promptbench.planning.profiles import Profile
from promptbench.running.failures import CellsFailed
from promptbench.running.session import execute
from promptbench.tracking import Listener
from promptbench.workers.handing_out.board import Board, Task
from promptbench.workers.plan import places
from promptbench.workers.probing import checking
from tests.cluster import disks
from tests.cluster.comparing import twice
from tests.data.own import prepare_own
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

ROOT = Path(promptbench.__file__).parents[1]


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


def test_a_check_says_which_nodes_see_the_output_folder(nodes: Nodes) -> None:
    """What a worker finds where the folder of the check is not seen comes back as bytes."""
    out, told = nodes.hidden / "checked", []
    profile = Profile(options={"on": "ray", "address": nodes.address, "out": out})
    found = checking.check(profile, 120.0, told.append)
    assert [each for each in found if each.level == "problem"] == []
    (apart,) = [each for each in found if "is not seen there" in each.text]
    assert apart.text.startswith(str(out)) and "come" in apart.text
    assert any(each.text == f"{out} is read and written there" for each in found)
    (claims,) = [each for each in found if each.subject == "claims"]
    assert "not needed" in claims.text
    assert not list((out / places.WORK).iterdir())
    let_go()


def let_go() -> None:
    """Wait until a check has closed its connection, which takes the end of its workers."""
    import ray

    limit = time.monotonic() + 60
    while ray.is_initialized():
        assert time.monotonic() < limit
        time.sleep(0.1)


# In the short form: workers that have ended, in tests/workers/test_machine_check.py.
@pytest.mark.long
def test_a_check_whose_workers_fail_says_the_last_line_of_their_log(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both nodes, of which one has its log elsewhere."""
    monkeypatch.setattr(checking, "_BEFORE_ASKING", 0.0)
    monkeypatch.setattr(checking, "TASK", "other.json")
    profile = Profile(
        options={"on": "ray", "address": nodes.address, "out": nodes.hidden / "failing"}
    )
    (problem,) = [e for e in checking.check(profile, 120.0, print) if e.level == "problem"]
    assert problem.text.startswith("0 of 2 answered: all have ended (logs: ")
    assert "cannot read the task of a check" in problem.text
    let_go()


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
    how = "SIGKILL, perhaps for lack of memory"
    assert f"its process ended ({how}), 2 times" in str(raised.value)
    assert sum(f"{how}); another worker goes on" in text for text in told.said) == 1


def test_a_node_without_the_data_leaves_those_cells_to_others(
    nodes: Nodes, both_first: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data root lies where node b does not see it; b has what is generated everywhere."""
    there = nodes.hidden / "own"
    monkeypatch.setenv("XDG_DATA_HOME", str(there / "home"))  # where the card lies
    prepare_own("mine", there / "photos", there / "root")
    told = Told()
    few = {"protocols": "few_shot", "shots": 2, "seeds": 1, "suite": "demo"}
    found = run(
        nodes, there / "runs", told, datasets=["mine", "counts"], data=there / "root", **few
    )
    assert len(found) == 4
    own = {label for label in told.ended if " on mine" in label}
    assert len(own) == 2 and all(label.startswith("a: ") for label in own)
    (said,) = (text for text in told.said if "no prepared dataset" in text)
    assert said.startswith("b: no prepared dataset mine under ")
    assert said.endswith(": 2 cells left to others")


def test_a_node_of_other_code_takes_no_part_and_says_what_differs(
    nodes: Nodes, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("promptbench", "methods", "protocols", "data_cards"):
        shutil.copytree(ROOT / name, tmp_path / name)
    with (tmp_path / "promptbench" / "errors.py").open("a") as file:
        file.write("# edited since\n")
    nodes.add_blind("other", PYTHONPATH=str(tmp_path))
    told, out = Told(), nodes.hidden / "others"
    usual = Board.next

    def later(self: Board, without: Any, claims_itself: bool) -> Task | None:
        """No cell is handed out before the other node is heard: two could be done by then."""
        heard = any(text.startswith("other takes no part") for text in told.said)
        return usual(self, without, claims_itself) if heard else None

    monkeypatch.setattr(Board, "next", later)
    try:
        run(nodes, out, told)
    finally:
        nodes.remove_blind("other")
    assert driver.numbers(out) == expected
    assert not [label for label in told.ended if label.startswith("other")]
    (said,) = (text for text in told.said if text.startswith("other takes no part"))
    assert "it is not what the plan was submitted with: other sources of promptbench" in said


# In the short form: on Slurm (tests/cluster), and without an engine (tests/faults/test_disk.py).
@pytest.mark.long
def test_a_full_disk_ends_the_run_with_a_sentence_and_the_same_command_goes_on(
    nodes: Nodes, expected: dict[str, Any]
) -> None:
    out = nodes.hidden.parent / "small"  # which node b does not see: it was mounted later
    with disks.small(out, kib=64) as filler:
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device") as caught:
            run(nodes, out, Told())
        print(caught.value)
        assert not [p for p in out.rglob(".*-????????") if p.is_file()]  # nothing half-written
        filler.unlink()
        run(nodes, out, Told())
        assert driver.numbers(out) == expected
        assert not list(out.glob("**/*.damaged-*"))


# In the short form: two runs on one machine, in tests/faults/test_sharing.py.
@pytest.mark.long
def test_two_drivers_of_one_grid_share_it(nodes: Nodes, expected: dict[str, Any]) -> None:
    """The cluster has room for one of them; the other waits, and sees what is done meanwhile."""
    out = nodes.hidden / "twice"
    more = {"on": "ray", "address": nodes.address, "precision": "fp32"}
    other = driver.start(out, **more)
    try:
        run(nodes, out, Told())
        other.join(90)
        assert other.exitcode == 0
    finally:
        other.kill()
    assert driver.numbers(out) == expected
    assert not twice(out) and not list(out.glob("**/*.damaged-*"))


def test_a_port_where_something_else_answers_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(engine, "_HEALTH", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match=r"something answers there, but within 1 s no Ray clus"):
            driver.run(tmp_path, on="ray", address=address, precision="fp32")
    assert not list(tmp_path.glob(".work/*"))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nobody answers there"),
        ("nowhere", "must be the host and port"),
        ("", r"--address \(empty\): it must be the host and port"),
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


def test_a_cluster_that_asks_for_a_token_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since Ray 2.60 a cluster has one by default, which no typed address is sent."""
    pytest.importorskip("ray")
    denied = subprocess.CompletedProcess((), 1, b"", b"ray.exceptions.AuthenticationError: Invalid")
    with socket.create_server(("127.0.0.1", 0)) as head:
        monkeypatch.setattr("subprocess.run", lambda *_, **__: denied)
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with pytest.raises(UserError, match="the cluster asks for a token: set RAY_AUTH_MODE=tok"):
            driver.run(tmp_path, on="ray", address=address, precision="fp32")


def test_a_variable_is_named_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=r"RAY_ADDRESS=127\.0\.0\.1:1: nobody answers there"):
        driver.run(tmp_path, on="ray", precision="fp32")


def test_a_ray_that_cannot_be_imported_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    with pytest.raises(UserError, match="Ray is installed, and cannot be imported"):
        driver.run(tmp_path, on="ray", precision="fp32")

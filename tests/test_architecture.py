"""The house keeps its shape: what methods may import, how long they are, who touches open_clip."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
METHODS = sorted(p for p in (ROOT / "methods").glob("*.py") if not p.stem.startswith("_"))
PROTOCOLS = sorted(p for p in (ROOT / "protocols").glob("*.py") if not p.stem.startswith("_"))
# A method that IS another plus a term may build on it.
BUILDS_ON = {
    "alignednorm": {"mmrlpp"},
    "atprompt_maple": {"maple"},
    "coprompt": {"maple"},
    "dekg_kgcoop": {"kgcoop"},
    "dekg_tcp": {"tcp"},
    "kgcoop": {"coop"},
    "prograd": {"coop"},
    "promptsrc": {"ivlp"},
}


def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_imports_no_other_but_the_one_it_builds_on(path: Path) -> None:
    package = "promptbench.methods."
    names = {m.removeprefix(package) for m in imported(path) if m.startswith(package)}
    others = {name for name in names if not name.startswith("_")}
    assert others <= BUILDS_ON.get(path.stem, set())


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_method_is_short_and_forks_nothing(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()), clean=False) or ""
    assert len(path.read_text().splitlines()) - len(docstring.splitlines()) <= 150
    assert not any(module.split(".")[0] in ("open_clip", "clip") for module in imported(path))


@pytest.mark.parametrize("path", PROTOCOLS, ids=lambda path: path.stem)
def test_a_protocol_imports_the_interface_and_protocols_only(path: Path) -> None:
    modules = {module for module in imported(path) if module.startswith("promptbench")}
    assert not {
        m for m in modules if not m.startswith(("promptbench.api", "promptbench.protocols."))
    }


@cache
def constants(path: Path) -> tuple[str, ...]:
    """The strings in the code of a file, each as often as it stands there."""
    nodes = ast.walk(ast.parse(path.read_text()))
    found = (node.value for node in nodes if isinstance(node, ast.Constant))
    return tuple(value for value in found if isinstance(value, str))


def test_the_core_names_no_class_set() -> None:
    """The standard sets stand in one file; what else says base or new is about these alone."""
    about_standard = {
        "class_sets.py",  # what they are
        "class_set_claims.py",  # that neither is part of the other
        "zero_shot.py",  # the demo's model card
        "wandb_dashboard.py",  # a workspace of base_to_new
    }
    for path in (ROOT / "promptbench").rglob("*.py"):
        if path.name in about_standard or path.relative_to(ROOT).parts[1] in (
            "analyses",
            "analysis",
        ):
            continue
        assert not {"base", "new"}.intersection(constants(path)), path


def test_the_core_names_no_method() -> None:
    names = {path.stem for path in METHODS} - {"zeroshot"}  # the baseline of every table
    apart = ("demo", "data")  # data has a folder layout called coop
    files = (ROOT / "promptbench").rglob("*.py")
    core = [path for path in files if path.relative_to(ROOT).parts[1] not in apart]
    for path in core:
        found = names.intersection(constants(path))
        assert not found, f"{path.name} names {found}"


METRICS = {path.stem for path in (ROOT / "promptbench" / "metrics").glob("[!_]*.py")}


def test_the_core_names_one_metric_in_one_place() -> None:
    apart = ("metrics", "demo")  # the demo is made before there are records
    files = [
        path for room in ("promptbench", "leaderboard") for path in (ROOT / room).rglob("*.py")
    ]
    core = [path for path in files if path.parent.name not in apart]
    naming = [path.name for path in core for value in constants(path) if value in METRICS]
    assert naming == ["metric.py"]


@pytest.mark.parametrize("folder", ["templates", "assets"])
def test_pages_name_no_metric(folder: str) -> None:
    for path in (ROOT / "leaderboard" / "web" / folder).glob("*.*"):
        words = set(re.findall(r"\w+", path.read_text().lower()))
        assert not METRICS & words, path.name


# The rooms from the ground up: each imports only from those below it, its equals left out.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("statistics", "support"),
    ("demo", "errors"),
    ("figures", "isolation", "storage"),
    ("config",),
    ("models",),
    ("core",),
    ("data", "records"),
    ("mixing", "scaffold", "spaces"),
    ("planning",),
    ("report",),
    ("catalogue", "tracking"),
    ("pretraining", "running"),
    ("tuning",),
    ("contract", "forecast", "reproduction", "sharing"),
    ("analysis", "using", "workers"),
    ("promptbench",),
    ("api",),
    (
        "analyses",
        "executors",
        "formats",
        "methods",
        "metrics",
        "protocols",
        "selections",
        "trackers",
    ),
    ("leaderboard",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PLUGINS = ("leaderboard", "methods", "protocols")
SOURCES = [p for d in ("promptbench", *PLUGINS) for p in sorted((ROOT / d).rglob("*.py"))]


def room_of(path: Path) -> str:
    """The room of a file: the folder or file of the package that holds it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] in PLUGINS:
        return parts[0]
    return "promptbench" if parts[1] == "__init__" else parts[1]


def rooms_of(path: Path) -> set[str]:
    """The rooms that a file imports from, wherever in it; names for type checkers count as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in named:
            parts = [*name.split("."), ""]
            if parts[0] == "promptbench":
                found.add(parts[1] if parts[1] in FLOOR else "promptbench")
    return found


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in SOURCES} == set(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_a_room_imports_only_from_below(room: str) -> None:
    for path in SOURCES:
        if room_of(path) == room:
            above = {other for other in rooms_of(path) - {room} if FLOOR[other] >= FLOOR[room]}
            assert not above, f"{path.relative_to(ROOT)} imports {above}"


# The leaderboard's own rooms, likewise; what lies beside them may use all.
INNER_FLOORS = ("checking", "accepting", "boards", "audit", "web")


@pytest.mark.parametrize("room", INNER_FLOORS)
def test_a_room_of_the_leaderboard_imports_only_from_below(room: str) -> None:
    allowed = INNER_FLOORS[: INNER_FLOORS.index(room) + 1]
    imported = re.compile(r"from promptbench\.leaderboard(?:\.(\w+)\S*)? import (\w+)")
    for path in sorted((ROOT / "leaderboard" / room).rglob("*.py")):
        found = {of or name for of, name in imported.findall(path.read_text())}
        assert found <= {*allowed}, f"{path.relative_to(ROOT)} imports {found - {*allowed}}"


def test_tests_on_engines_lie_where_make_engines_reads_them() -> None:
    (line,) = re.findall(r"^ENGINES = (.*)$", (ROOT / "Makefile").read_text(), re.M)
    read = tuple(ROOT / word for word in line.split() if word.startswith("tests/"))
    marked = [
        path
        for path in (ROOT / "tests").rglob("test_*.py")
        if "pytest.mark.cluster" in path.read_text() and path != Path(__file__)
    ]
    assert len(read) == 2 and {path.parent for path in marked} == set(read)

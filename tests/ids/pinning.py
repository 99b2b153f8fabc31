"""The table of pinned ids: what is asked, and which cells the planner makes of it.

    python -m tests.ids.pinning

writes pinned.json beside this file again from ASKED. Only who means to move ids runs it; MOVED says
what else that takes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning import write_indices
from promptbench.core.class_sets import spelled
from promptbench.planning import given, grids, plan
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid

TABLE = Path(__file__).with_name("pinned.json")
OWN_CARDS = Path(__file__).with_name("cards")
MOVED = (
    "An id names a finished cell for ever: whoever has records under the old one would compute "
    "them again, and accepted records would be refused. If nothing that a cell computes has "
    "changed, give the ids back as they were (a new fact enters an id only where it departs from "
    "the usual). If what it computes has changed on purpose: raise `version` of the protocol, or "
    "of the dataset's card; say in CHANGELOG.md whose ids move and why; and write the table again "
    "with `python -m tests.ids.pinning`."
)
_DIGITS = 16  # of an id; so many hold the few hundred here apart
_ONE = {"datasets": ["counts"], "seeds": [1]}
# Files that stand in for weights and sentences: ids know them by their content.
_FILES = {
    "weights.bin": "no weights",
    "texts.json": json.dumps(
        {
            f"{n} object{s}": [f"{n} dots.", f"a count of {n}."]
            for n, s in (("one", ""), ("two", "s"), ("three", "s"), ("four", "s"))
        }
    ),
    "own.gin": "Recipe.lr = 0.004\nbase_to_new/CoOp.n_ctx = 6\n",
}
# By name: what stands behind `promptbench run`, as options of a grid and of a request. "@name" is
# one of the files above.
ASKED: Mapping[str, Mapping[str, Any]] = {
    "every method, few shots": {"methods": "all", "protocol": "few_shot", "shots": 1, **_ONE},
    "every method, base to new": {"methods": "all", "protocol": "base_to_new", **_ONE},
    "base to new, whole": {"methods": "coop", "protocol": "base_to_new"},
    "base to new, unshifted": {
        "methods": "coop,mmrl",
        "protocol": "generalized_base_to_new",
        **_ONE,
    },
    "cross-dataset": {"methods": "alignednorm,coop,mmrl", "protocol": "cross_dataset"},
    "domain generalization": {
        "methods": "coop,linear_probe",
        "protocol": "domain_generalization",
    },
    "shots": {"methods": "coop,tipadapter", "protocol": "few_shot", "shots": "1,2,4,8,16", **_ONE},
    "seeds": {"methods": "coop", "protocol": "base_to_new", **_ONE, "seeds": "1,2,3,17"},
    "unified preset": {
        "methods": "coop,maple",
        "protocol": "base_to_new",
        "preset": "unified",
        **_ONE,
    },
    "decoupled": {
        "methods": "mmrlpp",
        "protocol": "base_to_new",
        "inference": "decoupled",
        **_ONE,
    },
    "select": {
        "methods": "coop",
        "protocol": "base_to_new",
        "select": ["last", "validation"],
        **_ONE,
    },
    "sweep": {
        "methods": "alignednorm",
        "protocol": "base_to_new",
        "sweep": ["AlignedNorm.w_token=0,0.01", "AlignedNorm.w_proj=0,0.1"],
        **_ONE,
    },
    "bindings": {
        "methods": "coop",
        "protocol": "base_to_new",
        "set": ["Recipe.epochs=2", "CoOp.n_ctx=8"],
        **_ONE,
    },
    "a file of settings": {
        "methods": "coop",
        "protocol": "base_to_new",
        "gin": ["@own.gin"],
        **_ONE,
    },
    "limit": {"methods": "coop", "protocol": "base_to_new", "limit": 16, **_ONE},
    "half precision": {
        "methods": "coop",
        "protocol": "base_to_new",
        "precision": "fp16",
        **_ONE,
    },
    "sentences": {
        "methods": "hicropl",
        "protocol": "few_shot",
        "shots": 4,
        "class_texts": ["counts=@texts.json"],
        **_ONE,
    },
    "a search's trials": {
        "methods": "coop",
        "protocol": "few_shot",
        "shots": 4,
        "trial": True,
        "baseline": False,
        **_ONE,
    },
    "a residual network": {
        "methods": "coop,linear_probe",
        "protocol": "few_shot",
        "shots": 1,
        "backbone": "RN50-quickgelu",
        "weights": "@weights.bin",
        **_ONE,
    },
    "another transformer": {
        "methods": "coop,maple",
        "protocol": "base_to_new",
        "backbone": "ViT-B-32",
        "weights": "@weights.bin",
        **_ONE,
    },
    "the field's suite": {
        "methods": "coop,alignednorm,mmrl",
        "protocol": "base_to_new",
        "suite": "clip",
        "weights": "@weights.bin",
        "seeds": [1],
    },
    "the field's suite, across datasets": {
        "methods": "coop,promptsrc",
        "protocol": "cross_dataset",
        "suite": "clip",
        "weights": "@weights.bin",
        "seeds": [1],
    },
    "data of one's own": {
        "methods": "coop",
        "protocol": "base_to_new",
        "suite": "clip",
        "weights": "@weights.bin",
        "datasets": ["leaves"],
        "seeds": [1],
    },
    "ablation": {"grid": "ablation_alignednorm", **_ONE},
}


def planned(asked: Mapping[str, Any], place: Path) -> list[Cell]:
    """The cells of an entry of ASKED, in a `place` that `furnish` has made."""
    options = {key: _placed(value, place) for key, value in asked.items()}
    grid, precision = options.pop("grid", None), options.pop("precision", "fp32")
    if grid is None:
        methods = given.names("methods", options.pop("methods"))
        found = Grid(methods=methods, protocols=(options.pop("protocol"),))
    else:
        found = grids.load(grid)
    requests = found.requests({"suite": "demo", "data": place / "data"} | options)
    return [cell for each in requests for cell in plan.build(each, precision, place).cells]


@contextmanager
def furnished(place: Path) -> Iterator[Path]:
    """A folder with the files, the indices and the card of one's own that ASKED takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTBENCH_CARDS", str(OWN_CARDS))
        for name, text in _FILES.items():
            (place / name).write_text(text, encoding="utf-8")
        for suite in ("clip", "own"):
            write_indices(place / "data", suite)
        yield place


def _placed(value: Any, place: Path) -> Any:
    """An option with the paths of its files; "@name" stands for one."""
    if isinstance(value, list):
        return [_placed(each, place) for each in value]
    return value.replace("@", f"{place}/") if isinstance(value, str) else value


def table(cells: Iterable[Cell]) -> dict[str, str]:
    """What each cell is, in words, and its id and training id, shortened."""
    found: dict[str, str] = {}
    for cell in cells:
        source = cell.leg.source
        words = (
            cell.method.name, source.dataset, spelled(source.classes, source.labels),
            f"{source.shots} shots", f"seed {cell.seed}", cell.inference, cell.selection.name,
            *cell.overrides,
        )  # fmt: skip
        ids = f"{cell.id[:_DIGITS]} {cell.training_id[:_DIGITS]}"
        assert found.setdefault(", ".join(map(str, words)), ids) == ids, f"two cells are {words}"
    return found


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as name, furnished(Path(name)) as place:
        found = {what: table(planned(asked, place)) for what, asked in ASKED.items()}
    TABLE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

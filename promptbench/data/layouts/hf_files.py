"""Where a Hugging Face dataset lies in a folder, and loading it split by split.

The folder is one of `save_to_disk`, one with parquet files, or an imagefolder. Each split is loaded
with its own features: read together, all would get the label names of the first.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptbench.data.cards import misnamed
from promptbench.data.cards.places import cache_folder
from promptbench.data.layouts import walk
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import safe
from promptbench.data.layouts.splits import WHOLE
from promptbench.errors import UserError
from promptbench.storage import reading

_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval")
_PART = re.compile(r"([0-9]{4,6})-of-([0-9]{4,6})")
_SAVED = ("dataset_dict.json", "state.json")
_MOST_STATE = 2**24  # bytes of a state.json


def library() -> Any:
    """The `datasets` library.

    Raises:
        UserError: it is not installed.
    """
    try:
        found = importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            "hf: sources need the datasets library: pip install 'promptbench-vlm[hf]'"
        ) from error
    found.disable_progress_bars()  # the run has its own
    return found


def load(fence: Fence) -> dict[str, Any]:
    """The splits of a dataset, by the name that they have there (`WHOLE` if it has none).

    Raises:
        UserError: no dataset, several of them (configurations), or one that cannot be read.
    """
    datasets, folder = library(), fence.own
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    walk.refuse_what_leads_out(fence)
    try:
        if any((folder / name).is_file() for name in _SAVED):
            _refuse_misnamed(folder.rglob("*.arrow"), "arrow")
            _refuse_foreign_parts(folder)
            found = datasets.load_from_disk(str(folder))
        else:
            _refuse_several_saved(folder)
            files = _parquet_files(folder)
            found = _from_parquet(datasets, files) if files else _from_images(datasets, folder)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{folder} cannot be read as a Hugging Face dataset: {_reason(error)}"
        ) from error
    return dict(found) if isinstance(found, Mapping) else {WHOLE: found}


def _reason(error: BaseException) -> str:
    """What is wrong; the library often says it in the cause of its error only."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"


def _refuse_misnamed(paths: Iterable[Path], wanted: str) -> None:
    for path in sorted(paths):
        if what := misnamed.described(path, wanted):
            raise UserError(f"{path} is not a file of this kind ({wanted}), it is {what}")


# --- save_to_disk -------------------------------------------------------------------------------


def _refuse_foreign_parts(folder: Path) -> None:
    """`state.json` lists the files of a split, which lie beside it."""
    for path in sorted(folder.rglob("state.json")):
        state = reading.parse_json(reading.read_bytes(path, _MOST_STATE, "the list of files"))
        for part in state["_data_files"]:
            safe(part["filename"], str(path))


def _refuse_several_saved(folder: Path) -> None:
    below = sorted(p.name for p in folder.iterdir() if any((p / name).is_file() for name in _SAVED))
    if not below:
        return
    if set(below) <= set(_SPLITS) and all(
        (folder / name / "state.json").is_file() for name in below
    ):
        raise UserError(
            f"{folder} holds {_several(below)} saved one by one; put them together: "
            "datasets.DatasetDict({...}).save_to_disk(...)"
        )
    raise UserError(f"{folder} holds {_several(below)}; name one: hf:{folder / below[0]}")


def _several(names: Sequence[str]) -> str:
    return f"{len(names)} datasets ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})"


# --- parquet ------------------------------------------------------------------------------------


def _parquet_files(folder: Path) -> dict[str, list[Path]]:
    """The parquet files of each split, in order.

    Raises:
        UserError: files of several configurations, which lie in a folder each.
    """
    files: dict[Path, dict[str, list[Path]]] = {}  # configuration -> split -> files
    for path in sorted(folder.rglob("*.parquet")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):
            continue
        config, split = _place_of(inside)
        files.setdefault(config, {}).setdefault(split, []).append(path)
    if len(files) > 1:
        listed = "; ".join(
            f"{config.as_posix() if config.parts else 'the folder itself'} "
            f"({', '.join(f'{split} {len(paths)}' for split, paths in splits.items())} files)"
            for config, splits in list(files.items())[:10]
        )
        one = next(config for config in files if config.parts)
        raise UserError(
            f"{folder} holds {len(files)} configurations of a dataset: {listed}; name one: "
            f"hf:{folder / one}"
        )
    return next(iter(files.values()), {})


def _place_of(inside: Path) -> tuple[Path, str]:
    """(configuration, split) of a parquet file: `config/train-00000.parquet`, or
    `config/train/0000.parquet` as the Hub converts them."""
    word = inside.stem.split("-")[0]
    if word not in _SPLITS and inside.parent.name in _SPLITS:
        return inside.parent.parent, inside.parent.name
    return inside.parent, WHOLE if word.isdigit() else word


def _from_parquet(datasets: Any, files: dict[str, list[Path]]) -> dict[str, Any]:
    _refuse_misnamed((path for paths in files.values() for path in paths), "parquet")
    cache = str(cache_folder() / "hf")
    found = {}
    for split, paths in files.items():
        _refuse_missing_parts(split, paths)
        _refuse_other_features(datasets, paths)
        names = [str(path) for path in paths]
        found[split] = datasets.load_dataset(
            "parquet", data_files={"train": names}, split="train", cache_dir=cache
        )
    return found


def _refuse_missing_parts(split: str, paths: list[Path]) -> None:
    """Files called `train-00000-of-00003.parquet` say how many there are."""
    parts = [match for path in paths if (match := _PART.search(path.stem))]
    numbers = sorted(int(match[1]) for match in parts)
    totals = {int(match[2]) for match in parts}
    if parts and (len(totals) > 1 or numbers != list(range(max(totals)))):
        raise UserError(
            f"{paths[0].parent}: split {split} has the parts {', '.join(m[0] for m in parts[:5])}"
            f"{' ...' if len(parts) > 5 else ''}, which are not all the parts of one dataset; "
            "fetch what is missing, or move what belongs to another away"
        )


def _refuse_other_features(datasets: Any, paths: list[Path]) -> None:
    """All files of a split are read with the first one's features: label names must be those."""
    parquet = importlib.import_module("pyarrow.parquet")
    first = datasets.Features.from_arrow_schema(parquet.read_schema(paths[0]))
    for path in paths[1:]:
        other = datasets.Features.from_arrow_schema(parquet.read_schema(path))
        for column in [*first, *(set(other) - set(first))]:
            here, there = first.get(column), other.get(column)
            named = isinstance(here, datasets.ClassLabel) or isinstance(there, datasets.ClassLabel)
            if named and here != there:
                raise UserError(
                    f"the names of the column {column!r} differ within a split, between {paths[0]} "
                    f"and {path}; write the files again as one dataset"
                )


# --- imagefolder --------------------------------------------------------------------------------


def _from_images(datasets: Any, folder: Path) -> Any:
    own = {path.name for path in folder.iterdir() if path.is_dir()}
    if own.isdisjoint(_SPLITS):
        below = sorted(name for name in own if any((folder / name / s).is_dir() for s in _SPLITS))
        if len(below) > 1:
            raise UserError(f"{folder} holds {_several(below)}; name one: hf:{folder / below[0]}")
    cache = str(cache_folder() / "hf")
    return datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=cache)

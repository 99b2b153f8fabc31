"""Which file of a folder holds the weights: folders as on the Hugging Face hub, whole or in parts.

Open_clip's layout is `open_clip_config.json` with weights beside it, that of transformers
`config.json` with weights of its own name. Large weights are in parts, with an index that says
which tensor lies in which. The hub's cache has a folder for each repository, with snapshots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from promptbench.errors import UserError
from promptbench.models.backbones import config_file, transformers_config
from promptbench.storage.files import file_sha256
from promptbench.support.safe_text import printable, shortened

_INDEX = ".index.json"
_MOST_PARTS = 1000
# Configuration -> the weights that it is of, the first that is there.
_LAYOUTS = {
    config_file.NAME: ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    transformers_config.MODEL: ("model.safetensors", "pytorch_model.bin"),
}
OF_TRANSFORMERS = tuple(
    name + end for name in _LAYOUTS[transformers_config.MODEL] for end in ("", _INDEX)
)
# Names that say nothing of the weights: the folder's belongs to them.
_GENERIC = tuple(
    name + end for names in _LAYOUTS.values() for name in names for end in ("", _INDEX)
)
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar")
_REPOSITORY = "models--"  # how the hub's cache begins the name of a repository's folder


def weights_in(folder: Path) -> Path:
    """The weights in a folder as the Hugging Face hub has them: a file, or the index of its parts.

    Raises:
        UserError: it is another kind of folder.
    """
    folder = _snapshot(folder)
    for config, names in _LAYOUTS.items():
        found = [folder / (name + end) for name in names for end in ("", _INDEX)]
        present = [path for path in found if path.is_file()]
        if (folder / config).is_file() and present:
            return present[0]
    wanted = "; or ".join(
        f"{config} and {' or '.join(names)}" for config, names in _LAYOUTS.items()
    )
    files = sorted(path.name for path in folder.iterdir() if path.suffix in _WEIGHTS)
    if files:
        more = f" and {len(files) - 5} more" if len(files) > 5 else ""
        holds = f"; it holds {', '.join(map(_shown, files[:5]))}{more}"
        remedy = "name this file" if len(files) == 1 else "name one file of weights"
    else:
        holds = "; it is empty" if not any(folder.iterdir()) else "; it holds no weights"
        remedy = "name the folder or the file that does"
    raise UserError(
        f"the weights {folder} are a folder, which must be as on the Hugging Face hub: "
        f"{wanted}{holds}; {remedy}"
    )


def label_of(path: Path) -> str:
    """How records call a file or a folder of weights: by its name, without where it lies.

    A name that every download has is called with its folder's; a snapshot of the hub's cache by its
    repository.
    """
    if path.is_dir():
        return f"{_folder_name(path.resolve())}/"
    if path.name in _GENERIC:
        return f"{_folder_name(path.absolute().parent)}/{path.name}"
    return path.name if path.suffix else f"./{path.name}"


def _folder_name(folder: Path) -> str:
    if folder.parent.name == "snapshots":
        folder = folder.parents[1]
    if folder.name.startswith(_REPOSITORY):
        return folder.name.removeprefix(_REPOSITORY).replace("--", "/")
    return folder.name


def _snapshot(folder: Path) -> Path:
    """Of a repository's folder in the hub's cache, the snapshot that was fetched last."""
    snapshots = folder / "snapshots"
    if not (folder.name.startswith(_REPOSITORY) and snapshots.is_dir()):
        return folder
    there = sorted(path for path in snapshots.iterdir() if path.is_dir())
    main = folder / "refs" / "main"
    if main.is_file() and (named := snapshots / main.read_text().strip()) in there:
        return named
    if len(there) == 1:
        return there[0]
    raise UserError(
        f"the weights {folder} are a repository of the hub's cache with {len(there)} snapshots; "
        "name one of them"
    )


# --- weights in parts ---------------------------------------------------------------------------


def is_index(path: Path) -> bool:
    """Whether a file is the index of weights in parts."""
    return path.name.endswith(_INDEX)


def parts_of(index: Path) -> list[Path]:
    """The files that an index names, in order; they lie beside it.

    Raises:
        UserError: it is not an index, a part is missing or lies elsewhere.
    """
    table = config_file.table_in(index) or {}
    places = table.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index} is not an index of weights in parts: it has no weight_map")
    names = sorted({str(name) for name in places.values()})
    if len(names) > _MOST_PARTS:
        raise UserError(f"{index} names {len(names)} files, more than {_MOST_PARTS}")
    for name in names:
        if Path(name).name != name or Path(name).suffix not in _WEIGHTS:
            raise UserError(f"{index} names {_shown(name)!r}, which is not a file beside it")
        if not (index.parent / name).is_file():
            raise UserError(f"{index} names {_shown(name)}, which is missing; fetch it again")
    return [index.parent / name for name in names]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file of weights; of weights in parts, of the lines that sha256sum prints of
    them, in order of their names."""
    if not is_index(path):
        return file_sha256(path)
    return _digest((file_sha256(part), part.name) for part in parts_of(path))


def _digest(sums: Iterable[tuple[str, str]]) -> str:
    text = "".join(f"{sha256}  {name}\n" for sha256, name in sums)
    return hashlib.sha256(text.encode()).hexdigest()


def size_of(path: Path) -> int:
    """The bytes of a file of weights, of all of its parts together."""
    files = parts_of(path) if is_index(path) else [path]
    return sum(file.stat().st_size for file in files)


def _shown(name: str) -> str:
    return printable(shortened(name))

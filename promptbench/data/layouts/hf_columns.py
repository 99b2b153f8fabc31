"""The image and the label column of a Hugging Face dataset, and the label of every row."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from promptbench.data.layouts.hf_files import library
from promptbench.data.layouts.splits import label_order
from promptbench.errors import UserError

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_MANY = 20  # labels that a message lists


# --- which columns ------------------------------------------------------------------------------


def image_column(features: Mapping[str, Any], where: str) -> str:
    """The one column of images, or the one that is called image.

    Raises:
        UserError: none, or several and none of that name.
    """
    kind = library().Image
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if "image" in found or (not found and _could_be_images(features.get("image"))):
        return "image"
    if len(found) == 1:
        return found[0]
    raise _no_column("image", found, features, where)


def label_column(features: Mapping[str, Any], where: str) -> str:
    """The one column of class labels, or the one that is called label.

    Raises:
        UserError: none, several and none of that name, or one that holds no label each row.
    """
    kind = library().ClassLabel
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if "label" in features and (not found or "label" in found):
        _refuse_no_scalar(features["label"], where)
        return "label"
    if len(found) == 1 and "label" not in features:
        return found[0]
    raise _no_column("label", list(dict.fromkeys([*found, *({"label"} & {*features})])), features,
                     where)  # fmt: skip


def _no_column(usual: str, found: list[str], features: Mapping[str, Any], where: str) -> UserError:
    listed = ", ".join(f"{name} ({words(feature)})" for name, feature in features.items())
    return UserError(
        f"{where} has {len(found)} {usual} columns ({', '.join(found) or 'none'}) among {listed}; "
        f"it needs one with one {usual} per row, or one that is called {usual}: the methods "
        "rename_column, remove_columns and cast_column of the datasets library make it so"
    )


def _could_be_images(feature: Any) -> bool:
    """Whether a column holds encoded images or their paths, though it does not say so."""
    if isinstance(feature, dict):
        return feature.keys() == {"bytes", "path"}
    return getattr(feature, "dtype", None) in ("binary", "large_binary", "string", "large_string")


def _refuse_no_scalar(feature: Any, where: str) -> None:
    if isinstance(feature, library().ClassLabel) or _kind_of(feature) is not None:
        return
    several = not isinstance(feature, library().Value | dict)
    raise UserError(
        f"{where}: the column 'label' is a {words(feature)}; "
        + ("these are several labels per row, and " if several else "")
        + "each row needs one label, a name or a number: choose another column (rename_column of "
        "the datasets library) or make one"
    )


def words(feature: Any) -> str:
    """What a column is, in short."""
    if isinstance(feature, dict):
        return f"struct of {', '.join(feature)}"
    if isinstance(feature, list):
        return f"list of {words(feature[0])}"
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return f"list of {words(inner)}"
    return str(feature.dtype) if isinstance(feature, library().Value) else type(feature).__name__


# --- labels -------------------------------------------------------------------------------------


def _kind_of(feature: Any) -> str | None:
    """ "names" for class labels, "numbers" or "texts" for plain values, None for all else."""
    if isinstance(feature, library().ClassLabel):
        return "names"
    dtype = str(getattr(feature, "dtype", "")) if isinstance(feature, library().Value) else ""
    if dtype == "bool" or dtype.startswith(("int", "uint", "float")):
        return "numbers"
    return "texts" if dtype in ("string", "large_string") else None


def label_names(
    splits: Mapping[str, Any], label: str, where: str
) -> tuple[list[str] | None, list[str] | None]:
    """(class names, label texts in label order) of the splits that are used; None for class names
    where labels are numbers without names, None for the texts where the numbers in all splits are
    class indices already.

    Raises:
        UserError: splits whose labels differ in kind or names, rows without a label.
    """
    features = {split: table.features.get(label) for split, table in splits.items()}
    kinds = {split: _kind_of(feature) for split, feature in features.items()}
    if len(set(kinds.values())) != 1 or None in kinds.values():
        raise UserError(
            f"{where}: the column {label!r} is not of one kind in all splits: "
            + ", ".join(f"{words(f) if f else 'missing'} in {s}" for s, f in features.items())
        )
    if "names" in kinds.values():
        names = _common_names({split: list(f.names) for split, f in features.items()}, where)
        same = all(list(feature.names) == names for feature in features.values())
        return names, None if same else names
    values = {
        value for split, table in splits.items() for value in _values(table, label, split, where)
    }
    texts = {str(value) for value in values}
    if all(_NUMBER.fullmatch(text) or text in ("True", "False") for text in texts):
        return None, _numbers_in_order(texts, label, where)
    ordered = label_order(texts, where)
    return ordered, ordered


def are_named(feature: Any) -> bool:
    """Whether the dataset itself says the class names, and thereby their order."""
    return bool(getattr(feature, "names", None))


def _common_names(named: Mapping[str, list[str]], where: str) -> list[str]:
    """The names of the first split, which the others must have too, in whatever order."""
    first, names = next(iter(named.items()))
    for split, others in named.items():
        if set(others) != set(names):
            only = [f"only in {s}: {', '.join(sorted(set(a) - set(b))[:5]) or 'none'}"
                    for s, a, b in ((first, names, others), (split, others, names))]  # fmt: skip
            raise UserError(
                f"{where}: the splits {first} and {split} name other classes ({'; '.join(only)}); "
                "write the dataset again with the same names in all splits"
            )
    return names


def _numbers_in_order(texts: set[str], label: str, where: str) -> list[str]:
    ordered = sorted(texts, key=lambda text: (_number(text), text))
    if [_number(text) for text in ordered] != list(range(len(ordered))):
        raise UserError(
            f"{where}: the column {label!r} holds the numbers {_few(ordered)}, but labels that are "
            "numbers must run from 0 without gaps, e.g. 0, 1, 2; write them so, or as names"
        )
    return ordered


def _number(text: str) -> float:
    return float(text == "True") if text in ("True", "False") else float(text)


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts) if len(texts) <= _MANY else ", ".join([*texts[:_MANY], "..."])


def numbers_need_names(labels: Sequence[str], label: str, where: str) -> str:
    """What to do about labels that are numbers without names."""
    return (
        f"{where}: the column {label!r} holds numbers, which are not class names; pass --classes "
        f"FILE with the {len(labels)} names, one a line, in the order {_few(labels)}"
    )


def labelled(
    table: Any, label: str, split: str, known: Sequence[str] | None, where: str
) -> list[int]:
    """The label of every row, as a number; `known` are the label texts in label order, None if the
    column's numbers are those.

    Raises:
        UserError: rows without a label, or one that is not known.
    """
    values = _values(table, label, split, where)
    if known is None:
        return [int(value) for value in values]
    names = getattr(table.features[label], "names", None)
    number = {text: position for position, text in enumerate(known)}
    found = []
    for row, value in enumerate(values):
        text = str(value) if names is None else names[value]
        if text not in number:
            raise UserError(f"{where}: row {row} of split {split}: {text!r} is not on the card")
        found.append(number[text])
    return found


def _values(table: Any, label: str, split: str, where: str) -> list[Any]:
    if label not in table.features:
        raise UserError(f"{where}: split {split} has no column {label!r}")
    values = list(table[label][:])  # the whole column at once: row by row takes seconds
    names = getattr(table.features[label], "names", None)
    bare = [row for row, value in enumerate(values) if _is_no_label(value)]
    if bare:
        refuse_rows(bare, len(values), f"have no label ({values[bare[0]]!r})", split, where)
    beyond = [row for row, value in enumerate(values) if value >= len(names)] if names else []
    if beyond:
        what = f"have labels beyond the {len(names or ())} names, such as {values[beyond[0]]}"
        refuse_rows(beyond, len(values), what, split, where)
    return values


def _is_no_label(value: Any) -> bool:
    """None, a blank text, NaN, and -1, which marks the rows of test splits that are not public."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return not isinstance(value, str) and (math.isnan(value) or value < 0)


def refuse_rows(rows: Sequence[int], total: int, what: str, split: str, where: str) -> None:
    """Refuse rows of a split, with what to do: all of them, or some."""
    remedy = (
        f"leave the split out: `del dataset[{split!r}]`"
        if len(rows) == total
        else "correct these rows or leave them out with `dataset.filter`"
    )
    raise UserError(
        f"{where}: {len(rows)} of {total} rows of split {split} {what}, the first is row "
        f"{rows[0]}; {remedy} (datasets library), and save the dataset again"
    )

"""What a search has chosen, as text that a request holds and a plan file carries elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

from pydantic import ValidationError

from promptbench.core.protocol import Source
from promptbench.errors import UserError, first_problem
from promptbench.records.tuning import TuningInfo, problem

Key = tuple[str, str]  # a method, what is learned from


def key_of(method: str, source: Source) -> Key:
    """Under what a choice stands."""
    return method, f"{source.dataset}/{source.classes}/{source.shots}"


def as_text(choices: Mapping[Key, TuningInfo]) -> str:
    """Choices as one text."""
    return json.dumps([[*key, info.model_dump(mode="json")] for key, info in choices.items()])


def choice(text: str, method: str, source: Source) -> TuningInfo | None:
    """What was chosen of a method for a source; None without a search."""
    return _read(text).get(key_of(method, source)) if text else None


def bindings(info: TuningInfo) -> tuple[str, ...]:
    """The chosen values as bindings; the first trial is what the method's own files bind."""
    if info.chosen == 1:
        return ()
    return tuple(f"{name} = {value!r}" for name, value in info.values.items())


def check(text: str, preset: str) -> None:
    """Refuse what is not a text of choices, all of the budget that the preset is called after.

    Raises:
        UserError: what is wrong.
    """
    for info in _read(text).values():
        if (wrong := problem(preset, info)) is not None:
            raise UserError(f"what a search has chosen does not hold: {wrong}")


@functools.lru_cache(maxsize=8)
def _read(text: str) -> dict[Key, TuningInfo]:
    try:
        return {
            (method, source): TuningInfo.model_validate(info)
            for method, source, info in json.loads(text)
        }
    except ValidationError as error:
        raise UserError(
            f"what a search has chosen does not hold: {first_problem(error, 'it')}"
        ) from error
    except (ValueError, TypeError) as error:
        raise UserError(f"what a search has chosen cannot be read: {error}") from error

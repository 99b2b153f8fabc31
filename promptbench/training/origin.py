"""The code that a training was made by: noted beside it, since only the same code goes on with it.

Half a training by one code and half by another is neither's, and a finished one does not become the
result of code that came later.
"""

from __future__ import annotations

from typing import Any

import promptbench
from promptbench import source_code
from promptbench.planning.plan import Cell

Code = dict[str, str | None]


def code_of(cell: Cell) -> Code:
    """The code of now: promptbench's version, the hashes of the method's sources and of those that
    train it."""
    return {
        "promptbench": promptbench.__version__,
        "method": cell.method.source_sha256,
        "training": source_code.of_training(),
    }


def difference(made_by: Any, now: Code) -> str | None:
    """What differs between the code that made a training and that of now; None if nothing does.

    A version of another name whose sources are the same is the same code.
    """
    if not isinstance(made_by, dict):
        return "it does not say by which"
    if made_by.get("method") != now["method"]:
        return "the method's module, what it imports or its gin file was changed since"
    if made_by.get("training") != now["training"]:
        return f"it was promptbench {made_by.get('promptbench')} with other sources for training"
    return None

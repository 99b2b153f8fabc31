"""What pages of protocols load when it is asked for, as scripts that hand their content over: a
page opened from a file may load scripts, and nothing else.

Beside `protocols/NAME.html` lie in `protocols/NAME/`, for each board:

- `BOARD.js`: its data (`table_data`), and of a board that the page does not hold its section;
- `BOARD-rows-N.js`: the rows of N shots, where these are not the ones the table begins with;
- `BOARD-scores.js`: scores by seed, for comparisons and downloads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from promptbench.leaderboard.web.folder import Templates

FOLDER = "protocols"


def write(templates: Templates, protocol: Mapping[str, Any]) -> None:
    """Write the files of all boards of a protocol, as `pages.protocols` has it."""
    several = len(protocol["metrics"]) > 1
    for board in protocol["boards"]:
        for name, content in _files(templates, board, several):
            text = f"boardFiles.put({_json(name)}, {_json(content)});\n"
            templates.put(f"{FOLDER}/{name}.js", text.encode())


def _files(
    templates: Templates, board: Mapping[str, Any], several: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names, as pages ask for them, and contents."""
    page, shared = f"{FOLDER}/{board['file']}", {"b": board, "several": several}
    own = {"data": board["data"], "hasScores": bool(board["scores"])}
    if not board["inside"]:
        own["section"] = templates.part(page, "board_section.html", **shared)
    yield board["file"], own
    for shots, rows in board["more_rows"].items():
        text = templates.part(page, "board_rows.html", **shared, rows=rows)
        yield f"{board['file']}-rows-{shots}", {"rows": text}
    if board["scores"]:
        yield f"{board['file']}-scores", board["scores"]


def _json(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

"""A record of somebody else's method whose every free text is hostile."""

from __future__ import annotations

import json
from pathlib import Path

from promptbench import records

SCRIPT = '"><script>alert(1)</script></script><img src=x onerror=alert(1)>\x1b[31m\u202e'


def hostile(runs: Path) -> Path:
    """Turn the trained record under `runs` into it; its numbers stay, so that it is accepted."""
    (path,) = records.find([runs / "demo" / "few_shot" / "coop"])
    record = json.loads(path.read_text())
    record["method"] |= {
        "name": "theirs", "title": SCRIPT, "paper": SCRIPT, "paradigm": SCRIPT, "provider": SCRIPT,
        "parameters": {SCRIPT: SCRIPT},
    }  # fmt: skip
    record["cell_id"] = "f" * 64
    record["overrides"] = [SCRIPT]
    record["environment"] |= {"device": SCRIPT, "platform": SCRIPT}
    path.write_text(json.dumps(record))
    return path

"""`python -m promptbench.records` prints the schema of a record, leaderboard/record.schema.json."""

from __future__ import annotations

import json

from promptbench import records

print(json.dumps(records.schema(), indent=1))

"""What the server of children imports once; imported by nothing else."""

from __future__ import annotations

from promptbench import backbones, runner
from promptbench.compat import import_open_clip

import_open_clip()
assert backbones and runner

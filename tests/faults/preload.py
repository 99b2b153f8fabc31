"""What the server of children imports once; imported by nothing else."""

from __future__ import annotations

from promptbench import backbones
from promptbench.compat import import_open_clip
from promptbench.running import here, session

import_open_clip()
assert backbones and here and session

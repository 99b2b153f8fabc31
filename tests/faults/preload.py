"""What the server of children imports once; imported by nothing else."""

from __future__ import annotations

from promptbench.models import backbones
from promptbench.running import here, session
from promptbench.support.compat import import_open_clip

import_open_clip()
assert backbones and here and session

"""The result record: one self-contained JSON file per cell.

Counts are the truth; metrics and means are derived and never stored. A record together with
its predictions (CSV) and learned parameters (safetensors) lets anyone recheck its numbers.
"""

from __future__ import annotations

from promptbench.records.infos import (
    PARAMETERS,
    BackboneInfo,
    ClassSetName,
    DataInfo,
    Environment,
    MethodInfo,
    Name,
    Positive,
    ProtocolInfo,
    SourceInfo,
    TargetResult,
    TrainingInfo,
    ValidationInfo,
    Whole,
)
from promptbench.records.on_disk import (
    copy,
    damage,
    digest_of,
    find,
    find_some,
    finish,
    is_known,
    parse,
    parsed,
    parsed_again,
    read,
    read_hashed,
    schema,
    write,
)
from promptbench.records.record import (
    LABELS_ONLY,
    MOST_BYTES,
    RECORD,
    SCHEMA,
    Record,
    once,
    once_for_alike,
)
from promptbench.records.tuning import TRIAL, TuningInfo

__all__ = [
    "BackboneInfo",
    "ClassSetName",
    "DataInfo",
    "Environment",
    "LABELS_ONLY",
    "MOST_BYTES",
    "MethodInfo",
    "Name",
    "PARAMETERS",
    "Positive",
    "ProtocolInfo",
    "RECORD",
    "Record",
    "SCHEMA",
    "SourceInfo",
    "TRIAL",
    "TargetResult",
    "TrainingInfo",
    "TuningInfo",
    "ValidationInfo",
    "Whole",
    "copy",
    "damage",
    "find",
    "find_some",
    "finish",
    "once",
    "once_for_alike",
    "parse",
    "digest_of",
    "is_known",
    "parsed",
    "parsed_again",
    "read",
    "read_hashed",
    "schema",
    "write",
]

"""Configuration: gin as a file format.

Files and bindings of --set are read into plain data (`parsing`), their names and values checked
(`checking`), and the values of a class in a scope looked up (`resolving`); `text` writes values
down again. No line of them runs, and no state is kept: what is constructed gets its values by
keyword.

Scopes nest: `base_to_new/...` holds for a protocol, `base_to_new/eurosat/...` for one source of it.
Preset "paper" enters protocol and source, "unified" only the protocol. Targets have no scope.
"""

from promptbench.config.checking import KnownNames, parameters
from promptbench.config.parsing import SWEEP, Binding, can_be_scope, parse
from promptbench.config.resolving import Bindings, ConfigSources, copied, load
from promptbench.config.text import operative_text

__all__ = [
    "SWEEP",
    "Binding",
    "Bindings",
    "ConfigSources",
    "KnownNames",
    "can_be_scope",
    "copied",
    "load",
    "operative_text",
    "parameters",
    "parse",
]

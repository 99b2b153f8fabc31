"""Test images as they enter a backbone, decoded once per machine and kept as bytes.

`folder` is the bounded folder of the cache, `parts` are its files, `keys` say what they hang on.
`reading` is a pass over images: what is kept is read, the rest is decoded, and kept by `filling`.
"""

from promptbench.data.decoded.folder import bound_here
from promptbench.data.decoded.reading import Decoded

__all__ = ["Decoded", "bound_here"]

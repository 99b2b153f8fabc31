"""Protocols: one module and one gin file each; the gin file binds each suite's datasets."""

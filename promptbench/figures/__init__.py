"""Figures: how a name looks in all of them (`looks`, which needs no matplotlib)."""

"""Tuning: the same budget of trials for every method, chosen by validation accuracy per source.

`search` says which trials there are and what is run of the chosen ones, `choosing` reads their
validation accuracies, `tune` does it all. Trials have no targets, so that no test image is read
before the choice stands.
"""

from promptbench.tuning.search import Search, searches

__all__ = ["Search", "searches"]

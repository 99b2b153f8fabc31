"""Scoring what was learnt: one inference rule, predictions, and frozen features kept for later."""

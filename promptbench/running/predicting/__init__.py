"""Scoring what was learned: one inference rule, predictions, and frozen features kept for later."""

"""Leaderboard: published numbers, accepted results, verdicts on records, and the site."""

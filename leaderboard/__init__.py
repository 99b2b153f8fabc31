"""Leaderboard: published numbers with their sources, and the schema of records."""

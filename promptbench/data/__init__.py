"""Data: cards, shards, few-shot sampling, transforms and loading."""

"""Shards: datasets on disk and on servers, written, hashed, opened."""

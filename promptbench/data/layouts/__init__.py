"""Importers: where a data set's images come from, one module per kind of source.

A layout yields `shards.Item`s of a split in canonical order; `shards.write` turns them into shards.
"""

"""Finished runs put to use: own images classified, features, heads for other libraries."""

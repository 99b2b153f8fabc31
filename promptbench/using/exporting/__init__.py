"""Learned class rows over an image encoder, written for other libraries."""

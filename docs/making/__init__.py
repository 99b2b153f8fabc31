"""The documentation site: what of it is generated, and what holds of it. `make docs` builds it."""

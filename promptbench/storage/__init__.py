"""Files that survive: written whole or not at all, checked by hash, locked between processes."""

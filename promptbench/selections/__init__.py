"""Selection rules that come with promptbench; a module each, found by scanning this folder."""

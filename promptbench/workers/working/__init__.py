"""A worker at work on a plan file: what it computes, and when and how it ends."""

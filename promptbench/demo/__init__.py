"""The embedded demo suite: a generated world of shapes and a tiny CLIP that was trained on it."""

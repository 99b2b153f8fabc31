"""The trackers that promptbench ships; a module with one `Tracker` is one, under its name."""

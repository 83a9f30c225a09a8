"""Does the teacher help? The tables of "Learning to Train with Synthetic Humans", on open data."""

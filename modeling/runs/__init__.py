"""A run folder: configuration, checkpoints, metrics, and their curves."""

"""A data set as a manifest that others can rebuild it from, and the way back from such a manifest."""

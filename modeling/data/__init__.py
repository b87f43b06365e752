"""Shards to batches: windows of clips, what goes with them (label maps, other clips), read ahead."""

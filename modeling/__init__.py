"""Data loading, networks, training, evaluation and animation, and the `modeling` command.

Reads shards through `db.shards` alone: never the catalogue, never `curation`.
"""

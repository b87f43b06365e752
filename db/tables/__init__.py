"""The catalogue's tables, by the part of the data's way that they record; `db.models` names them all.

`base` holds what they share, `sources` what is known of videos, `clips` what is known of their ranges, `review` the
annotator's batches and decisions, `exports` splits and shards, `work` who does what now and how it ended.
"""

"""Held-out clips against what a model makes of their first frames: one generation pass, all metrics, one protocol.

`pipeline.evaluate` is the whole; `sources` says what is scored, `measures` what is kept of each clip (`store`, on the
disk), `numbers` what the report's metrics are, `protocol` under which conditions they hold.
"""

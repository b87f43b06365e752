"""Clips of moving water that are drawn, not filmed: landscapes of which the water moves and the land stands still.

`python -m benchmarks.water --out DIR` writes them as shards. `scene` composes, `land` and `surface` paint, `fields`
makes the noise, `shards` cuts them into splits and writes them.
"""

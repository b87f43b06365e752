"""Generators trained side by side on small clips, scored as they learn: what the comparison and the recipe share.

`arms` says what is trained, `trial` trains and scores one of them, `jobs` runs several at a time, `scores` measures,
`summary` and `figures` tell what came out.
"""

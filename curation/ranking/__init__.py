"""In which order clips come to review: suspicious ones first, and what a small model learns from the curator.

`appearance` sums up how a preview looks, `features` gathers all that is known of the clips as one matrix, `suspicion`
ranks by the scores' own thresholds, `learning` by a logistic regression on the decisions, and `ranker` is what the
grid asks. Nothing here decides: it orders, outlines and hints.
"""

"""Train, val and test: what belongs together stays together, and an assignment stays as the data grows."""

"""Accepted clips into shards, HDF5 or WebDataset: append-only versions whose bytes depend on the catalogue alone."""

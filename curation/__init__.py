"""From a list of videos to training shards: providers, cutting, scores, split, export, and the `curate` command.

The commands in `curation.commands` are thin; what they do lives in the modules beside them.
"""

"""Published data sets, as their makers lay them out on disk, brought into the catalogue.

Each data set's module names its items (`layout.Made` for frames, arrays and strips, `Found` for video files); `making`
turns the former into lossless files, `queueing` lets `curate download` check the latter where they are.
"""

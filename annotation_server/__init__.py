"""The annotation server: an embedded Visdom that shows clips in a moving grid and takes the curator's verdicts.

`app` runs a review; `session` and `batches` hold its state, `page` and `mosaic` make what the browser gets.
"""

"""The report: one self-contained HTML page that tells how a data set came to be, and why the rest did not.

`funnel`, `tables`, `pace` and `sheets` read the catalogue, `charts` lays out the drawings, `page` puts all together.
"""

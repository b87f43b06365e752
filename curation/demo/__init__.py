"""Demo footage: seeded procedural landscapes, the faults a curator meets, and a local server for them.

`fields`, `land` and `water` are the painter's tools, `scenes` the kinds of landscape, `faults` what goes wrong,
`render` writes the videos, `server` serves them over HTTP and `overview` draws the picture of the whole way.
"""

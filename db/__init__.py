"""All that is at rest: the catalogue (models, states, leases, migrations) and the shard format.

Imports nothing else of ours. `db.shards` stands alone: it never touches the catalogue.
"""

"""Everything that is kept: units, tables, leases, checkpoints, records; in a folder or behind a
URL.
"""

"""Importing distilled sets of other programs: from their files to a `SyntheticSet`."""

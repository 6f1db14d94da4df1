"""Search spaces: their schema, the shipped ones, and the published settings. Imports neither torch nor ray."""

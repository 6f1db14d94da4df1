"""From a search space to units of work: what to compute, in which order, and at what cost.

Planning imports neither torch nor Ray.
"""

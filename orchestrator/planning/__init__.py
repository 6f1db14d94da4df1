"""From a search space to units of work: what to compute, in which order, at what cost. Neither
torch nor Ray.
"""

"""The machines of a launch, from a laptop to a cluster of many nodes.

What each trial gets of them (`resources`), the check of every node before a launch (`preflight`),
data sets for nodes that lack them (`dataset_transfer`), Ray's head node and its auth token, and
files that start a cluster (`manifests`).
"""

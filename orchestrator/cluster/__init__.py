"""Machines: their resources, the look at each node before a launch, data transfer, authentication,
manifests.
"""

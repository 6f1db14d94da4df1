"""The log of a launch."""

PACKAGES = ("orchestrator", "distill_core", "search_spaces")
"""Names of the loggers of this project; those of its modules are below them."""

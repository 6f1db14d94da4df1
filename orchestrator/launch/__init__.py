"""The driving process: a plan on Ray Tune, its progress and status."""

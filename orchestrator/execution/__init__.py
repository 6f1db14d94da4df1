"""The worker process: lease, unit function, commit."""

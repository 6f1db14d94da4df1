"""What happens in a worker process: take the lease of a unit, compute it, commit the outcome."""
